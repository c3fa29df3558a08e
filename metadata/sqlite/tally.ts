import type { Database, Statement } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import type { Usage } from '../metadata-store.ts';

interface Figures extends Usage {
  /** The last number that was drawn. */
  readonly lastNumber: number;
}

/**
 * The sequence from which rows draw their numbers, and running totals, so that no count ever scans a table.
 * Kept in memory; saved once a batch in a table of one row.
 */
export class Tally {
  readonly #clock: Clock;
  readonly #load: Statement<[], Figures>;
  readonly #update: Statement<[number, number, number, number, number, number]>;
  #now: { -readonly [F in keyof Figures]: Figures[F] };
  #saved: Figures;
  #marked: Figures;

  constructor(parts: { db: Database; clock: Clock }) {
    this.#clock = parts.clock;
    this.#load = parts.db.prepare(`
      SELECT last_number AS lastNumber, buckets, versions, live_stripes AS liveStripes, freed_stripes AS freedStripes,
        degraded_stripes AS degradedStripes
      FROM tally`);
    this.#update = parts.db.prepare(`
      UPDATE tally
      SET last_number = ?, buckets = ?, versions = ?, live_stripes = ?, freed_stripes = ?, degraded_stripes = ?`);
    this.#saved = this.#load.get()!;
    this.#marked = this.#saved;
    this.#now = { ...this.#saved };
  }

  /** Microseconds since the epoch, or one more than the last: always rising, also when the clock is set back. */
  drawNumber(): number {
    const number = Math.max(Math.floor(this.#clock.now() * 1000), this.#now.lastNumber + 1);
    this.#now.lastNumber = number;
    return number;
  }

  add(figure: keyof Usage, change: number): void {
    this.#now[figure] += change;
  }

  usage(): Usage {
    const { lastNumber: _, ...usage } = this.#now;
    return usage;
  }

  mark(): void {
    this.#marked = { ...this.#now };
  }

  rewind(): void {
    this.#now = { ...this.#marked };
  }

  save(): void {
    const now = this.#now;
    // Every change draws a number or moves a total; a batch in which all verbs refused must not cost a write.
    const isSame = (Object.keys(now) as (keyof Figures)[]).every((figure) => now[figure] === this.#saved[figure]);
    if (isSame) return;
    this.#update.run(now.lastNumber, now.buckets, now.versions, now.liveStripes, now.freedStripes, now.degradedStripes);
    this.#saved = { ...now };
  }

  reload(): void {
    this.#saved = this.#load.get()!;
    this.#now = { ...this.#saved };
  }
}
