/**
 * The nouns of Holdfast (see the glossary in docs/architecture.md), shared by every layer. Plain immutable data.
 */

/** Whoever can own a bucket or an object. */
export interface Account {
  /** Twelve decimal digits, as AWS account ids are. */
  readonly accountId: string;
  /** Canonical user id: 64 hex digits. This is the `ownerId` in every other record. */
  readonly canonicalId: string;
  readonly displayName: string;
  readonly email: string;
}

export const versioningStates = ['unversioned', 'enabled', 'suspended'] as const;
/** `unversioned` is a bucket that never had versioning; once it was enabled it can only be suspended. */
export type VersioningState = (typeof versioningStates)[number];

export interface Bucket {
  /** Internal, never reused: a bucket that is deleted and made again under its old name has another id. */
  readonly id: number;
  readonly name: string;
  readonly ownerId: string;
  readonly region: string;
  readonly createdAtMs: number;
  readonly versioning: VersioningState;
  /** The profile of what is written without a storage class; absent: STANDARD. */
  readonly profileName?: string;
  /** Absent: as the server does. */
  readonly etags?: ETagKind;
}

export const etagKinds = ['md5', 'opaque'] as const;
/** What the ETag of new objects and parts is: the MD5 of their bytes, or one that says nothing of them and costs nothing. */
export type ETagKind = (typeof etagKinds)[number];

/** 16 random, time-ordered bytes in 32 lower-case hex digits. */
export type StripeId = string & { readonly __brand: 'StripeId' };

/** CIDv1 (raw, sha2-256, base32) of a shard; see docs/shard-format.md for what is hashed. */
export type ShardCid = string & { readonly __brand: 'ShardCid' };

/** A provider's name from the configuration, such as `p1`. */
export type ProviderId = string & { readonly __brand: 'ProviderId' };

/** `length` bytes of a stripe's data, from `offset`. */
export interface Extent {
  readonly stripeId: StripeId;
  readonly offset: number;
  readonly length: number;
}

/**
 * A span of a sealed stream: bytes that were encrypted with one data key, of which some are meant (docs/encryption.md).
 * An object's bytes are the meant bytes of its spans, one after the other. A plain PUT has one span, which is its whole
 * stream; an object made of parts has one for each part; a copied part may mean only a piece of its source's stream.
 */
export interface SealedSpan {
  /** The data key, wrapped with the master key: 40 bytes. */
  readonly wrappedKey: Uint8Array;
  /** Plain bytes of the whole stream, which say which package is its last. */
  readonly streamBytes: number;
  /** The plain bytes of the stream that are meant: `length` of them, from `offset`. */
  readonly offset: number;
  readonly length: number;
  /** Where the sealed packages that hold the meant bytes lie: whole packages, in order. */
  readonly extents: readonly Extent[];
}

export const providerStates = ['joining', 'active', 'suspended', 'draining', 'gone'] as const;
/**
 * What an operator has said of a provider (docs/operations.md); whether it answers is another matter.
 * - `joining`: known, but not opened and checked yet; it takes nothing
 * - `active`: takes new shards and serves
 * - `suspended`: not called at all for a while; its shards count as absent, and are not rebuilt elsewhere
 * - `draining`: takes nothing new and serves; its shards are moved elsewhere
 * - `gone`: will never come back; its shards are lost
 */
export type ProviderState = (typeof providerStates)[number];

/** How a provider is reached. */
export type ProviderLocation =
  | {
      readonly kind: 'directory';
      readonly path: string;
      /** Free space of the file system that new shards leave alone. */
      readonly reserveBytes: number;
      /** Shards shorter than this share segment files; 0: every shard is a file. */
      readonly segmentShardBytes: number;
    }
  | {
      readonly kind: 'node';
      /** Such as `https://node1.example.net:9100`. */
      readonly endpoint: string;
      readonly keyId: string;
      readonly secret: string;
      /** Certificates to trust instead of the system's, in PEM. */
      readonly ca?: string;
    }
  | {
      readonly kind: 'bucket';
      /** Absent for AWS itself. */
      readonly endpoint?: string;
      readonly region: string;
      readonly bucket: string;
      readonly prefix: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly isPathStyle: boolean;
    };

/** A member of the fleet as the metadata store keeps it. */
export interface ProviderRecord {
  readonly id: ProviderId;
  readonly state: ProviderState;
  /** Who runs it, in which country, in which zone: what may fail together. Empty where nobody said; then it stands for itself. */
  readonly operator: string;
  readonly country: string;
  readonly zone: string;
  /** Share of new data that it should take, relative to the others; above 0. */
  readonly weight: number;
  /** What it may hold at most; absent: as much as it says it can. */
  readonly capacityBytes?: number;
  readonly location: ProviderLocation;
  /** When it came to be in its present state. */
  readonly stateSinceMs: number;
}

/** Where one shard of a stripe lies. */
export interface PlacedShard {
  /** 0 to k-1 are data, k to k+m-1 are parity. */
  readonly index: number;
  readonly providerId: ProviderId;
  readonly cid: ShardCid;
}

/** A storage class: how a stripe is cut. */
export interface Profile {
  /** The S3 storage class it serves, such as STANDARD. At most 16 ASCII characters. */
  readonly name: string;
  /** Data shards. */
  readonly k: number;
  /** Parity shards. */
  readonly m: number;
}

/** A committed stripe. Immutable but for `shards`, which repair and rebalance move. */
export interface Stripe {
  readonly id: StripeId;
  readonly profileName: string;
  readonly k: number;
  readonly m: number;
  readonly blockBytes: number;
  /** Bytes of data that the stripe holds, before coding. The manifest is the last of them. */
  readonly dataBytes: number;
  /** Length of the stripe's manifest; 0 where no object ends in the stripe. */
  readonly manifestBytes: number;
  /** The shards that are known to be durable, by index. Shards with no stored bytes (see geometry) never appear. */
  readonly shards: readonly PlacedShard[];
  /** Shards that were found to be gone or wrong where they were, until repair has replaced them; absent where there are none. */
  readonly lostShards?: readonly PlacedShard[];
}

export const checksumAlgorithms = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];
export const checksumTypes = ['FULL_OBJECT', 'COMPOSITE'] as const;
export type ChecksumType = (typeof checksumTypes)[number];

/** `value` is base64; a composite one carries the part count, as in `abc=-3`. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly type: ChecksumType;
  readonly value: string;
}

/** Headers that are stored with an object and given back as they came. Absent means never set. */
export interface ContentHeaders {
  readonly contentType?: string;
  readonly cacheControl?: string;
  readonly contentDisposition?: string;
  readonly contentEncoding?: string;
  readonly contentLanguage?: string;
  /** As the client sent it: AWS stores the text, not the date. */
  readonly expires?: string;
  readonly websiteRedirectLocation?: string;
}

/** What a client says about an object, beside its bytes. */
export interface ObjectAttributes {
  readonly headers: ContentHeaders;
  /** Names in lower case, without `x-amz-meta-`. */
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

/** One part of an object that was uploaded in parts: what GET by part number and GetObjectAttributes need. */
export interface PartSummary {
  readonly partNumber: number;
  readonly sizeBytes: number;
  /** The part's own checksum in base64, where the upload had an algorithm. */
  readonly checksum?: string;
}

/** The bytes of an object version or a part, and what is known of them. */
export interface StoredContent {
  readonly sizeBytes: number;
  /** Hex digits without quotes; `-N` at the end for multipart, and for one that is no MD5. */
  readonly etag: string;
  readonly checksum?: Checksum;
  readonly spans: readonly SealedSpan[];
}

/** The S3 version id: `null`, or an opaque string made by the metadata store. */
export type VersionId = string;

interface VersionCommon {
  readonly key: string;
  readonly versionId: VersionId;
  readonly ownerId: string;
  /** Whole seconds matter to HTTP; milliseconds are kept for XML listings. */
  readonly modifiedAtMs: number;
  readonly isLatest: boolean;
}

export interface ObjectVersion extends VersionCommon, ObjectAttributes, StoredContent {
  readonly kind: 'object';
  /** Empty unless the object came from a multipart upload. */
  readonly parts: readonly PartSummary[];
}

export interface DeleteMarker extends VersionCommon {
  readonly kind: 'delete-marker';
}

export type Version = ObjectVersion | DeleteMarker;

/** A multipart upload in progress. */
export interface Upload {
  readonly uploadId: string;
  readonly bucket: string;
  readonly key: string;
  /** Who started it, and will own the object. */
  readonly ownerId: string;
  readonly initiatorId: string;
  readonly initiatedAtMs: number;
  readonly attributes: ObjectAttributes;
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly checksumType?: ChecksumType;
}

export interface Part extends StoredContent {
  readonly partNumber: number;
  readonly modifiedAtMs: number;
}

/** A condition on the current version of a key, checked in the same transaction as the write that it guards. */
export type WriteCondition =
  /** `If-None-Match: *`: no current object (a delete marker counts as none). */
  | { readonly kind: 'absent' }
  /** `If-Match`: a current object with this ETag (hex, no quotes), or `*` for any. */
  | { readonly kind: 'etag'; readonly etag: string };
