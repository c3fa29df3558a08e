import type { Database, Statement } from 'better-sqlite3';
import { Failure } from '../../core/failure.ts';
import type { Bucket, ETagKind, VersioningState } from '../../core/model.ts';
import type { BucketPage, BucketQuery, NewBucket } from '../metadata-store.ts';
import type { ChangeLog } from './change-log.ts';
import { compareKeys, keyPastPrefix, nextKey } from './key-order.ts';
import type { SettingTable } from './setting-table.ts';
import type { Tally } from './tally.ts';

export const bucketColumns =
  'id, name, owner_id AS ownerId, region, created_ms AS createdAtMs, versioning, profile_name AS profileName, etags';
const maxCached = 10_000;
/**
 * The setting that holds the id of the newest bucket, also when that is gone: ids are never reused. A setting, since those are
 * among the records and so reach a store that is recovered.
 */
export const lastBucketSetting = 'last-bucket-id';

type BucketRange = [ownerId: string, from: string, until: string];

/** A row of `bucketColumns`. */
export type BucketRow = Omit<Bucket, 'profileName' | 'etags'> & {
  readonly profileName: string | null;
  readonly etags: ETagKind | null;
};

export function toBucket({ profileName, etags, ...bucket }: BucketRow): Bucket {
  return { ...bucket, ...(profileName !== null && { profileName }), ...(etags !== null && { etags }) };
}

/** Buckets, of which those in use are kept in memory. */
export class BucketTable {
  readonly #tally: Tally;
  readonly #settings: SettingTable;
  readonly #changes: ChangeLog;
  readonly #cache = new Map<string, Bucket>();
  /** Buckets that the batch has changed, by name; also those whose change was undone. */
  readonly #touched = new Set<string>();
  readonly #find: Statement<[string], BucketRow>;
  readonly #findId: Statement<[number], BucketRow>;
  readonly #list: Statement<[...BucketRange, limit: number], BucketRow>;
  readonly #listRegion: Statement<[...BucketRange, region: string, limit: number], BucketRow>;
  readonly #insert: Statement<[number, string, string, string, number]>;
  readonly #update: Statement<[VersioningState, number]>;
  readonly #updateProfile: Statement<[string | null, number]>;
  readonly #updateETags: Statement<[ETagKind | null, number]>;
  readonly #delete: Statement<[number]>;
  readonly #anyVersion: Statement<[number]>;

  constructor(parts: { db: Database; tally: Tally; settings: SettingTable; changes: ChangeLog }) {
    const { db } = parts;
    this.#tally = parts.tally;
    this.#settings = parts.settings;
    this.#changes = parts.changes;
    this.#find = db.prepare(`SELECT ${bucketColumns} FROM buckets WHERE name = +?`);
    this.#findId = db.prepare(`SELECT ${bucketColumns} FROM buckets WHERE id = +?`);
    const range = `SELECT ${bucketColumns} FROM buckets WHERE owner_id = +? AND name >= +? AND name < +?`;
    this.#list = db.prepare(`${range} ORDER BY name LIMIT +?`);
    this.#listRegion = db.prepare(`${range} AND region = +? ORDER BY name LIMIT +?`);
    this.#insert = db.prepare(`
      INSERT INTO buckets (id, name, owner_id, region, created_ms, versioning) VALUES (?, ?, ?, ?, ?, 'unversioned')`);
    this.#update = db.prepare('UPDATE buckets SET versioning = ? WHERE id = +?');
    this.#updateProfile = db.prepare('UPDATE buckets SET profile_name = ? WHERE id = +?');
    this.#updateETags = db.prepare('UPDATE buckets SET etags = ? WHERE id = +?');
    this.#delete = db.prepare('DELETE FROM buckets WHERE id = +?');
    this.#anyVersion = db.prepare('SELECT 1 FROM versions WHERE bucket_id = +? LIMIT 1');
  }

  find(name: string): Bucket | undefined {
    const cached = this.#cache.get(name);
    if (cached) return cached;
    const row = this.#find.get(name);
    const bucket = row && toBucket(row);
    if (bucket) {
      if (this.#cache.size >= maxCached) this.#cache.clear();
      this.#cache.set(name, bucket);
    }
    return bucket;
  }

  findId(id: number): Bucket | undefined {
    const row = this.#findId.get(id);
    return row && toBucket(row);
  }

  /** @throws Failure `bucket-missing` */
  require(name: string): Bucket {
    const bucket = this.find(name);
    if (!bucket) throw new Failure('bucket-missing', { bucket: name });
    return bucket;
  }

  list({ ownerId, prefix = '', after, region, limit }: BucketQuery): BucketPage {
    if (limit === 0) return { buckets: [], isTruncated: false };
    const from = after !== undefined && compareKeys(after, prefix) >= 0 ? nextKey(after) : prefix;
    const range: BucketRange = [ownerId, from, keyPastPrefix(prefix)];
    const atMost = limit + 1;
    const buckets =
      region === undefined ? this.#list.all(...range, atMost) : this.#listRegion.all(...range, region, atMost);
    return { buckets: buckets.slice(0, limit).map(toBucket), isTruncated: buckets.length > limit };
  }

  create({ name, ownerId, region, createdAtMs }: NewBucket): Bucket {
    const existing = this.find(name);
    if (existing) throw new Failure('bucket-exists', { bucket: name, ownerId: existing.ownerId });
    const id = Number(this.#settings.find(lastBucketSetting) ?? 0) + 1;
    this.#settings.put(lastBucketSetting, `${id}`);
    this.#insert.run(id, name, ownerId, region, createdAtMs);
    this.#noteChange({ id, name });
    this.#tally.add('buckets', 1);
    return this.require(name);
  }

  setVersioning(name: string, state: VersioningState): void {
    const { id } = this.require(name);
    this.#update.run(state, id);
    this.#noteChange({ id, name });
  }

  setProfile(name: string, profileName: string | undefined): void {
    const { id } = this.require(name);
    this.#updateProfile.run(profileName ?? null, id);
    this.#noteChange({ id, name });
  }

  setETags(name: string, etags: ETagKind | undefined): void {
    const { id } = this.require(name);
    this.#updateETags.run(etags ?? null, id);
    this.#noteChange({ id, name });
  }

  /** Uploads in it must be gone. @throws Failure `bucket-not-empty` */
  delete(bucket: Bucket): void {
    this.#delete.run(bucket.id);
    this.#noteChange(bucket);
    this.#tally.add('buckets', -1);
  }

  /** @throws Failure `bucket-not-empty` */
  requireEmpty(bucket: Bucket): void {
    if (this.#anyVersion.get(bucket.id)) throw new Failure('bucket-not-empty', { bucket: bucket.name });
  }

  /** Whether a batch that is not durable yet has changed the bucket of this name. */
  isTouched(name: string): boolean {
    return this.#touched.has(name);
  }

  /** The batch is durable, or undone. */
  end(): void {
    this.#touched.clear();
  }

  /** Forgets what is in memory; after writes were undone. */
  forget(): void {
    this.#cache.clear();
  }

  /** For the journal, and so that nobody is shown what is not durable yet, nor what was there before. */
  #noteChange({ id, name }: Pick<Bucket, 'id' | 'name'>): void {
    this.#touched.add(name);
    this.#changes.add('bucket', id);
    this.#cache.delete(name);
  }
}
