import type { Clock } from '../core/clock.ts';

/** Remembers for a while what was noted, so that a fault that recurs with every request is logged once. */
export class RecentNotes {
  /** When each note is too old; the oldest first. A map that grows: notes are rare, and an engine costs nothing before the first. */
  readonly #expiryMs = new Map<string, number>();
  readonly #maxNotes: number;
  readonly #ageMs: number;
  readonly #nowMs: () => number;

  /** @param options.clock by which notes grow old; that of this process unless given */
  constructor(options: { maxNotes: number; ageMs: number; clock?: Clock }) {
    const { clock } = options;
    this.#maxNotes = options.maxNotes;
    this.#ageMs = options.ageMs;
    this.#nowMs = clock ? () => clock.now() : () => performance.now();
  }

  /** Notes it. Returns whether it was not noted lately. */
  note(name: string): boolean {
    if (this.has(name)) return false;
    this.#expiryMs.delete(name);
    this.#expiryMs.set(name, this.#nowMs() + this.#ageMs);
    if (this.#expiryMs.size > this.#maxNotes) {
      const [oldest] = this.#expiryMs.keys();
      this.#expiryMs.delete(oldest!);
    }
    return true;
  }

  has(name: string): boolean {
    const expiryMs = this.#expiryMs.get(name);
    return expiryMs !== undefined && this.#nowMs() < expiryMs;
  }
}
