import { checksumHeader } from '../core/checksums.ts';
import type { Checksum, ChecksumAlgorithm, Upload } from '../core/model.ts';
import type { UploadTarget } from '../engine/engine.ts';
import type { ObjectCall } from './operation.ts';
import { S3Error } from './s3-error.ts';
import { textElement, type Xml } from './xml/xml-writer.ts';

/** The upload that a request with `uploadId` is about. */
export function parseUploadTarget(call: ObjectCall): UploadTarget {
  return { bucket: call.bucket.name, key: call.key, uploadId: call.query.get('uploadId') ?? '' };
}

/** A part's checksum as response headers: without a type, which only objects have. */
export function renderPartChecksum(checksum: Checksum | undefined): Record<string, string> {
  return checksum ? { [checksumHeader(checksum.algorithm)]: checksum.value } : {};
}

/** A part's checksum as an element. */
export function partChecksumElement(checksum: Checksum | undefined): Xml {
  return textElement(`Checksum${checksum?.algorithm ?? ''}`, checksum?.value);
}

/** An upload has the one algorithm that it was created with, or none. @throws S3Error InvalidRequest */
export function checkAlgorithm(upload: Upload, actual: ChecksumAlgorithm): void {
  if (actual === upload.checksumAlgorithm) return;
  const expected = upload.checksumAlgorithm?.toLowerCase() ?? 'null';
  throw new S3Error(
    'InvalidRequest',
    `Checksum Type mismatch occurred, expected checksum Type: ${expected}, actual checksum Type: ${actual.toLowerCase()}`,
  );
}
