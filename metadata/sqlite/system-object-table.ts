import type { Database, Statement } from 'better-sqlite3';
import type { PutSystemObject, SystemObject } from '../metadata-store.ts';
import { decodeSpans, encodeSpans, stripeBytesOf } from './span-codec.ts';
import type { StripeTable } from './stripe-table.ts';
import type { Tally } from './tally.ts';

interface SystemRow {
  readonly number: number;
  readonly name: string;
  readonly size_bytes: number;
  readonly spans: Buffer | null;
}

/** What snapshots and journal are stored as. Their rows refer to stripes by number, as versions do. */
export class SystemObjectTable {
  readonly #tally: Tally;
  readonly #stripes: StripeTable;
  readonly #list: Statement<[], SystemRow>;
  readonly #insert: Statement<[number, string, number, Buffer | null]>;
  readonly #delete: Statement<[string], Pick<SystemRow, 'number' | 'spans'>>;

  constructor(parts: { db: Database; tally: Tally; stripes: StripeTable }) {
    this.#tally = parts.tally;
    this.#stripes = parts.stripes;
    this.#list = parts.db.prepare('SELECT number, name, size_bytes, spans FROM system_objects ORDER BY number');
    this.#insert = parts.db.prepare('INSERT INTO system_objects (number, name, size_bytes, spans) VALUES (?, ?, ?, ?)');
    this.#delete = parts.db.prepare('DELETE FROM system_objects WHERE name = +? RETURNING number, spans');
  }

  put({ name, number, sizeBytes, spans, stripes }: PutSystemObject): void {
    const referred = stripeBytesOf(spans);
    this.#stripes.requireLive(referred.keys(), stripes);
    this.#stripes.register(stripes, referred, this.#tally.useNumber(number));
    this.delete(name);
    this.#insert.run(number, name, sizeBytes, encodeSpans(spans) ?? null);
  }

  list(): SystemObject[] {
    return this.#list.all().map(({ number, name, size_bytes, spans }) => ({
      number,
      name,
      sizeBytes: size_bytes,
      spans: decodeSpans(spans),
    }));
  }

  delete(name: string): void {
    const deleted = this.#delete.get(name);
    if (deleted) this.#stripes.release(deleted.number, deleted.spans);
  }
}
