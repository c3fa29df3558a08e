import type {
  Bucket,
  Checksum,
  ETagKind,
  Extent,
  ObjectAttributes,
  ObjectVersion,
  Part,
  PartSummary,
  PlacedShard,
  ProviderId,
  SealedSpan,
  ShardCid,
  StoredContent,
  Stripe,
  StripeId,
  Upload,
  Version,
  VersionId,
  VersioningState,
  WriteCondition,
} from '../core/model.ts';
import type { FleetStore } from './fleet-store.ts';
import type { RecordStore } from './record-store.ts';

/**
 * The source of truth about buckets, versions, uploads, stripes and where their shards lie.
 *
 * Duties of every implementation:
 * - A write verb is one atomic transaction: it happens wholly or not at all, and when its promise resolves it is durable
 *   (it survives a power cut). Concurrent writes may share one commit.
 * - A read verb sees every write that was acknowledged before it was called.
 * - Verbs refuse with a `Failure` of the kinds that each one names; any other error is a fault of the store itself.
 * - Verbs that name a bucket throw `bucket-missing` when there is none, also when it went away since the caller looked.
 * - Keys compare by the bytes of their UTF-8 form.
 * - Nothing here does I/O to providers. A stripe whose last reference is dropped becomes *freed*; upkeep deletes its
 *   shards and then calls `forgetStripe`.
 */
export interface MetadataStore extends FleetStore, RecordStore {
  /**
   * A number that no version, part or upload has or will ever have; later ones are higher, also after a restart. Writers draw it
   * before their bytes go to the providers, since the stripe's manifest bears it. Nothing is stored.
   */
  drawNumber(): number;

  /** @throws Failure `bucket-exists` */
  createBucket(bucket: NewBucket): Promise<Bucket>;
  findBucket(name: string): Promise<Bucket | undefined>;
  /** Buckets of one owner in name order. */
  listBuckets(query: BucketQuery): Promise<BucketPage>;
  /** Uploads in progress do not keep a bucket; they are aborted with it. @throws Failure `bucket-not-empty` (any version or delete marker) */
  deleteBucket(name: string): Promise<void>;
  setVersioning(name: string, state: Exclude<VersioningState, 'unversioned'>): Promise<void>;
  /** Sets the profile of what is written without a storage class from then on; undefined: none of the bucket's own. */
  setBucketProfile(name: string, profileName: string | undefined): Promise<void>;
  /** Sets what the ETag of what is written from then on is; undefined: as the server does. */
  setBucketETags(name: string, etags: ETagKind | undefined): Promise<void>;

  /**
   * Makes an object version the current one of its key, and registers the stripes that were written for it.
   * In an unversioned or suspended bucket it replaces the `null` version; in an enabled one it adds a version.
   *
   * @throws Failure `precondition-failed`, `object-missing` (an `etag` condition and no current object), `stripe-missing`
   *   (an extent names a stripe that is neither in `stripes` nor live)
   */
  putVersion(request: PutVersion): Promise<ObjectVersion>;
  /** The current version, or the named one; delete markers included. */
  findVersion(bucket: string, key: string, versionId?: VersionId): Promise<Version | undefined>;
  /**
   * S3's DELETE: without `versionId`, removes the object (unversioned), or lays a delete marker over it (enabled: a new
   * version; suspended: in place of the `null` version). With `versionId`, removes that version for good and makes the
   * next one current. Deleting what is not there succeeds.
   *
   * @throws Failure `precondition-failed`, `object-missing` (an `etag` condition and no current object)
   */
  deleteVersion(request: DeleteVersion): Promise<DeleteOutcome>;
  /** Replaces the tags of a version. @throws Failure `object-missing`, `version-missing`, `delete-marker` */
  setTags(
    bucket: string,
    key: string,
    versionId: VersionId | undefined,
    tags: Readonly<Record<string, string>>,
  ): Promise<ObjectVersion>;
  /** Current objects in key order; costs one seek a key and one a common prefix, however much lies beneath. */
  listObjects(query: ObjectQuery): Promise<ObjectPage>;
  /** All versions and delete markers: keys in order, within a key the newest first. */
  listVersions(query: VersionQuery): Promise<VersionPage>;

  createUpload(upload: Upload): Promise<void>;
  /** An upload that is open: neither completed nor aborted. */
  findUpload(bucket: string, key: string, uploadId: string): Promise<Upload | undefined>;
  /** Open uploads in order of key, then of initiation. */
  listUploads(query: UploadQuery): Promise<UploadPage>;
  /** Adds or replaces a part. @throws Failure `upload-missing`, `stripe-missing` */
  putPart(request: PutPart): Promise<void>;
  /** Parts in order of number; no `limit` means all. @throws Failure `upload-missing` */
  listParts(bucket: string, key: string, uploadId: string, after?: number, limit?: number): Promise<PartPage>;
  /**
   * Turns chosen parts into an object version and ends the upload; parts that were not chosen are dropped. The outcome is remembered for
   * `findCompletion`.
   *
   * @throws Failure `upload-missing`, `part-invalid` (a part was replaced since the caller looked), `precondition-failed`, `object-missing`
   */
  completeUpload(request: CompleteUpload): Promise<ObjectVersion>;
  /** What a completed upload came to, for a client that repeats the call; kept for at least a day. */
  findCompletion(bucket: string, key: string, uploadId: string): Promise<Completion | undefined>;
  /** @throws Failure `upload-missing` */
  abortUpload(bucket: string, key: string, uploadId: string): Promise<void>;

  /** Stripes by id, in no order; ids that are unknown are left out. Freed stripes are still found until forgotten. */
  findStripes(ids: readonly StripeId[]): Promise<Map<StripeId, Stripe>>;
  /**
   * Live stripes that take much more space than what is referred to in them needs, the worst first: what compaction
   * looks at. Stripes of the profile `systemProfileName` are never among them.
   */
  listSparseStripes(limit: number): Promise<SparseStripe[]>;
  /** Who refers to a stripe, as they are now. Nobody for a stripe that is freed or unknown. */
  listReferences(id: StripeId): Promise<StripeReference[]>;
  /**
   * Redirects extents, whoever they belong to by now: in versions and parts alike, every extent that lies wholly within
   * a move's `from` then lies at the same distance from its `to`. Extents that lie in no `from`, or only partly in one, stay. New stripes
   * are registered with it; one in which nothing lies starts as freed, and an old one to which nothing refers any more is freed.
   *
   * @throws Failure `stripe-missing` (a `to` names a stripe that is neither in `stripes` nor live)
   */
  moveExtents(request: MoveExtents): Promise<void>;
  /** Records where a shard lies now (after repair or a move), in place of what was known of that index. @throws Failure `stripe-missing` */
  recordShard(stripeId: StripeId, shard: PlacedShard): Promise<void>;
  /** Live stripes that have fewer durable shards than they should: those first that can bear the fewest further losses. */
  listDegradedStripes(limit: number): Promise<Stripe[]>;
  /**
   * Which of these shards belong to a stripe that is known (live or freed). With `holder`, only those that are recorded at this
   * provider, as good or as lost: what is not among them is an orphan there, although another may hold the same.
   */
  knownShards(cids: readonly ShardCid[], holder?: ProviderId): Promise<Set<ShardCid>>;
  /** Stripes that nothing refers to since before `beforeMs`, oldest first. */
  listFreedStripes(beforeMs: number, limit: number): Promise<Stripe[]>;
  /** Drops the record of a freed stripe once its shards are gone. Does nothing to a live or unknown one. */
  forgetStripe(id: StripeId): Promise<void>;
  /** Drops completions older than this. */
  forgetCompletions(beforeMs: number): Promise<void>;
  /** Counts for metrics and status; may be a little stale. */
  countUsage(): Promise<Usage>;

  /** A small fact about this store, such as which master key it was made with. See `localSettingPrefix`. */
  findSetting(name: string): Promise<string | undefined>;
  putSetting(name: string, value: string): Promise<void>;

  /**
   * System objects: what snapshots and journal are stored as. They refer to stripes as versions do, and that is all they
   * have in common: no bucket, never listed, never moved, and neither they nor their stripes are among the records.
   */
  putSystemObject(request: PutSystemObject): Promise<void>;
  /** In order of number. */
  listSystemObjects(): Promise<SystemObject[]>;
  /** Drops those of these names; their stripes are freed. */
  deleteSystemObjects(names: readonly string[]): Promise<void>;

  /** Waits for writes under way, then releases files. No verb may be called afterwards. */
  close(): Promise<void>;
}

export interface NewBucket {
  readonly name: string;
  readonly ownerId: string;
  readonly region: string;
  readonly createdAtMs: number;
}

/** A setting whose name starts so holds for this store alone, and is never among the records. */
export const localSettingPrefix = 'local:';

export interface BucketQuery {
  readonly ownerId: string;
  readonly prefix?: string;
  /** Only names after this one. */
  readonly after?: string;
  readonly region?: string;
  readonly limit: number;
}

export interface BucketPage {
  readonly buckets: readonly Bucket[];
  readonly isTruncated: boolean;
}

/** A stripe as the writer leaves it: `shards` may be fewer than k+m when a provider failed, but never below the quorum. */
export interface NewStripe extends Stripe {
  /** How many shards of it should exist: k+m less those with no stored bytes. */
  readonly shardCount: number;
  /** What all of these shards together take at the providers. */
  readonly storedBytes: number;
}

/** The profile of stripes that hold system objects. */
export const systemProfileName = 'SYSTEM';

export interface SparseStripe {
  readonly stripe: Stripe;
  readonly storedBytes: number;
  /** Bytes of its data that are referred to; those of copies count as often as they are. */
  readonly liveBytes: number;
}

/** A version or a part whose extents lie, at least in part, in the stripe that was asked for. */
export type StripeReference =
  | { readonly kind: 'version'; readonly bucket: Bucket; readonly number: number; readonly version: ObjectVersion }
  | {
      readonly kind: 'part';
      readonly bucket: Bucket;
      readonly number: number;
      readonly key: string;
      readonly uploadId: string;
      readonly part: Part;
    };

export interface ExtentMove {
  readonly from: Extent;
  /** Where the first byte of `from` lies now. */
  readonly to: { readonly stripeId: StripeId; readonly offset: number };
}

export interface MoveExtents {
  readonly moves: readonly ExtentMove[];
  readonly stripes: readonly NewStripe[];
}

export interface PutSystemObject {
  readonly name: string;
  readonly number: number;
  readonly sizeBytes: number;
  readonly spans: readonly SealedSpan[];
  readonly stripes: readonly NewStripe[];
}

export type SystemObject = Omit<PutSystemObject, 'stripes'>;

export interface PutVersion {
  readonly bucket: string;
  readonly key: string;
  /** From `drawNumber`. The version id follows from it, where the bucket has versioning enabled. */
  readonly number: number;
  readonly ownerId: string;
  readonly modifiedAtMs: number;
  readonly content: StoredContent;
  readonly attributes: ObjectAttributes;
  /** For a copy of an object that has parts; none otherwise. */
  readonly parts?: readonly PartSummary[];
  /**
   * Stripes written for this version, to be registered with it; one that is registered already, along with another object in
   * it, stays as it is. Extents may also refer to live ones (a copy). A stripe in which no extent lies starts as freed.
   */
  readonly stripes: readonly NewStripe[];
  readonly condition?: WriteCondition;
}

export interface DeleteVersion {
  readonly bucket: string;
  readonly key: string;
  readonly versionId?: VersionId;
  /** Owner of the delete marker, if one is laid. */
  readonly ownerId: string;
  readonly nowMs: number;
  /** Checked against the version that is named, else against the current object; a delete marker is no object. */
  readonly condition?: Extract<WriteCondition, { kind: 'etag' }>;
}

/** What a DELETE did, as its response headers say it. */
export type DeleteOutcome =
  /** Nothing, or an object of an unversioned bucket, was removed: no version headers. */
  | { readonly kind: 'removed' }
  /** A delete marker was laid. */
  | { readonly kind: 'marker-created'; readonly versionId: VersionId }
  /** The named version was removed (or was not there); `wasDeleteMarker` says what it was. */
  | { readonly kind: 'version-removed'; readonly versionId: VersionId; readonly wasDeleteMarker: boolean };

interface KeyQuery {
  readonly bucket: string;
  readonly prefix?: string;
  readonly delimiter?: string;
  /** At most this many entries (objects and common prefixes together). 0 gives an empty, untruncated page. */
  readonly limit: number;
}

export interface ObjectQuery extends KeyQuery {
  /** Only keys after this one (bytewise). */
  readonly after?: string;
  /** Set when `after` came from an earlier page: then a common prefix that `after` lies in or equals was already given and is skipped whole. */
  readonly skipPrefixOfAfter?: boolean;
}

/** A listing shows how a checksum was computed, not its value. */
export type ListedChecksum = Pick<Checksum, 'algorithm' | 'type'>;

/** What a listing shows of an object. */
export type ListedObject = Pick<
  ObjectVersion,
  'key' | 'sizeBytes' | 'etag' | 'modifiedAtMs' | 'storageClass' | 'ownerId'
> & { readonly checksum?: ListedChecksum };

export interface ObjectPage {
  readonly objects: readonly ListedObject[];
  readonly commonPrefixes: readonly string[];
  readonly isTruncated: boolean;
  /** The last key or common prefix of a truncated page: the next page's `after`. */
  readonly next?: string;
}

export interface VersionQuery extends KeyQuery {
  /** Only keys after this one; if it equals a common prefix, that was given and is skipped whole. */
  readonly keyMarker?: string;
  /**
   * Only with `keyMarker`: start after this version of that key; if it is not known, with the key's newest version. Without
   * it, start after all versions of the key.
   */
  readonly versionIdMarker?: VersionId;
}

export type ListedVersion =
  | ({ readonly kind: 'object' } & ListedObject & Pick<ObjectVersion, 'versionId' | 'isLatest'>)
  | Extract<Version, { kind: 'delete-marker' }>;

export interface VersionPage {
  readonly versions: readonly ListedVersion[];
  readonly commonPrefixes: readonly string[];
  readonly isTruncated: boolean;
  readonly nextKeyMarker?: string;
  /** Absent when the page ended with a common prefix. */
  readonly nextVersionIdMarker?: VersionId;
}

export interface UploadQuery extends KeyQuery {
  readonly keyMarker?: string;
  /** Only with `keyMarker`: uploads of that key after this one; if it is not known, with the key's first. */
  readonly uploadIdMarker?: string;
}

export interface UploadPage {
  readonly uploads: readonly Upload[];
  readonly commonPrefixes: readonly string[];
  readonly isTruncated: boolean;
  readonly nextKeyMarker?: string;
  readonly nextUploadIdMarker?: string;
}

export interface PutPart {
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
  /** From `drawNumber`. */
  readonly number: number;
  readonly part: Part;
  readonly stripes: readonly NewStripe[];
}

export interface PartPage {
  readonly upload: Upload;
  readonly parts: readonly Part[];
  readonly isTruncated: boolean;
}

export interface CompleteUpload {
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
  /** In ascending order of number; the ETag must still be that of the stored part. */
  readonly parts: readonly { readonly partNumber: number; readonly etag: string }[];
  /** The object's ETag and checksum, computed by the caller from the parts. */
  readonly etag: string;
  readonly checksum?: StoredContent['checksum'];
  readonly modifiedAtMs: number;
  readonly condition?: WriteCondition;
}

export interface Completion {
  readonly etag: string;
  readonly versionId: VersionId;
  readonly checksum?: StoredContent['checksum'];
  /** The parts that it was completed with. */
  readonly parts: readonly { readonly partNumber: number; readonly etag: string }[];
}

export interface Usage {
  readonly buckets: number;
  readonly versions: number;
  readonly liveStripes: number;
  readonly freedStripes: number;
  readonly degradedStripes: number;
  /** What the shards of all live stripes take, and what is referred to in them would take at k+m without any overhead. */
  readonly storedBytes: number;
  readonly neededBytes: number;
}
