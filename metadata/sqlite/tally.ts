import type { Database, Statement } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import type { Usage } from '../metadata-store.ts';

interface Saved extends Usage {
  readonly lastNumber: number;
}

type Figures = { -readonly [F in keyof Usage]: Usage[F] };

/** How far numbers skip ahead at a start, in microseconds. */
const skippedNumbers = 60_000_000;

/**
 * The sequence from which rows draw their numbers, and running totals, so that no count ever scans a table.
 * Kept in memory; saved once a batch in a table of one row.
 */
export class Tally {
  readonly #clock: Clock;
  readonly #load: Statement<[], Saved>;
  readonly #update: Statement<[number, number, number, number, number, number, number, number]>;
  #lastNumber = 0;
  /** The highest number that a row got, or may have got. */
  #usedNumber = 0;
  #savedNumber = 0;
  #now: Figures;
  #marked: Figures;
  #isChanged = false;

  constructor(parts: { db: Database; clock: Clock }) {
    this.#clock = parts.clock;
    this.#load = parts.db.prepare(`
      SELECT last_number AS lastNumber, buckets, versions, live_stripes AS liveStripes, freed_stripes AS freedStripes,
        degraded_stripes AS degradedStripes, stored_bytes AS storedBytes, needed_bytes AS neededBytes
      FROM tally`);
    this.#update = parts.db.prepare(`
      UPDATE tally
      SET last_number = ?, buckets = ?, versions = ?, live_stripes = ?, freed_stripes = ?, degraded_stripes = ?,
        stored_bytes = ?, needed_bytes = ?`);
    this.#now = this.#read();
    this.#marked = { ...this.#now };
    // Numbers that were drawn and not saved before the last crash must stay behind, also when the clock was set back since.
    if (this.#savedNumber > 0) this.#lastNumber += skippedNumbers;
  }

  /** Microseconds since the epoch, or one more than the last: always rising, also when the clock is set back. */
  drawNumber(): number {
    this.#lastNumber = Math.max(Math.floor(this.#clock.now() * 1000), this.#lastNumber + 1);
    return this.#lastNumber;
  }

  /** The last number that was drawn or used. */
  get lastNumber(): number {
    return this.#lastNumber;
  }

  /** Says that a row has this number, so that it is saved and never drawn again. Only inside a write verb. */
  useNumber(number: number): number {
    if (number > this.#usedNumber) this.#usedNumber = number;
    if (number > this.#lastNumber) this.#lastNumber = number;
    return number;
  }

  add(figure: keyof Usage, change: number): void {
    if (change === 0) return;
    this.#now[figure] += change;
    this.#isChanged = true;
  }

  usage(): Usage {
    return { ...this.#now };
  }

  mark(): void {
    this.#marked = { ...this.#now };
  }

  rewind(): void {
    this.#now = { ...this.#marked };
  }

  /** A batch in which all verbs refused costs no write, though numbers were drawn for it. */
  save(): void {
    if (!this.#isChanged && this.#usedNumber <= this.#savedNumber) return;
    const now = this.#now;
    this.#update.run(
      this.#lastNumber,
      now.buckets,
      now.versions,
      now.liveStripes,
      now.freedStripes,
      now.degradedStripes,
      now.storedBytes,
      now.neededBytes,
    );
    this.#savedNumber = this.#lastNumber;
    this.#isChanged = false;
  }

  reload(): void {
    this.#now = this.#read();
    this.#marked = { ...this.#now };
    this.#isChanged = false;
  }

  #read(): Figures {
    const { lastNumber, ...figures } = this.#load.get()!;
    this.#savedNumber = lastNumber;
    this.#usedNumber = lastNumber;
    // Writers hold numbers that were drawn and not saved: those must not be drawn again when a batch fails.
    this.#lastNumber = Math.max(this.#lastNumber, lastNumber);
    return figures;
  }
}
