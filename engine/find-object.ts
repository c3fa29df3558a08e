import { Failure } from '../core/failure.ts';
import type { Bucket, ObjectVersion, WriteCondition } from '../core/model.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { ObjectTarget, VersionTarget } from './engine.ts';

/** @throws Failure `bucket-missing` */
export async function findBucket({ metadata }: { metadata: MetadataStore }, name: string): Promise<Bucket> {
  const bucket = await metadata.findBucket(name);
  if (bucket === undefined) throw new Failure('bucket-missing', { bucket: name });
  return bucket;
}

/**
 * The object version that a request is about.
 *
 * @throws Failure `bucket-missing`, `object-missing`, `version-missing`, `delete-marker`
 */
export async function findObject(
  { metadata }: { metadata: MetadataStore },
  { bucket, key, versionId }: VersionTarget,
): Promise<ObjectVersion> {
  const version = await metadata.findVersion(bucket, key, versionId);
  if (version === undefined) {
    if (versionId !== undefined) throw new Failure('version-missing', { bucket, key, versionId });
    throw new Failure('object-missing', { bucket, key });
  }
  if (version.kind === 'delete-marker') {
    const { versionId: markerId, modifiedAtMs } = version;
    const named = versionId !== undefined;
    throw new Failure('delete-marker', { bucket, key, versionId: markerId, named, modifiedAtMs });
  }
  return version;
}

/**
 * Refuses a write that is bound to fail before its body is read: no bucket, or a condition that does not hold now. The
 * store checks again in the write's own transaction. Returns the bucket.
 *
 * @throws Failure `bucket-missing`, `precondition-failed`, `object-missing`
 */
export async function checkWriteTarget(
  { metadata }: { metadata: MetadataStore },
  { bucket, key }: ObjectTarget,
  condition: WriteCondition | undefined,
): Promise<Bucket> {
  const target = await findBucket({ metadata }, bucket);
  if (condition === undefined) return target;
  const version = await metadata.findVersion(bucket, key);
  const current = version?.kind === 'object' ? version : undefined;
  if (condition.kind === 'absent') {
    if (current !== undefined) throw new Failure('precondition-failed', { condition: 'If-None-Match' });
    return target;
  }
  if (current === undefined) throw new Failure('object-missing', { bucket, key });
  if (condition.etag !== '*' && condition.etag !== current.etag) {
    throw new Failure('precondition-failed', { condition: 'If-Match' });
  }
  return target;
}
