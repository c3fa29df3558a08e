import type { Bucket, VersionId } from '../core/model.ts';
import { S3Error } from './s3-error.ts';

/** The `versionId` of the query. @throws S3Error InvalidArgument where it is empty */
export function parseVersionId(query: ReadonlyMap<string, string>): { versionId?: VersionId } {
  const versionId = query.get('versionId');
  if (versionId === undefined) return {};
  if (versionId === '') {
    throw new S3Error('InvalidArgument', 'Version id cannot be the empty string', {
      ArgumentName: 'versionId',
      ArgumentValue: '',
    });
  }
  return { versionId };
}

/** Whether answers about this bucket's objects name versions. */
export function isVersioned(bucket: Bucket): boolean {
  return bucket.versioning !== 'unversioned';
}

/** `x-amz-version-id`, which AWS sends for buckets that have or had versioning. */
export function renderVersionId(
  bucket: Bucket,
  version: { readonly versionId: VersionId },
): Record<string, string | undefined> {
  return { 'x-amz-version-id': isVersioned(bucket) ? version.versionId : undefined };
}
