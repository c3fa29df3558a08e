import { Failure } from '../core/failure.ts';
import type { Part } from '../core/model.ts';
import type { UploadPart } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { findUpload } from './find-upload.ts';
import { storePayload } from './store-payload.ts';

/**
 * Stores a part of an upload, in place of one of the same number.
 *
 * @throws Failure `upload-missing`, `checksum-type-mismatch` (the upload was created with another algorithm, or none),
 *   and what `writeContent` throws
 */
export async function putPart(parts: EngineParts, request: UploadPart, signal: AbortSignal): Promise<Part> {
  const { bucket, key, uploadId, partNumber, payload } = request;
  const { attributes, checksumAlgorithm } = await findUpload(parts, request);
  if (payload.checksumAlgorithm !== undefined && payload.checksumAlgorithm !== checksumAlgorithm) {
    const detail = { expected: checksumAlgorithm ?? 'none', actual: payload.checksumAlgorithm };
    throw new Failure('checksum-type-mismatch', detail);
  }
  return storePayload(
    parts,
    { payload, profile: findProfile(parts, attributes.storageClass), checksumAlgorithm },
    async ({ content, stripes }) => {
      const part: Part = { ...content, partNumber, modifiedAtMs: parts.clock.now() };
      await parts.metadata.putPart({ bucket, key, uploadId, part, stripes });
      return part;
    },
    signal,
  );
}
