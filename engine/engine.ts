import type {
  Bucket,
  Checksum,
  ChecksumAlgorithm,
  ChecksumType,
  ContentHeaders,
  ETagKind,
  ObjectAttributes,
  ObjectVersion,
  Part,
  Upload,
  Version,
  VersionId,
  VersioningState,
  WriteCondition,
} from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import type {
  BucketPage,
  BucketQuery,
  DeleteOutcome,
  DeleteVersion,
  ListedObject,
  ListedVersion,
  NewBucket,
  ObjectPage,
  ObjectQuery,
  PartPage,
  UploadPage,
  UploadQuery,
  Usage,
  VersionPage,
  VersionQuery,
} from '../metadata/metadata-store.ts';

/**
 * Everything that the gateway can ask for: S3's verbs on typed data, without HTTP or XML. Calls refuse with a `Failure`.
 */
export interface Engine {
  readonly buckets: Buckets;
  readonly objects: Objects;
  readonly uploads: Uploads;
}

export interface Buckets {
  create(bucket: NewBucket): Promise<Bucket>;
  /** @throws Failure `bucket-missing` */
  get(name: string): Promise<Bucket>;
  list(query: BucketQuery): Promise<BucketPage>;
  delete(name: string): Promise<void>;
  setVersioning(name: string, state: Exclude<VersioningState, 'unversioned'>): Promise<void>;
  /**
   * Sets the profile of what is written without a storage class; undefined: STANDARD again. What is stored stays as it is.
   * @throws Failure `bucket-missing`, `profile-missing`
   */
  setProfile(name: string, profileName: string | undefined): Promise<void>;
  /**
   * Sets what the ETag of what is written is; undefined: as the server does. What is stored keeps its ETag.
   * @throws Failure `bucket-missing`
   */
  setETags(name: string, etags: ETagKind | undefined): Promise<void>;
}

export interface Objects {
  /** Stores a payload. Nothing is visible unless the promise resolves; then it is durable. */
  put(request: PutObject, signal: AbortSignal): Promise<ObjectVersion>;
  /**
   * Finds a version, checks the conditions, and resolves range or part number to bytes; reads nothing yet.
   * @throws Failure `object-missing`, `version-missing`, `delete-marker`, `precondition-failed`, `not-modified`,
   *   `range-not-satisfiable`, `part-number-not-satisfiable`
   */
  open(request: OpenObject): Promise<OpenedObject>;
  copy(request: CopyObject, signal: AbortSignal): Promise<CopiedObject>;
  delete(request: DeleteVersion): Promise<DeleteOutcome>;
  setTags(target: VersionTarget, tags: Readonly<Record<string, string>>): Promise<ObjectVersion>;
  list(query: ObjectQuery): Promise<ObjectPage>;
  listVersions(query: VersionQuery): Promise<VersionPage>;
}

export interface Uploads {
  create(request: CreateUpload): Promise<Upload>;
  /** @throws Failure `upload-missing` */
  get(target: UploadTarget): Promise<Upload>;
  putPart(request: UploadPart, signal: AbortSignal): Promise<Part>;
  copyPart(request: CopyPart, signal: AbortSignal): Promise<CopiedPart>;
  listParts(target: UploadTarget, after: number, limit: number): Promise<PartPage>;
  list(query: UploadQuery): Promise<UploadPage>;
  complete(request: CompleteUploadRequest, signal: AbortSignal): Promise<CompletedUpload>;
  abort(target: UploadTarget): Promise<void>;
}

export interface ObjectTarget {
  readonly bucket: string;
  readonly key: string;
}

export interface VersionTarget extends ObjectTarget {
  readonly versionId?: VersionId;
}

export interface UploadTarget extends ObjectTarget {
  readonly uploadId: string;
}

export interface PutObject extends ObjectTarget {
  readonly ownerId: string;
  readonly payload: Payload;
  readonly attributes: ObjectAttributes;
  readonly condition?: WriteCondition;
}

/** Conditions of GET, HEAD and copy sources, in RFC 9110's and AWS's order of precedence. ETags are bare; `*` is any. */
export interface ReadConditions {
  readonly ifMatch?: readonly string[];
  readonly ifNoneMatch?: readonly string[];
  readonly ifModifiedSinceMs?: number;
  readonly ifUnmodifiedSinceMs?: number;
}

/** A single byte range as asked for: `first-last`, `first-` (no last), or `-suffixLength`. */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last?: number }
  | { readonly kind: 'suffix'; readonly length: number };

export interface OpenObject extends VersionTarget {
  readonly conditions?: ReadConditions;
  readonly range?: RangeRequest;
  /** Mutually exclusive with `range`; the gateway refuses both. */
  readonly partNumber?: number;
}

export interface OpenedObject {
  readonly version: ObjectVersion;
  /** The bytes that were asked for. */
  readonly offset: number;
  readonly length: number;
  /** Whether `range` or `partNumber` made it a 206. */
  readonly isPartial: boolean;
  /**
   * Verified bytes in order, in chunks that belong to the reader, each a buffer of its own. To be called at most once. The first chunk either
   * comes or throws `too-few-shards` or `overloaded`, so a caller that awaits it before the status line never sends a short body for
   * want of shards that were already gone.
   */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The same bytes at once, verified, where they are few and nothing is wrong: the quick way to small objects. Undefined
   * otherwise; then `read` is to be called.
   *
   * @param caller.signal looked at only where a provider has to be asked: to make one costs as much as to find a small object in memory
   * @throws Failure `stripe-missing`; the signal's reason
   */
  readWhole(caller: { readonly signal: AbortSignal }): Promise<WholeRead | undefined>;
}

/** All bytes of a read. */
export interface WholeRead {
  /** To be read only: other readers may have the same. */
  readonly bytes: Uint8Array;
  /**
   * To be called once when the bytes were sent, or will not be: until then they count as memory in use.
   *
   * @param isDone whether nobody reads them any more, the kernel included: then they may be gone afterwards
   */
  release(isDone: boolean): void;
}

export interface CopySource extends VersionTarget {
  readonly conditions?: ReadConditions;
}

export interface CopyObject extends ObjectTarget {
  readonly source: CopySource;
  readonly ownerId: string;
  /** Given with directive REPLACE; else the source's are taken over. */
  readonly metadata?: { readonly headers: ContentHeaders; readonly userMetadata: Readonly<Record<string, string>> };
  readonly tags?: Readonly<Record<string, string>>;
  readonly storageClass: string;
  /** Compute this checksum for the copy, where the source does not have it already. */
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly condition?: WriteCondition;
}

export interface CopiedObject {
  readonly version: ObjectVersion;
  /** The version that was copied, `null` included. */
  readonly sourceVersionId: VersionId;
}

export interface CreateUpload extends ObjectTarget {
  readonly ownerId: string;
  readonly attributes: ObjectAttributes;
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly checksumType?: ChecksumType;
}

export interface UploadPart extends UploadTarget {
  readonly partNumber: number;
  readonly payload: Payload;
}

export interface CopyPart extends UploadTarget {
  readonly partNumber: number;
  readonly source: CopySource;
  /** Inclusive; both ends must lie within the source. */
  readonly range?: { readonly first: number; readonly last: number };
}

export interface CopiedPart {
  readonly part: Part;
  readonly sourceVersionId: VersionId;
}

export interface CompleteUploadRequest extends UploadTarget {
  /** As the client lists them; the engine checks order, presence, ETags, checksums and sizes. */
  readonly parts: readonly {
    readonly partNumber: number;
    readonly etag: string;
    readonly checksum?: { algorithm: ChecksumAlgorithm; value: string };
  }[];
  /** From x-amz-mp-object-size. */
  readonly expectedSizeBytes?: number;
  /** The object's checksum as the client computed it, and of which type it says it is. */
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly value: string };
  readonly checksumType?: ChecksumType;
  readonly condition?: WriteCondition;
}

export interface CompletedUpload {
  readonly etag: string;
  readonly versionId: VersionId;
  readonly checksum?: Checksum;
}

export type { BucketQuery, DeleteOutcome, ListedObject, ListedVersion, ObjectQuery, Usage, Version };
