import type { ChecksumAlgorithm } from './model.ts';

/** What the client declared its bytes to be. Digests in base64 but `sha256Hex`, as the wire has them. */
export interface DeclaredDigests {
  /** From Content-MD5. */
  readonly md5?: string;
  /** From x-amz-content-sha256, where it holds a digest. */
  readonly sha256Hex?: string;
  /** From an x-amz-checksum-* header or trailer. */
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly value: string };
}

/**
 * The bytes of an upload after all framing has been taken off, as the gateway hands them to the engine.
 * It can be read once.
 */
export interface Payload {
  /**
   * The plain bytes in order. Chunks belong to the reader until it asks for the next one. Throws a `Failure` or one of the
   * gateway's own errors when the framing, a chunk signature or the length is wrong; what was read so far is then
   * worth nothing.
   */
  readonly bytes: AsyncIterable<Uint8Array>;
  /**
   * The whole payload at once, in place of `bytes` and never beside it: for a caller that has room for `sizeBytes` bytes,
   * and cheaper where they are few. The buffer belongs to the caller. Absent where the length is not known. Throws
   * what `bytes` throws, and ends by itself when the client goes away or sends nothing for too long.
   */
  readonly readAll?: (() => Promise<Uint8Array>) | undefined;
  /** The length of `bytes` where the client declared it. */
  readonly sizeBytes: number | undefined;
  /** An algorithm to compute and keep, whether or not a value was declared. */
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  /** Complete only after `bytes` has ended, since trailers come last. The engine compares before it commits. */
  declaredDigests(): DeclaredDigests;
}
