import { Failure } from '../core/failure.ts';
import type { ObjectVersion, Part } from '../core/model.ts';
import { checkCopySize, digestExtents, openCopySource, retryCopy } from './copy-object.ts';
import { cutExtents } from './cut-extents.ts';
import type { CopiedPart, CopyPart } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { findUpload } from './find-upload.ts';
import type { ByteSpan } from './resolve-range.ts';

/**
 * Makes a part of bytes of another object. The part shares its stripes; the bytes are read through, since a part's ETag
 * is the MD5 of its bytes.
 *
 * @throws Failure `upload-missing`, `range-not-satisfiable`, `object-too-large`, `precondition-failed`, and what
 *   `findObject` throws
 */
export async function copyPart(parts: EngineParts, request: CopyPart, signal: AbortSignal): Promise<CopiedPart> {
  const { bucket, key, uploadId, partNumber } = request;
  const upload = await findUpload(parts, request);
  return retryCopy(async () => {
    const source = await openCopySource(parts, request.source);
    const { offset, length: sizeBytes } = resolveCopyRange(request.range, source);
    checkCopySize(parts, sizeBytes);
    const extents = cutExtents(source.extents, offset, sizeBytes);
    const { etag, checksum } = await digestExtents(parts, extents, upload.checksumAlgorithm, signal);
    const modifiedAtMs = parts.clock.now();
    const part: Part = { partNumber, modifiedAtMs, sizeBytes, etag, extents, ...(checksum && { checksum }) };
    await parts.metadata.putPart({ bucket, key, uploadId, part, stripes: [] });
    return { part, sourceVersionId: source.versionId };
  });
}

/** Unlike the range of a GET, that of a copy must lie wholly within the source. */
function resolveCopyRange(range: CopyPart['range'], { sizeBytes }: ObjectVersion): ByteSpan {
  if (range === undefined) return { offset: 0, length: sizeBytes };
  const { first, last } = range;
  if (first > last || last >= sizeBytes) {
    throw new Failure('range-not-satisfiable', { sizeBytes, range: `bytes=${first}-${last}` });
  }
  return { offset: first, length: last - first + 1 };
}
