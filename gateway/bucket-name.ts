import { S3Error } from './s3-error.ts';

const reservedPrefixes = ['xn--', 'sthree-', 'amzn-s3-demo-'] as const;
const reservedSuffixes = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3'] as const;

/**
 * Refuses names that AWS would not let a general purpose bucket have.
 * Source: "General purpose bucket naming rules", user guide of Amazon S3.
 * @throws S3Error InvalidBucketName
 */
export function checkBucketName(name: string): void {
  const isValid =
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !name.includes('..') &&
    !/^\d+\.\d+\.\d+\.\d+$/.test(name) &&
    !reservedPrefixes.some((prefix) => name.startsWith(prefix)) &&
    !reservedSuffixes.some((suffix) => name.endsWith(suffix));
  if (!isValid) throw new S3Error('InvalidBucketName', undefined, { BucketName: name });
}
