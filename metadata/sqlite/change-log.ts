import type { Database, Statement } from 'better-sqlite3';
import type { MetadataRecord } from '../record-store.ts';
import type { Tally } from './tally.ts';

export type RecordKind = MetadataRecord['kind'];

/** Which row changed: the kind of record and its key. */
export interface Change {
  readonly kind: RecordKind;
  readonly key: string;
}

/** The key of a part among the records. */
export function partKey(uploadNumber: number, partNumber: number): string {
  return `${uploadNumber}/${partNumber}`;
}

/** A batch of changes as it stands in the table: kinds and keys by turns, in JSON. */
interface ChangeRow {
  readonly mark: number;
  readonly changes: string;
}

/**
 * Which rows changed since the changes were last forgotten, in the order in which they did. A row of the table holds the changes of
 * one batch, so that a verb costs no statement of its own; whoever reads looks up what has become of each row.
 */
export class ChangeLog {
  readonly #tally: Tally;
  readonly #insert: Statement<[number, string]>;
  readonly #next: Statement<[number], ChangeRow>;
  readonly #forget: Statement<[number]>;
  readonly #batch: string[] = [];
  #marked = 0;

  constructor(parts: { db: Database; tally: Tally }) {
    this.#tally = parts.tally;
    this.#insert = parts.db.prepare('INSERT INTO changes VALUES (?, ?)');
    this.#next = parts.db.prepare('SELECT mark, changes FROM changes WHERE mark > +? ORDER BY mark LIMIT 1');
    this.#forget = parts.db.prepare('DELETE FROM changes WHERE mark <= +?');
  }

  /** Notes that a row was added, changed or removed. Only inside a write verb. */
  add(kind: RecordKind, key: string | number): void {
    this.#batch.push(kind, `${key}`);
  }

  /** The changes of the first batch after a mark, and its own mark. */
  next(afterMark: number): { mark: number; changes: Change[] } | undefined {
    const row = this.#next.get(afterMark);
    if (!row) return undefined;
    const flat = JSON.parse(row.changes) as string[];
    const changes: Change[] = [];
    for (let at = 0; at < flat.length; at += 2) changes.push({ kind: flat[at] as RecordKind, key: flat[at + 1]! });
    return { mark: row.mark, changes };
  }

  /** Forgets the batches up to and including that of `mark`. */
  forget(mark: number): void {
    this.#forget.run(mark);
  }

  mark(): void {
    this.#marked = this.#batch.length;
  }

  rewind(): void {
    this.#batch.length = this.#marked;
  }

  save(): void {
    if (this.#batch.length === 0) return;
    this.#insert.run(this.#tally.useNumber(this.#tally.drawNumber()), JSON.stringify(this.#batch));
    this.#batch.length = 0;
  }

  reload(): void {
    this.#batch.length = 0;
    this.#marked = 0;
  }
}
