/** Remembers for a while what was noted, so that a fault that recurs with every request is logged once. */
export class RecentNotes {
  /** When each note is too old; the oldest first. A map that grows: notes are rare, and an engine costs nothing before the first. */
  readonly #expiryMs = new Map<string, number>();
  readonly #maxNotes: number;
  readonly #ageMs: number;

  constructor(options: { maxNotes: number; ageMs: number }) {
    this.#maxNotes = options.maxNotes;
    this.#ageMs = options.ageMs;
  }

  /** Notes it. Returns whether it was not noted lately. */
  note(name: string): boolean {
    if (this.has(name)) return false;
    this.#expiryMs.delete(name);
    this.#expiryMs.set(name, performance.now() + this.#ageMs);
    if (this.#expiryMs.size > this.#maxNotes) {
      const [oldest] = this.#expiryMs.keys();
      this.#expiryMs.delete(oldest!);
    }
    return true;
  }

  has(name: string): boolean {
    const expiryMs = this.#expiryMs.get(name);
    return expiryMs !== undefined && performance.now() < expiryMs;
  }
}
