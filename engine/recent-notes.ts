import { LRUCache } from 'lru-cache';

/** Remembers for a while what was noted, so that a fault that recurs with every request is logged once. */
export class RecentNotes {
  readonly #notes: LRUCache<string, true>;

  constructor(options: { maxNotes: number; ageMs: number }) {
    this.#notes = new LRUCache({ max: options.maxNotes, ttl: options.ageMs });
  }

  /** Notes it. Returns whether it was not noted lately. */
  note(name: string): boolean {
    if (this.#notes.has(name)) return false;
    this.#notes.set(name, true);
    return true;
  }

  has(name: string): boolean {
    return this.#notes.has(name);
  }
}
