import { type ChecksumAlgorithm, checksumAlgorithms } from '../core/model.ts';
import { S3Error } from './s3-error.ts';

/** The algorithm that a header names. @throws S3Error InvalidRequest where there is none of that name */
export function parseChecksumAlgorithm(name: string | undefined): ChecksumAlgorithm | undefined {
  if (name === undefined) return undefined;
  const found = checksumAlgorithms.find((algorithm) => algorithm === name.toUpperCase());
  if (!found) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${checksumAlgorithms.join(', ')}]`,
    );
  }
  return found;
}
