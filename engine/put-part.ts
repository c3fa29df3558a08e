import { Failure } from '../core/failure.ts';
import type { ChecksumAlgorithm, Part, Upload } from '../core/model.ts';
import type { UploadPart } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { findBucket } from './find-object.ts';
import { findUpload } from './find-upload.ts';
import { chooseETagKind } from './opaque-etag.ts';
import { storePayload } from './store-payload.ts';

/**
 * Stores a part of an upload, in place of one of the same number. A part of an upload without an algorithm may have any:
 * SDKs add one to parts that the upload was not created with, and AWS takes them.
 *
 * @throws Failure `upload-missing`, `checksum-type-mismatch` (the upload was created with another algorithm), and what
 *   `writeContent` throws
 */
export async function putPart(parts: EngineParts, request: UploadPart, signal: AbortSignal): Promise<Part> {
  const { partNumber, payload } = request;
  const upload = await findUpload(parts, request);
  const { checksumAlgorithm: expected } = upload;
  const { checksumAlgorithm: actual } = payload;
  if (expected !== undefined && actual !== undefined && actual !== expected) {
    throw new Failure('checksum-type-mismatch', { expected, actual });
  }
  return storePart(parts, upload, { partNumber, payload, checksumAlgorithm: expected ?? actual }, signal);
}

/** Stores a payload as a part of an upload, by the upload's profile. */
export async function storePart(
  parts: EngineParts,
  { bucket, key, uploadId, attributes }: Upload,
  {
    partNumber,
    payload,
    checksumAlgorithm,
  }: Pick<UploadPart, 'partNumber' | 'payload'> & {
    readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  },
  signal: AbortSignal,
): Promise<Part> {
  const found = await findBucket(parts, bucket);
  const target = { bucket, key, uploadId };
  return storePayload(
    parts,
    {
      payload,
      profile: findProfile(parts, attributes.storageClass),
      etags: chooseETagKind(parts.etags, found, payload),
      checksumAlgorithm,
      describe: (content, { number, modifiedAtMs }) => {
        return { kind: 'part', number, bucketId: found.id, ...target, part: { ...content, partNumber, modifiedAtMs } };
      },
    },
    async ({ content, stripes, number, modifiedAtMs }) => {
      const part: Part = { ...content, partNumber, modifiedAtMs };
      await parts.metadata.putPart({ ...target, number, part, stripes });
      return part;
    },
    signal,
  );
}
