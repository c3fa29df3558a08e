import { Failure } from '../core/failure.ts';
import type { ObjectVersion, Part, StoredContent, Upload } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { releaseEach } from '../core/release-memory.ts';
import { checkCopySize, digestSpans, openCopySource, retryCopy } from './copy-object.ts';
import { cutSpans } from './cut-spans.ts';
import type { PayloadDigests, WantedDigests } from './digest-payload.ts';
import type { CopiedPart, CopyPart } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { findBucket } from './find-object.ts';
import { findUpload } from './find-upload.ts';
import { journaled } from './journaled.ts';
import { createOpaqueETag, isMd5ETag } from './opaque-etag.ts';
import { storePart } from './put-part.ts';
import { readSpans } from './read-spans.ts';
import type { ByteSpan } from './resolve-range.ts';

/**
 * Makes a part of bytes of another object. The part shares its stripes, unless the upload is of another storage class: then the
 * bytes are written anew. A part's ETag is the MD5 of its bytes, so they are read through, unless the part is the whole source
 * and the source's digests are those that the part needs, or its ETag may be opaque and it needs no checksum.
 *
 * @throws Failure `upload-missing`, `range-not-satisfiable`, `copy-source-too-large`, `precondition-failed`, and what
 *   `findObject` throws
 */
export async function copyPart(parts: EngineParts, request: CopyPart, signal: AbortSignal): Promise<CopiedPart> {
  const { bucket, key, uploadId, partNumber } = request;
  const upload = await findUpload(parts, request);
  const etags = (await findBucket(parts, bucket)).etags ?? parts.etags;
  return retryCopy(async () => {
    const source = await openCopySource(parts, request.source);
    const { offset, length: sizeBytes } = resolveCopyRange(request.range, source);
    checkCopySize(parts, sizeBytes);
    const spans = cutSpans(source.spans, offset, sizeBytes);
    if (source.storageClass !== upload.attributes.storageClass) {
      const { checksumAlgorithm } = upload;
      const bytes = releaseEach(readSpans(parts, spans, signal));
      const payload: Payload = { bytes, sizeBytes, checksumAlgorithm, declaredDigests: () => ({}) };
      const part = await storePart(parts, upload, { partNumber, payload, checksumAlgorithm }, signal);
      return { part, sourceVersionId: source.versionId };
    }
    const { etag, checksum } =
      findKnownDigests(source, sizeBytes, upload) ??
      (await digestCopied(parts, spans, { etags, checksumAlgorithm: upload.checksumAlgorithm }, signal));
    const modifiedAtMs = parts.clock.now();
    const part: Part = { partNumber, modifiedAtMs, sizeBytes, etag, spans, ...(checksum && { checksum }) };
    const number = parts.metadata.drawNumber();
    await journaled(parts, parts.metadata.putPart({ bucket, key, uploadId, number, part, stripes: [] }));
    return { part, sourceVersionId: source.versionId };
  });
}

async function digestCopied(
  parts: EngineParts,
  spans: StoredContent['spans'],
  wanted: Omit<WantedDigests, 'sha256'>,
  signal: AbortSignal,
): Promise<Pick<PayloadDigests, 'etag' | 'checksum'>> {
  const needsBytes = wanted.etags === 'md5' || wanted.checksumAlgorithm !== undefined;
  return needsBytes ? digestSpans(parts, spans, wanted, signal) : { etag: createOpaqueETag(), checksum: undefined };
}

/** The digests of the source where they are the part's as well: of the same bytes, and by the same algorithms. */
function findKnownDigests(
  source: ObjectVersion,
  sizeBytes: number,
  { checksumAlgorithm }: Upload,
): Pick<PayloadDigests, 'etag' | 'checksum'> | undefined {
  if (sizeBytes !== source.sizeBytes || !isMd5ETag(source.etag)) return undefined;
  if (checksumAlgorithm === undefined) return { etag: source.etag, checksum: undefined };
  const { checksum } = source;
  const isSame = checksum?.type === 'FULL_OBJECT' && checksum.algorithm === checksumAlgorithm;
  return isSame ? { etag: source.etag, checksum } : undefined;
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
