import { checksumHeader } from '../core/checksums.ts';
import type { Checksum } from '../core/model.ts';
import type { UploadTarget } from '../engine/engine.ts';
import type { ObjectCall } from './operation.ts';
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
