import { createHash } from 'node:crypto';
import { compositeChecksum, fullObjectChecksum } from '../core/checksums.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { Checksum, Part, Upload } from '../core/model.ts';
import type { Completion } from '../metadata/metadata-store.ts';
import type { CompletedUpload, CompleteUploadRequest } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { journaled } from './journaled.ts';
import { bytesOfETag } from './opaque-etag.ts';

/**
 * Makes an object of an upload's parts; see `Uploads.complete`. To repeat a call that succeeded gives the same answer.
 *
 * @throws Failure `upload-missing`, `part-order`, `part-invalid`, `part-too-small`, `size-mismatch`, `object-too-large`,
 *   `checksum-type-mismatch`, `digest-mismatch`, `precondition-failed`, `object-missing`
 */
export async function completeUpload(parts: EngineParts, request: CompleteUploadRequest): Promise<CompletedUpload> {
  const { metadata } = parts;
  const { bucket, key, uploadId, condition } = request;
  checkOrder(request);
  const upload = await metadata.findUpload(bucket, key, uploadId);
  if (upload === undefined) return answerAgain(parts, request);
  try {
    const stored = await metadata.listParts(bucket, key, uploadId);
    const chosen = chooseParts(request, stored.parts);
    checkSizes(parts, request, chosen);
    const checksum = combineChecksum(upload, request, chosen);
    const etag = combineETags(chosen);
    const completed = metadata.completeUpload({
      bucket,
      key,
      uploadId,
      parts: chosen.map(({ partNumber, etag: partETag }) => ({ partNumber, etag: partETag })),
      etag,
      // AWS dates an object that was uploaded in parts from the start of its upload (user guide, object metadata).
      modifiedAtMs: upload.initiatedAtMs,
      ...(checksum && { checksum }),
      ...(condition && { condition }),
    });
    const version = await journaled(parts, completed);
    return { etag, versionId: version.versionId, ...(checksum && { checksum }) };
  } catch (error) {
    // The same call may have been faster by another way.
    if (isFailure(error, 'upload-missing')) return answerAgain(parts, request);
    throw error;
  }
}

/** The answer to a call that was answered before. */
async function answerAgain(parts: EngineParts, request: CompleteUploadRequest): Promise<CompletedUpload> {
  const { bucket, key, uploadId } = request;
  // The first call may have failed after its commit.
  const completion = await journaled(parts, parts.metadata.findCompletion(bucket, key, uploadId));
  if (completion === undefined || !hasSameParts(request, completion)) throw new Failure('upload-missing', { uploadId });
  const { etag, versionId, checksum } = completion;
  return { etag, versionId, ...(checksum && { checksum }) };
}

function hasSameParts(request: CompleteUploadRequest, completion: Completion): boolean {
  if (request.parts.length !== completion.parts.length) return false;
  return request.parts.every(({ partNumber, etag }, at) => {
    const part = completion.parts[at];
    return part?.partNumber === partNumber && part.etag === etag;
  });
}

function checkOrder({ uploadId, parts }: CompleteUploadRequest): void {
  let last = 0;
  for (const { partNumber } of parts) {
    if (partNumber <= last) throw new Failure('part-order', { uploadId, partNumber });
    last = partNumber;
  }
}

function chooseParts({ uploadId, parts }: CompleteUploadRequest, stored: readonly Part[]): Part[] {
  const byNumber = new Map(stored.map((part) => [part.partNumber, part]));
  return parts.map(({ partNumber, etag, checksum }) => {
    const part = byNumber.get(partNumber);
    const isRight =
      part !== undefined &&
      part.etag === etag &&
      (checksum === undefined ||
        (checksum.algorithm === part.checksum?.algorithm && checksum.value === part.checksum.value));
    if (!isRight) throw new Failure('part-invalid', { uploadId, partNumber });
    return part;
  });
}

function checkSizes({ limits }: EngineParts, request: CompleteUploadRequest, chosen: readonly Part[]): void {
  const { minPartBytes: minBytes, maxObjectBytes: maxBytes } = limits;
  for (const { partNumber, etag, sizeBytes } of chosen.slice(0, -1)) {
    if (sizeBytes < minBytes) throw new Failure('part-too-small', { partNumber, etag, sizeBytes, minBytes });
  }
  const sizeBytes = chosen.reduce((sum, part) => sum + part.sizeBytes, 0);
  if (sizeBytes > maxBytes) throw new Failure('object-too-large', { sizeBytes, maxBytes });
  const { expectedSizeBytes: expectedBytes } = request;
  if (expectedBytes !== undefined && expectedBytes !== sizeBytes) {
    throw new Failure('size-mismatch', { expectedBytes, actualBytes: sizeBytes });
  }
}

/** The object's checksum from those of its parts, compared with the client's own. */
function combineChecksum(
  upload: Upload,
  request: CompleteUploadRequest,
  chosen: readonly Part[],
): Checksum | undefined {
  const { checksumAlgorithm: algorithm, checksumType: type } = upload;
  const { checksum: declared, checksumType: declaredType } = request;
  if (declaredType !== undefined && declaredType !== type) {
    throw new Failure('checksum-type-mismatch', { expected: type ?? 'none', actual: declaredType });
  }
  if (declared !== undefined && declared.algorithm !== algorithm) {
    throw new Failure('checksum-type-mismatch', { expected: algorithm ?? 'none', actual: declared.algorithm });
  }
  if (algorithm === undefined || type === undefined) return undefined;
  const sums = chosen.map(({ checksum, sizeBytes }) => ({ value: checksum?.value ?? '', sizeBytes }));
  const value =
    type === 'COMPOSITE'
      ? compositeChecksum(
          algorithm,
          sums.map((sum) => sum.value),
        )
      : fullObjectChecksum(algorithm, sums);
  // Clients give a composite value with or without the part count.
  if (declared !== undefined && declared.value !== value && `${declared.value}-${chosen.length}` !== value) {
    throw new Failure('digest-mismatch', { digest: algorithm, expected: declared.value, actual: value });
  }
  return { algorithm, type, value };
}

/**
 * S3's ETag of parts: the MD5 of their MD5s, and how many they are. Those of opaque parts stand in for MD5s; with one of them the
 * outcome is opaque too, and the same however often the call is repeated.
 */
function combineETags(chosen: readonly Part[]): string {
  const md5 = createHash('md5');
  for (const { etag } of chosen) md5.update(bytesOfETag(etag));
  return `${md5.digest('hex')}-${chosen.length}`;
}
