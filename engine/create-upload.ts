import { randomBytes } from 'node:crypto';
import { checksums } from '../core/checksums.ts';
import { Failure } from '../core/failure.ts';
import type { Upload } from '../core/model.ts';
import type { CreateUpload } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { checkWriteTarget } from './find-object.ts';
import { journaled } from './journaled.ts';

const uploadIdBytes = 48;

/**
 * Starts a multipart upload. Its id is opaque and safe in a URL.
 *
 * @throws Failure `bucket-missing`, `checksum-type-mismatch` (a type that the algorithm does not have)
 */
export async function createUpload(parts: EngineParts, request: CreateUpload): Promise<Upload> {
  const { bucket, key, ownerId, attributes, checksumAlgorithm } = request;
  findProfile(parts, attributes.storageClass);
  await checkWriteTarget(parts, request, undefined);
  const upload: Upload = {
    uploadId: randomBytes(uploadIdBytes).toString('base64url'),
    bucket,
    key,
    ownerId,
    initiatorId: ownerId,
    initiatedAtMs: parts.clock.now(),
    attributes,
    ...(checksumAlgorithm && { checksumAlgorithm, checksumType: resolveChecksumType(request, checksumAlgorithm) }),
  };
  await journaled(parts, parts.metadata.createUpload(upload));
  return upload;
}

function resolveChecksumType(
  { checksumType }: CreateUpload,
  algorithm: NonNullable<Upload['checksumAlgorithm']>,
): NonNullable<Upload['checksumType']> {
  const { types } = checksums[algorithm];
  const type = checksumType ?? types[0];
  if (!types.includes(type)) {
    throw new Failure('checksum-type-mismatch', { expected: types.join(' or '), actual: type });
  }
  return type;
}
