import { createHash } from 'node:crypto';
import { checksums } from '../../core/checksums.ts';
import { Failure } from '../../core/failure.ts';
import type { DeclaredDigests, Payload } from '../../core/payload.ts';
import { failureToS3Error } from '../failure-table.ts';
import { S3Error } from '../s3-error.ts';

/**
 * Reads a whole body that holds a document, and verifies every digest that was declared for it.
 * @throws S3Error MaxMessageLengthExceeded beyond `maxBytes`, which is also the most that is ever held; XAmzContentSHA256Mismatch,
 *   BadDigest, and what reading a payload throws
 */
export async function readSmallBody(payload: Payload, maxBytes: number): Promise<Uint8Array> {
  if (payload.sizeBytes !== undefined && payload.sizeBytes > maxBytes) throw tooLarge(payload.sizeBytes, maxBytes);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of payload.bytes) {
    sizeBytes += piece.length;
    if (sizeBytes > maxBytes) throw tooLarge(sizeBytes, maxBytes);
    pieces.push(Buffer.from(piece)); // Copied: a piece is ours only until the next one.
  }
  const body = Buffer.concat(pieces, sizeBytes);
  checkDigests(payload.declaredDigests(), body);
  return body;
}

/** In AWS's order: the hash that was signed comes first. */
function checkDigests({ sha256Hex, md5, checksum }: DeclaredDigests, body: Uint8Array): void {
  if (sha256Hex !== undefined) check('sha256', sha256Hex, createHash('sha256').update(body).digest('hex'));
  if (md5 !== undefined) check('md5', md5, createHash('md5').update(body).digest('base64'));
  if (!checksum) return;
  const hasher = checksums[checksum.algorithm].create();
  hasher.update(body);
  check(checksum.algorithm, checksum.value, Buffer.from(hasher.digest()).toString('base64'));
}

function check(digest: string, expected: string, actual: string): void {
  if (expected !== actual) throw failureToS3Error(new Failure('digest-mismatch', { digest, expected, actual }));
}

function tooLarge(sizeBytes: number, maxBytes: number): S3Error {
  return new S3Error('MaxMessageLengthExceeded', undefined, {
    ProposedSize: String(sizeBytes),
    MaxSizeAllowed: String(maxBytes),
  });
}
