/**
 * Every way in which the layers below the gateway can refuse or fail, with the data that explains it.
 *
 * No layer below `gateway/` knows an S3 error code: the gateway owns one table from these kinds to codes, and a kind
 * that is added here fails the type check there until it is mapped.
 */
export interface FailureDetails {
  'bucket-missing': { bucket: string };
  'bucket-exists': { bucket: string; ownerId: string };
  'bucket-not-empty': { bucket: string };
  'object-missing': { bucket: string; key: string };
  'version-missing': { bucket: string; key: string; versionId: string };
  /** The version that was asked for is a delete marker. `named` tells whether the caller named its version id. */
  'delete-marker': { bucket: string; key: string; versionId: string; named: boolean; modifiedAtMs: number };
  'upload-missing': { uploadId: string };
  /** A part named in CompleteMultipartUpload is absent, or its ETag or checksum differs from what was uploaded. */
  'part-invalid': { uploadId: string; partNumber: number };
  'part-order': { uploadId: string; partNumber: number };
  'part-too-small': { partNumber: number; etag: string; sizeBytes: number; minBytes: number };
  /** A condition on the object's present state does not hold; `condition` is the header's name. */
  'precondition-failed': { condition: string };
  /** A GET or HEAD condition says that the client's copy is current. */
  'not-modified': { etag: string; modifiedAtMs: number };
  'range-not-satisfiable': { sizeBytes: number; range: string };
  'part-number-not-satisfiable': { partNumber: number; partCount: number };
  /** What arrived does not have the digest that the client declared. `digest` is md5, sha256 or a checksum's name. */
  'digest-mismatch': { digest: string; expected: string; actual: string };
  /** The body ended before the declared length. */
  'body-incomplete': { declaredBytes: number; receivedBytes: number };
  /** The parts of an upload do not add up to the size that the client said the object has. */
  'size-mismatch': { expectedBytes: number; actualBytes: number };
  /** A checksum is of another algorithm or type than the upload was created with; `none` where it has none. */
  'checksum-type-mismatch': { expected: string; actual: string };
  /** No profile serves this storage class. */
  'profile-missing': { profileName: string };
  'object-too-large': { sizeBytes: number; maxBytes: number };
  /** A copy in one request takes no more than this. */
  'copy-source-too-large': { sizeBytes: number; maxBytes: number };
  /** Copying an object to itself without changing anything. */
  'copy-onto-itself': { bucket: string; key: string };
  /** Fewer than k good shards of a stripe could be read. */
  'too-few-shards': { stripeId: string; needed: number; available: number };
  /** Fewer than the write quorum of a stripe's shards became durable; nothing was acknowledged. */
  'too-few-writes': { stripeId: string; needed: number; durable: number };
  /** As `too-few-writes`, and every provider that failed did so for want of space. */
  'storage-full': { stripeId: string; needed: number; durable: number };
  /** A budget of memory or concurrency stayed exhausted for longer than a client is made to wait. */
  overloaded: { resource: string; waitedMs: number };
  /** A provider does not hold the shard that was asked for. */
  'shard-missing': { providerId: string; cid: string };
  /** Bytes that a provider returned do not have the digest that they must have. */
  'shard-corrupt': { providerId: string; cid: string; reason: string };
  /** Sealed bytes whose blocks are right do not open with their data key; nothing can rebuild them. */
  'package-corrupt': { stripeId: string; reason: string };
  /** A provider did not answer in time. */
  'provider-timeout': { providerId: string; call: string; timeoutMs: number };
  'provider-full': { providerId: string };
  /** A provider failed in any other way; the cause is attached. */
  'provider-error': { providerId: string; call: string };
  /** No provider of this id is in the fleet. */
  'provider-unknown': { providerId: string };
  /** What was asked of a provider does not go with its state, or with what it still holds. */
  'provider-in-use': { providerId: string; reason: string };
  /** A provider cannot be taken into the fleet, or not where it is said to be. */
  'provider-refused': { providerId: string; reason: string };
  /** A stripe that a metadata write refers to is gone (its last reference was dropped meanwhile). */
  'stripe-missing': { stripeId: string };
}

export type FailureKind = keyof FailureDetails;

/** An expected failure: data for the layer that can act on it, never a string to be parsed. */
export class Failure<K extends FailureKind = FailureKind> extends Error {
  readonly kind: K;
  readonly detail: FailureDetails[K];

  constructor(kind: K, detail: FailureDetails[K], options?: { cause?: unknown }) {
    super(`${kind} ${JSON.stringify(detail)}`, options);
    this.name = 'Failure';
    this.kind = kind;
    this.detail = detail;
  }
}

/** Whether `error` is a `Failure`, and of `kind` where one is named; narrows the type to it. */
export function isFailure(error: unknown): error is Failure;
export function isFailure<K extends FailureKind>(error: unknown, kind: K): error is Failure<K>;
export function isFailure(error: unknown, kind?: FailureKind): boolean {
  return error instanceof Failure && (kind === undefined || error.kind === kind);
}
