import type { Checksum } from '../../core/model.ts';
import { textElement, type Xml } from './xml-writer.ts';

/** `<ChecksumCRC32>` and `<ChecksumType>`, as results of copy and completion show them. */
export function checksumElements(checksum: Checksum | undefined): Xml[] {
  return checksum
    ? [textElement(`Checksum${checksum.algorithm}`, checksum.value), textElement('ChecksumType', checksum.type)]
    : [];
}
