import type { Database } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type {
  Bucket,
  ETagKind,
  ObjectVersion,
  PlacedShard,
  ProviderId,
  ProviderRecord,
  ShardCid,
  Stripe,
  StripeId,
  Upload,
  Version,
  VersionId,
  VersioningState,
} from '../../core/model.ts';
import type { Placement, PlacementChanges } from '../fleet-store.ts';
import type {
  BucketPage,
  BucketQuery,
  CompleteUpload,
  Completion,
  DeleteOutcome,
  DeleteVersion,
  MetadataStore,
  MoveExtents,
  NewBucket,
  ObjectPage,
  ObjectQuery,
  PartPage,
  PutPart,
  PutSystemObject,
  PutVersion,
  SparseStripe,
  StripeReference,
  SystemObject,
  UploadPage,
  UploadQuery,
  Usage,
  VersionPage,
  VersionQuery,
} from '../metadata-store.ts';
import type { ChangeSet, ImportReport, MetadataRecord, RecordPage } from '../record-store.ts';
import { BucketTable } from './bucket-table.ts';
import { ChangeLog } from './change-log.ts';
import { ExtentMover } from './extent-mover.ts';
import { LeftoverTally } from './leftover-tally.ts';
import { Listings } from './listings.ts';
import { NameTable } from './name-table.ts';
import { type DatabaseLog, openDatabase, openLog } from './open-database.ts';
import { PlacementTable } from './placement-table.ts';
import { ProviderTable } from './provider-table.ts';
import { RecordReader } from './record-reader.ts';
import { SettingTable } from './setting-table.ts';
import { StoreImport } from './store-import.ts';
import { StoreState } from './store-state.ts';
import { StripeReferences } from './stripe-references.ts';
import { StripeTable } from './stripe-table.ts';
import { SystemObjectTable } from './system-object-table.ts';
import { Tally } from './tally.ts';
import { UploadVerbs } from './upload-verbs.ts';
import { VersionCache } from './version-cache.ts';
import { VersionTable } from './version-table.ts';
import { VersionVerbs } from './version-verbs.ts';
import { WriteQueue } from './write-queue.ts';

/**
 * The metadata store in one SQLite file, for one gateway. The folder of `path` must exist.
 *
 * @throws Error when the file is in use by another process, of a newer schema version, or not ours
 */
export async function openSqliteStore(options: { path: string; clock: Clock; log: Log }): Promise<MetadataStore> {
  const { path, clock, log } = options;
  return new SqliteStore({ db: openDatabase(path, log), clock, log });
}

/** The same store, in memory: for tests, and for trying things out. */
export async function openMemoryStore(options: { clock: Clock; log: Log }): Promise<MetadataStore> {
  return openSqliteStore({ path: ':memory:', ...options });
}

/**
 * Writes go through the queue. Reads run at once, but for the moment that a commit takes to the disk: no read ever shows a
 * write that is not durable yet. What every request asks for, buckets and hot versions and their stripes, is answered even then
 * where that commit has not changed it.
 */
class SqliteStore implements MetadataStore {
  readonly #db: Database;
  readonly #tally: Tally;
  readonly #buckets: BucketTable;
  readonly #stripes: StripeTable;
  readonly #placements: PlacementTable;
  readonly #providers: ProviderTable;
  readonly #versions: VersionVerbs;
  readonly #uploads: UploadVerbs;
  readonly #listings: Listings;
  readonly #mover: ExtentMover;
  readonly #settings: SettingTable;
  readonly #systemObjects: SystemObjectTable;
  readonly #changes: ChangeLog;
  readonly #records: RecordReader;
  readonly #import: StoreImport;
  readonly #queue: WriteQueue;
  readonly #log: DatabaseLog | undefined;

  constructor({ db, clock, log }: { db: Database; clock: Clock; log: Log }) {
    const names = new NameTable({ db });
    const tally = new Tally({ db, clock });
    const changes = new ChangeLog({ db, tally });
    const settings = new SettingTable({ db, changes });
    const buckets = new BucketTable({ db, tally, settings, changes });
    const references = new StripeReferences({ db, tally });
    const placements = new PlacementTable({ db, names });
    const leftovers = new LeftoverTally({ db });
    const stripes = new StripeTable({ db, names, tally, clock, changes, references, placements, leftovers });
    const cache = new VersionCache();
    const versions = new VersionTable({ db, tally, stripes, changes, cache });
    const versionVerbs = new VersionVerbs({ names, tally, buckets, stripes, versions, cache });
    this.#db = db;
    this.#tally = tally;
    this.#buckets = buckets;
    this.#stripes = stripes;
    this.#placements = placements;
    this.#providers = new ProviderTable({ db, names, changes, placements, leftovers });
    this.#versions = versionVerbs;
    this.#uploads = new UploadVerbs({ db, names, tally, clock, changes, buckets, stripes, versions, versionVerbs });
    this.#listings = new Listings({ db, names, buckets, versions });
    this.#mover = new ExtentMover({ db, names, changes, buckets, references, stripes, versions, cache });
    this.#settings = settings;
    this.#systemObjects = new SystemObjectTable({ db, tally, stripes });
    this.#changes = changes;
    this.#records = new RecordReader({ db, names, changes, tally });
    const state = new StoreState({ names, tally, changes, buckets, references, stripes, placements, leftovers });
    this.#log = openLog(db);
    this.#queue = new WriteQueue({ db, state, log, flush: this.#log?.flush });
    this.#import = new StoreImport({ db, names, tally, clock, queue: this.#queue, state });
  }

  drawNumber(): number {
    return this.#tally.drawNumber();
  }

  createBucket(bucket: NewBucket): Promise<Bucket> {
    return this.#queue.run(() => this.#buckets.create(bucket));
  }

  async findBucket(name: string): Promise<Bucket | undefined> {
    if (this.#mayBeUndurable(name)) await this.#queue.flushing;
    return this.#buckets.find(name);
  }

  async listBuckets(query: BucketQuery): Promise<BucketPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#buckets.list(query);
  }

  deleteBucket(name: string): Promise<void> {
    return this.#queue.run(() => {
      const bucket = this.#buckets.require(name);
      this.#buckets.requireEmpty(bucket);
      this.#uploads.abortAll(bucket);
      this.#buckets.delete(bucket);
    });
  }

  setVersioning(name: string, state: Exclude<VersioningState, 'unversioned'>): Promise<void> {
    return this.#queue.run(() => this.#buckets.setVersioning(name, state));
  }

  setBucketProfile(name: string, profileName: string | undefined): Promise<void> {
    return this.#queue.run(() => this.#buckets.setProfile(name, profileName));
  }

  setBucketETags(name: string, etags: ETagKind | undefined): Promise<void> {
    return this.#queue.run(() => this.#buckets.setETags(name, etags));
  }

  putVersion(request: PutVersion): Promise<ObjectVersion> {
    return this.#queue.run(() => this.#versions.put(request), { isSure: request.condition === undefined });
  }

  async findVersion(bucket: string, key: string, versionId?: VersionId): Promise<Version | undefined> {
    if (this.#queue.flushing) {
      const isKnown = versionId === undefined && !this.#mayBeUndurable(bucket);
      const kept = isKnown ? this.#versions.findKept(bucket, key) : undefined;
      if (kept) return kept;
      await this.#queue.flushing;
    }
    return this.#versions.find(bucket, key, versionId);
  }

  deleteVersion(request: DeleteVersion): Promise<DeleteOutcome> {
    return this.#queue.run(() => this.#versions.delete(request), { isSure: request.condition === undefined });
  }

  setTags(
    bucket: string,
    key: string,
    versionId: VersionId | undefined,
    tags: Readonly<Record<string, string>>,
  ): Promise<ObjectVersion> {
    return this.#queue.run(() => this.#versions.setTags(bucket, key, versionId, tags));
  }

  async listObjects(query: ObjectQuery): Promise<ObjectPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#listings.listObjects(query);
  }

  async listVersions(query: VersionQuery): Promise<VersionPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#listings.listVersions(query);
  }

  createUpload(upload: Upload): Promise<void> {
    return this.#queue.run(() => this.#uploads.create(upload));
  }

  async findUpload(bucket: string, key: string, uploadId: string): Promise<Upload | undefined> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#uploads.find(bucket, key, uploadId);
  }

  async listUploads(query: UploadQuery): Promise<UploadPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#listings.listUploads(query);
  }

  putPart(request: PutPart): Promise<void> {
    return this.#queue.run(() => this.#uploads.putPart(request));
  }

  async listParts(bucket: string, key: string, uploadId: string, after?: number, limit?: number): Promise<PartPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#uploads.listParts(bucket, key, uploadId, after, limit);
  }

  completeUpload(request: CompleteUpload): Promise<ObjectVersion> {
    return this.#queue.run(() => this.#uploads.complete(request));
  }

  async findCompletion(bucket: string, key: string, uploadId: string): Promise<Completion | undefined> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#uploads.findCompletion(bucket, key, uploadId);
  }

  abortUpload(bucket: string, key: string, uploadId: string): Promise<void> {
    return this.#queue.run(() => this.#uploads.abort(bucket, key, uploadId));
  }

  async findStripes(ids: readonly StripeId[]): Promise<Map<StripeId, Stripe>> {
    if (this.#queue.flushing) {
      const kept = this.#stripes.findKept(ids);
      if (kept) return kept;
      await this.#queue.flushing;
    }
    return this.#stripes.find(ids);
  }

  async listSparseStripes(limit: number): Promise<SparseStripe[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.listSparse(limit);
  }

  listReferences(id: StripeId): Promise<StripeReference[]> {
    return this.#mover.listReferences(id);
  }

  moveExtents(request: MoveExtents): Promise<void> {
    return this.#queue.run(() => this.#mover.move(request));
  }

  recordShard(stripeId: StripeId, shard: PlacedShard): Promise<void> {
    return this.#queue.run(() => this.#stripes.recordShard(stripeId, shard));
  }

  async listDegradedStripes(limit: number): Promise<Stripe[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.listDegraded(limit);
  }

  async knownShards(cids: readonly ShardCid[], holder?: ProviderId): Promise<Set<ShardCid>> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.knownShards(cids, holder);
  }

  async listProviders(): Promise<ProviderRecord[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#providers.list();
  }

  putProvider(record: ProviderRecord): Promise<void> {
    return this.#queue.run(() => this.#providers.put(record));
  }

  forgetProvider(id: ProviderId): Promise<void> {
    return this.#queue.run(() => this.#providers.forget(id));
  }

  listPlacements(isWanted?: (placement: Placement) => boolean): Promise<Placement[]> {
    return this.#placements.list(() => this.#queue.flushing, isWanted);
  }

  readPlacementChanges(mark: number | undefined): Promise<PlacementChanges | undefined> {
    return this.#placements.readChanges(mark, () => this.#queue.flushing);
  }

  async listUsedProfiles(): Promise<string[]> {
    await this.#queue.flushing;
    return this.#placements.listProfiles();
  }

  async listPlacedStripes(placementId: number, after: StripeId | undefined, limit: number): Promise<Stripe[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.listPlaced(placementId, after, limit);
  }

  listStripes(after: StripeId | undefined, limit: number): Promise<Stripe[]> {
    return this.#stripes.listLive(after, limit, () => this.#queue.flushing);
  }

  loseShard(stripeId: StripeId, shard: PlacedShard): Promise<void> {
    return this.#queue.run(() => this.#stripes.loseShard(stripeId, shard));
  }

  async findOldestDegradedMs(): Promise<number | undefined> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.findOldestDegradedMs();
  }

  async listFreedStripes(beforeMs: number, limit: number): Promise<Stripe[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#stripes.listFreed(beforeMs, limit);
  }

  forgetStripe(id: StripeId): Promise<void> {
    return this.#queue.run(() => this.#stripes.forget(id));
  }

  async forgetCompletions(beforeMs: number): Promise<void> {
    while (await this.#queue.run(() => this.#uploads.forgetCompletions(beforeMs)));
  }

  async countUsage(): Promise<Usage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#tally.usage();
  }

  async findSetting(name: string): Promise<string | undefined> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#settings.find(name);
  }

  putSetting(name: string, value: string): Promise<void> {
    return this.#queue.run(() => this.#settings.put(name, value));
  }

  putSystemObject(request: PutSystemObject): Promise<void> {
    return this.#queue.run(() => this.#systemObjects.put(request));
  }

  async listSystemObjects(): Promise<SystemObject[]> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#systemObjects.list();
  }

  deleteSystemObjects(names: readonly string[]): Promise<void> {
    return this.#queue.run(() => {
      for (const name of names) this.#systemObjects.delete(name);
    });
  }

  readChanges(): Promise<ChangeSet> {
    return this.#records.readChanges();
  }

  forgetChanges(mark: number): Promise<void> {
    return this.#queue.run(() => this.#changes.forget(mark));
  }

  async readRecords(cursor: string | undefined, limit: number): Promise<RecordPage> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#records.readPage(cursor, limit);
  }

  importRecords(records: readonly MetadataRecord[]): Promise<void> {
    return this.#import.add(records);
  }

  async withoutFreeing<T>(work: () => Promise<T>): Promise<T> {
    await this.#queue.run(() => this.#stripes.deferFreeing());
    try {
      return await work();
    } finally {
      await this.#queue.run(() => this.#stripes.freeDeferred());
    }
  }

  finishImport(): Promise<ImportReport> {
    return this.#import.finish();
  }

  async knownNumbers(numbers: readonly number[]): Promise<Set<number>> {
    if (this.#queue.flushing) await this.#queue.flushing;
    return this.#records.knownNumbers(numbers);
  }

  async close(): Promise<void> {
    await this.#queue.close();
    this.#log?.close();
    this.#db.close();
  }

  /** Whether a commit is on its way to the disk that has changed the bucket. */
  #mayBeUndurable(bucketName: string): boolean {
    if (this.#queue.flushing === undefined) return false;
    return this.#import.isUnderWay || this.#buckets.isTouched(bucketName);
  }
}
