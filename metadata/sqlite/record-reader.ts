import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database, Statement } from 'better-sqlite3';
import { localSettingPrefix } from '../metadata-store.ts';
import type { ChangeSet, MetadataRecord, RecordPage } from '../record-store.ts';
import { type BucketRow, bucketColumns, toBucket } from './bucket-table.ts';
import type { Change, ChangeLog, RecordKind } from './change-log.ts';
import type { NameTable } from './name-table.ts';
import { type PartRow, partColumns } from './part-row.ts';
import type { ProviderRow } from './provider-table.ts';
import {
  toBucketRecord,
  toPartRecord,
  toProviderRecord,
  toStripeRecord,
  toUploadRecord,
  toVersionRecord,
} from './record-forms.ts';
import { systemProfileNumber } from './schema.ts';
import { type StripeRow, stripeColumns } from './stripe-row.ts';
import type { Tally } from './tally.ts';
import { type UploadRow, uploadColumns } from './upload-row.ts';
import { versionColumns } from './version-row.ts';
import type { StoredVersionRow } from './version-table.ts';

type StoredPartRow = PartRow & { readonly upload: number };
type Key = string | number | Buffer;

/** How rows of one kind are read: by key, and all of them in the order of their keys. */
interface Source<Row> {
  readonly find: Statement<Key[], Row>;
  readonly after: Statement<Key[], Row>;
  /** The parameters of `find` and `after` but for the limit; without a key, those that stand before all. */
  readonly keyOf: (key: string | undefined) => Key[];
  readonly toRecord: (row: Row) => MetadataRecord;
}

/**
 * A record that is no setting, since a setting would be written anew with each batch: no number up to this one may be drawn by a store
 * that is recovered, also where the rows that had it are gone.
 */
export const lastNumberSetting = 'last-number';

/** The order of pages. Stripes come before those who refer to them. */
const kinds = [
  'setting',
  'provider',
  'bucket',
  'stripe',
  'version',
  'upload',
  'part',
] as const satisfies readonly RecordKind[];
/** A page ends early past this much: a version may have megabytes of extents. */
const maxPageBytes = 4 * 1024 * 1024;
const changesPerTurn = 256;

/** The rows of the store as records. */
export class RecordReader {
  readonly #changes: ChangeLog;
  readonly #tally: Tally;
  readonly #makeSources: () => Record<RecordKind, Source<never>>;
  /** Made when the first is asked for: to prepare their statements would make every start wait. */
  #made: Record<RecordKind, Source<never>> | undefined;
  readonly #findNumber: Statement<[{ number: number }], unknown>;

  constructor(parts: { db: Database; names: NameTable; changes: ChangeLog; tally: Tally }) {
    this.#changes = parts.changes;
    this.#tally = parts.tally;
    this.#makeSources = () => makeSources(parts.db, parts.names);
    this.#findNumber = parts.db.prepare(`
      SELECT 1 FROM versions WHERE id = +:number
      UNION ALL SELECT 1 FROM uploads WHERE id = +:number
      UNION ALL SELECT 1 FROM parts WHERE number = +:number`);
  }

  /**
   * Reads a run of changes a turn. A row that changes meanwhile stands in the log once more, past where this has come, and so is
   * read again: at the end, when there is no more to read, every record is as its row is then.
   */
  async readChanges(): Promise<ChangeSet> {
    const records = new Map<string, MetadataRecord>();
    let mark = 0;
    let sinceTurn = 0;
    for (let batch = this.#changes.next(mark); batch; batch = this.#changes.next(mark)) {
      for (const change of batch.changes) records.set(`${change.kind} ${change.key}`, this.#read(change));
      mark = batch.mark;
      sinceTurn += batch.changes.length;
      if (sinceTurn < changesPerTurn) continue;
      sinceTurn = 0;
      await nextTurn();
    }
    return { records: records.size === 0 ? [] : [this.#lastNumber(), ...records.values()], mark };
  }

  readPage(cursor: string | undefined, limit: number): RecordPage {
    const [first, lastKey] = cursor === undefined ? [kinds[0]] : parseCursor(cursor);
    const records: MetadataRecord[] = cursor === undefined ? [this.#lastNumber()] : [];
    if (records.length >= limit) return { records, cursor: `${first} ` };
    let bytes = 0;
    let after = lastKey;
    for (const kind of kinds.slice(kinds.indexOf(first))) {
      for (const [record, recordBytes] of this.#iterate(kind, after, limit - records.length)) {
        records.push(record);
        bytes += recordBytes;
        if (records.length >= limit || bytes >= maxPageBytes) return { records, cursor: `${kind} ${record.key}` };
      }
      after = undefined;
    }
    return { records };
  }

  /** Which of these numbers a version, an upload or a part has. */
  knownNumbers(numbers: readonly number[]): Set<number> {
    return new Set(numbers.filter((number) => this.#findNumber.get({ number }) !== undefined));
  }

  #lastNumber(): MetadataRecord {
    return { kind: 'setting', key: lastNumberSetting, value: `${this.#tally.lastNumber}` };
  }

  #sourceOf(kind: RecordKind): Source<never> {
    this.#made ??= this.#makeSources();
    return this.#made[kind];
  }

  #read({ kind, key }: Change): MetadataRecord {
    const source = this.#sourceOf(kind);
    const row = source.find.get(...source.keyOf(key));
    return row === undefined ? { kind, key, value: null } : source.toRecord(row);
  }

  *#iterate(kind: RecordKind, after: string | undefined, limit: number): Iterable<[MetadataRecord, bytes: number]> {
    const source = this.#sourceOf(kind);
    for (const row of source.after.iterate(...source.keyOf(after), limit)) yield [source.toRecord(row), bytesOf(row)];
  }
}

function makeSources(db: Database, names: NameTable): Record<RecordKind, Source<never>> {
  const numberKey = (key: string | undefined) => [key === undefined ? -1 : Number(key)];
  const byNumber = (columns: string, table: string) => ({
    find: db.prepare<Key[], never>(`SELECT ${columns} FROM ${table} WHERE id = +?`),
    after: db.prepare<Key[], never>(`SELECT ${columns} FROM ${table} WHERE id > +? ORDER BY id LIMIT +?`),
    keyOf: numberKey,
  });
  const part = `SELECT upload, ${partColumns} FROM parts`;
  const stripe = `SELECT ${stripeColumns} FROM stripes`;
  return {
    setting: {
      find: db.prepare('SELECT name, value FROM settings WHERE name = +?'),
      after: db.prepare(`
        SELECT name, value FROM settings
        WHERE name > +? AND substr(name, 1, ${localSettingPrefix.length}) <> '${localSettingPrefix}'
        ORDER BY name LIMIT +?`),
      keyOf: (key = '') => [key],
      toRecord: ({ name, value }: { name: string; value: string }) => ({ kind: 'setting', key: name, value }),
    },
    provider: {
      find: db.prepare('SELECT id, record FROM providers WHERE id = +?'),
      after: db.prepare('SELECT id, record FROM providers WHERE id > +? ORDER BY id LIMIT +?'),
      keyOf: (key = '') => [key],
      toRecord: (row: ProviderRow) => toProviderRecord(row),
    },
    bucket: { ...byNumber(bucketColumns, 'buckets'), toRecord: (row: BucketRow) => toBucketRecord(toBucket(row)) },
    stripe: {
      find: db.prepare(`${stripe} WHERE id = +?`),
      after: db.prepare(`${stripe} WHERE id > +? AND profile <> ${systemProfileNumber} ORDER BY id LIMIT +?`),
      keyOf: (key = '') => [Buffer.from(key, 'hex')],
      toRecord: (row: StripeRow) => toStripeRecord(row, names),
    },
    version: {
      ...byNumber(`bucket_id, key, ${versionColumns}`, 'versions'),
      toRecord: (row: StoredVersionRow) => toVersionRecord(row, names),
    },
    upload: { ...byNumber(uploadColumns, 'uploads'), toRecord: (row: UploadRow) => toUploadRecord(row, names) },
    part: {
      find: db.prepare(`${part} WHERE upload = +? AND part_number = +?`),
      after: db.prepare(`${part} WHERE (upload, part_number) > (+?, +?) ORDER BY upload, part_number LIMIT +?`),
      keyOf: (key = '-1/0') => key.split('/').map(Number),
      toRecord: (row: StoredPartRow) => toPartRecord(row, names),
    },
  };
}

/** What the texts and blobs of a row take, roughly. */
function bytesOf(row: object): number {
  let bytes = 0;
  for (const value of Object.values(row) as unknown[]) {
    if (typeof value === 'string' || value instanceof Uint8Array) bytes += value.length;
  }
  return bytes;
}

/** The kind and key of the last record of the page before. */
function parseCursor(cursor: string): [kind: (typeof kinds)[number], key: string] {
  const space = cursor.indexOf(' ');
  const kind = kinds.find((each) => each === cursor.slice(0, space));
  if (!kind) throw new RangeError(`no cursor of records: ${cursor}`);
  return [kind, cursor.slice(space + 1)];
}
