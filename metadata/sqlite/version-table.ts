import type { Database, Statement } from 'better-sqlite3';
import type { Bucket, VersionId } from '../../core/model.ts';
import type { ChangeLog } from './change-log.ts';
import type { StripeTable } from './stripe-table.ts';
import type { Tally } from './tally.ts';
import type { VersionCache } from './version-cache.ts';
import { nullVersionId, numberOfVersionId } from './version-id.ts';
import { type VersionRow, versionColumns } from './version-row.ts';

/** A row to be added as the latest version of its key. */
export type NewVersionRow = Omit<VersionRow, 'is_latest'> & { readonly bucketId: number; readonly key: string };

/** A row with the bucket and the key that it belongs to. */
export type StoredVersionRow = VersionRow & { readonly bucket_id: number; readonly key: string };

/**
 * The rows of `versions`, where a key's latest version is the one with the highest `seq`. Adding and removing keeps
 * `is_latest`, the totals and the references to stripes true.
 */
export class VersionTable {
  readonly #tally: Tally;
  readonly #stripes: StripeTable;
  readonly #changes: ChangeLog;
  readonly #cache: VersionCache;
  readonly #findLatest: Statement<[number, string], VersionRow>;
  readonly #findNumber: Statement<[number], StoredVersionRow>;
  readonly #findBuriedNull: Statement<[number, string], VersionRow>;
  readonly #insert: Statement<(string | number | Buffer | null)[]>;
  readonly #delete: Statement<[number]>;
  readonly #setLatest: Statement<[number, number]>;
  readonly #setAttributes: Statement<[string | null, number]>;

  constructor(parts: { db: Database; tally: Tally; stripes: StripeTable; changes: ChangeLog; cache: VersionCache }) {
    const { db } = parts;
    this.#tally = parts.tally;
    this.#stripes = parts.stripes;
    this.#changes = parts.changes;
    this.#cache = parts.cache;
    // `+?` keeps SQLite from planning anew at each call: see docs/metadata-schema.md.
    const select = (index: string, condition: string) => `
      SELECT ${versionColumns} FROM versions INDEXED BY ${index} WHERE bucket_id = +? AND key = +? ${condition}`;
    this.#findLatest = db.prepare(select('versions_by_key', 'ORDER BY seq DESC LIMIT 1'));
    this.#findNumber = db.prepare(`SELECT bucket_id, key, ${versionColumns} FROM versions WHERE id = +?`);
    this.#findBuriedNull = db.prepare(select('versions_buried_null', 'AND is_latest = 0 AND version_id IS NULL'));
    this.#insert = db.prepare(`
      INSERT INTO versions (bucket_id, key, ${versionColumns}) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
    this.#delete = db.prepare('DELETE FROM versions WHERE id = +?');
    this.#setLatest = db.prepare('UPDATE versions SET is_latest = ? WHERE id = +?');
    this.#setAttributes = db.prepare('UPDATE versions SET attributes = ? WHERE id = +?');
  }

  findLatest(bucket: Bucket, key: string): VersionRow | undefined {
    return this.#findLatest.get(bucket.id, key);
  }

  find(bucket: Bucket, key: string, versionId: VersionId): VersionRow | undefined {
    if (versionId === nullVersionId) return this.#findNull(bucket, key, this.findLatest(bucket, key));
    const number = numberOfVersionId(versionId);
    const row = number === undefined ? undefined : this.#findNumber.get(number);
    return row?.version_id === versionId && row.bucket_id === bucket.id && row.key === key ? row : undefined;
  }

  /** By the number of its row. */
  findNumber(id: number): StoredVersionRow | undefined {
    return this.#findNumber.get(id);
  }

  /**
   * Makes room for a new latest version, as the bucket's versioning has it: `latest`, the one until now, becomes an
   * older one, and the `null` version goes if the new one is to take its place.
   */
  makeWay(bucket: Bucket, key: string, latest: VersionRow | undefined): void {
    this.#cache.forget(bucket, key);
    const replaced = bucket.versioning === 'enabled' ? undefined : this.#findNull(bucket, key, latest);
    if (replaced) this.#remove(replaced);
    if (latest && latest !== replaced) this.#setLatest.run(0, latest.id);
  }

  /** Adds a version with the highest `seq` of its key, after `makeWay`. Whoever calls registers its stripes. */
  addLatest(row: NewVersionRow): void {
    this.#insert.run(
      row.bucketId,
      row.key,
      row.id,
      row.seq,
      row.version_id,
      row.is_marker,
      row.owner,
      row.modified_ms,
      row.size_bytes,
      row.etag,
      row.storage_class,
      row.checksum_kind,
      row.checksum_value,
      row.attributes,
      row.parts,
      row.spans,
    );
    this.#tally.add('versions', 1);
    this.#changes.add('version', row.id);
  }

  /** Removes a version for good; if it was the latest, the next one is now. */
  remove(bucket: Bucket, key: string, row: VersionRow): void {
    this.#cache.forget(bucket, key);
    this.#remove(row);
    const next = row.is_latest ? this.findLatest(bucket, key) : undefined;
    if (next) this.#setLatest.run(1, next.id);
  }

  setAttributes(bucket: Bucket, key: string, row: VersionRow, attributes: string | null): void {
    this.#cache.forget(bucket, key);
    this.#setAttributes.run(attributes, row.id);
    this.#changes.add('version', row.id);
  }

  #findNull(bucket: Bucket, key: string, latest: VersionRow | undefined): VersionRow | undefined {
    if (!latest || latest.version_id === null) return latest;
    return this.#findBuriedNull.get(bucket.id, key);
  }

  #remove(row: VersionRow): void {
    this.#delete.run(row.id);
    this.#stripes.release(row.id, row.spans);
    this.#tally.add('versions', -1);
    this.#changes.add('version', row.id);
  }
}
