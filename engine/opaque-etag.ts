import { randomBytes } from 'node:crypto';
import type { Bucket, ETagKind } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';

const md5Bytes = 16;
/** The longest that a single stream of bytes can have. */
export const maxETag = `${'f'.repeat(2 * md5Bytes)}-1`;

/**
 * An ETag that says nothing of the bytes. It ends as that of an upload of one part does: clients compare no ETag with a dash
 * to the MD5 that they have computed, and some take nothing else than 32 hex digits, or these and a dash.
 */
export function createOpaqueETag(): string {
  return `${randomBytes(md5Bytes).toString('hex')}-1`;
}

/** Whether an ETag is the MD5 of what it names: neither opaque nor that of an upload. */
export function isMd5ETag(etag: string): boolean {
  return /^[0-9a-f]{32}$/.test(etag);
}

/** The 16 bytes that an ETag of a part stands for among those of the others. */
export function bytesOfETag(etag: string): Uint8Array {
  return Buffer.from(etag.slice(0, 2 * md5Bytes), 'hex');
}

/**
 * What ETag a payload gets in a bucket. Who sends Content-MD5 cares for the MD5, and has it computed anyway.
 *
 * @param serverKind what holds for buckets without a word of their own
 */
export function chooseETagKind(serverKind: ETagKind, bucket: Pick<Bucket, 'etags'>, payload: Payload): ETagKind {
  return payload.declaredDigests().md5 === undefined ? (bucket.etags ?? serverKind) : 'md5';
}
