import type { Database } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import type { StripeId } from '../../core/model.ts';
import type { ImportReport } from '../record-store.ts';
import { lastBucketSetting } from './bucket-table.ts';
import { fillPlacements } from './fill-placements.ts';
import { applicationId, versionIndexes } from './schema.ts';
import { headsOfShards } from './shard-codec.ts';
import { stripeBytesOfBlob } from './span-codec.ts';
import { decodeStripeId, encodeStripeId } from './stripe-id.ts';

/** How many rows that follow from others are made at a time, sorted by key. */
const rowsAtOnce = 100_000;

interface SpanRow {
  readonly owner: number;
  readonly part: number;
  readonly spans: Buffer;
}

/** Derives from the rows of an import all that follows from them. */
export class ImportFinisher {
  readonly #db: Database;
  readonly #clock: Clock;

  constructor(parts: { db: Database; clock: Clock }) {
    this.#db = parts.db;
    this.#clock = parts.clock;
  }

  /** Inside one transaction. */
  finish(): ImportReport {
    this.#dropStrays();
    this.#findLatest();
    this.#refer();
    this.#indexShards();
    this.#db
      .prepare(`
      UPDATE stripes SET
        live_bytes = coalesce((SELECT sum(bytes) FROM stripe_refs WHERE stripe_id = id), 0),
        freed_ms = CASE
          WHEN EXISTS (SELECT 1 FROM stripe_refs WHERE stripe_id = id) THEN NULL
          ELSE coalesce(freed_ms, ?) END`)
      .run(this.#clock.now());
    fillPlacements(this.#db, this.#clock.now());
    this.#noteLastBucket();
    this.#count();
    this.#db.pragma(`application_id = ${applicationId}`);
    return this.#report();
  }

  /** Rows that belong to none: a copy that is cut off, as when the end of a journal is lost, may hold some. */
  #dropStrays(): void {
    this.#db.exec(`
      DELETE FROM versions WHERE NOT EXISTS (SELECT 1 FROM buckets WHERE buckets.id = bucket_id);
      DELETE FROM uploads WHERE NOT EXISTS (SELECT 1 FROM buckets WHERE buckets.id = bucket_id);
      DELETE FROM parts
      WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE uploads.id = upload AND completed_ms IS NULL)`);
  }

  /** The version with the highest `seq` of a key is the latest, and a key has at most one `null` version: the newest. */
  #findLatest(): void {
    const newer = 'newer.bucket_id = versions.bucket_id AND newer.key = versions.key AND newer.seq > versions.seq';
    this.#db.exec(`
      ${versionIndexes.versions_by_key};
      DELETE FROM versions WHERE version_id IS NULL AND EXISTS (
        SELECT 1 FROM versions AS newer INDEXED BY versions_by_key WHERE ${newer} AND newer.version_id IS NULL);
      UPDATE versions SET is_latest = 0 WHERE EXISTS (
        SELECT 1 FROM versions AS newer INDEXED BY versions_by_key WHERE ${newer});
      ${versionIndexes.versions_current};
      ${versionIndexes.versions_buried_null}`);
  }

  #refer(): void {
    const versions = this.#db.prepare<[number, number], SpanRow>(`
      SELECT id AS owner, 0 AS part, spans FROM versions WHERE id > +? AND +? >= 0 AND spans IS NOT NULL ORDER BY id`);
    const parts = this.#db.prepare<[number, number], SpanRow>(`
      SELECT upload AS owner, part_number AS part, spans FROM parts
      WHERE (upload, part_number) > (+?, +?) AND spans IS NOT NULL ORDER BY upload, part_number`);
    const insert = this.#db.prepare<[Buffer, number, number]>(`
      INSERT INTO stripe_refs VALUES (?, ?, 1, ?)
      ON CONFLICT DO UPDATE SET uses = uses + 1, bytes = bytes + excluded.bytes`);
    for (const rows of [versions, parts]) {
      let last: [owner: number, part: number] | undefined = [-1, 0];
      while (last) {
        const made: [id: StripeId, owner: number, bytes: number][] = [];
        // No statement can run while another one is read from: so many rows are taken at a time.
        const from: [number, number] = last;
        last = undefined;
        for (const row of rows.iterate(...from)) {
          for (const [id, bytes] of stripeBytesOfBlob(row.spans)) made.push([id, row.owner, bytes]);
          if (made.length < rowsAtOnce) continue;
          last = [row.owner, row.part];
          break;
        }
        made.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]));
        for (const [id, owner, bytes] of made) insert.run(encodeStripeId(id), owner, bytes);
      }
    }
  }

  #indexShards(): void {
    const rows = this.#db.prepare<[Buffer], { id: Buffer; shards: Buffer }>(
      'SELECT id, shards FROM stripes WHERE id > +? ORDER BY id',
    );
    const insert = this.#db.prepare<[number, Buffer]>('INSERT INTO shard_cids VALUES (?, ?) ON CONFLICT DO NOTHING');
    let last: Buffer | undefined = Buffer.alloc(0);
    while (last) {
      const made: [head: number, id: Buffer][] = [];
      const from: Buffer = last;
      last = undefined;
      for (const { id, shards } of rows.iterate(from)) {
        for (const head of headsOfShards(shards)) made.push([head, id]);
        if (made.length < rowsAtOnce) continue;
        last = id;
        break;
      }
      made.sort((a, b) => a[0] - b[0]);
      for (const [head, id] of made) insert.run(head, id);
    }
  }

  #noteLastBucket(): void {
    this.#db
      .prepare(`
      INSERT INTO settings
      SELECT ?, CAST(max(id) AS TEXT) FROM buckets WHERE true GROUP BY true HAVING max(id) IS NOT NULL
      ON CONFLICT DO UPDATE SET value = CAST(max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER)) AS TEXT)`)
      .run(lastBucketSetting);
  }

  #count(): void {
    this.#db.exec(`
      UPDATE tally SET
        buckets = (SELECT count(*) FROM buckets),
        versions = (SELECT count(*) FROM versions),
        live_stripes = live.stripes,
        freed_stripes = (SELECT count(*) FROM stripes WHERE freed_ms IS NOT NULL),
        degraded_stripes = live.degraded,
        stored_bytes = live.stored,
        needed_bytes = live.needed
      FROM (
        SELECT count(*) AS stripes, coalesce(sum(placed_count < shard_count), 0) AS degraded,
          coalesce(sum(stored_bytes), 0) AS stored, coalesce(sum((live_bytes * (k + m) + k - 1) / k), 0) AS needed
        FROM stripes WHERE freed_ms IS NULL) AS live`);
  }

  #report(): ImportReport {
    const count = (table: string) => this.#db.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get()!;
    const missing = this.#db.prepare<[], { id: Buffer }>(`
      SELECT DISTINCT stripe_id AS id FROM stripe_refs
      WHERE NOT EXISTS (SELECT 1 FROM stripes WHERE stripes.id = stripe_id) ORDER BY stripe_id`);
    return {
      buckets: count('buckets'),
      versions: count('versions'),
      uploads: count('uploads'),
      parts: count('parts'),
      stripes: count('stripes'),
      missingStripes: missing.all().map(({ id }) => decodeStripeId(id)),
    };
  }
}
