import { Failure } from '../core/failure.ts';
import type { ObjectVersion } from '../core/model.ts';
import type { ReadConditions } from './engine.ts';

type ConditionState = Pick<ObjectVersion, 'etag' | 'modifiedAtMs'>;

/**
 * Checks the conditions of a GET or HEAD, in the order of RFC 9110, 13.2.2: an ETag condition makes the date condition
 * of its kind void.
 *
 * @throws Failure `precondition-failed`, `not-modified`
 */
export function checkReadConditions(
  conditions: ReadConditions | undefined,
  { etag, modifiedAtMs }: ConditionState,
): void {
  const failed = conditions && findFailedCondition(conditions, { etag, modifiedAtMs });
  if (failed === undefined) return;
  if (failed === 'If-None-Match' || failed === 'If-Modified-Since') {
    throw new Failure('not-modified', { etag, modifiedAtMs });
  }
  throw new Failure('precondition-failed', { condition: failed });
}

/**
 * Checks the conditions of a copy's source: the same, but none of them means "not modified".
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
 *
 * @throws Failure `precondition-failed`
 */
export function checkCopyConditions(conditions: ReadConditions | undefined, state: ConditionState): void {
  const failed = conditions && findFailedCondition(conditions, state);
  if (failed !== undefined) throw new Failure('precondition-failed', { condition: `x-amz-copy-source-${failed}` });
}

function findFailedCondition(conditions: ReadConditions, { etag, modifiedAtMs }: ConditionState): string | undefined {
  const { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs } = conditions;
  const isNamed = (etags: readonly string[]): boolean => etags.includes('*') || etags.includes(etag);
  // HTTP dates know no fractions: an object is not newer than the Last-Modified that it was served with.
  const isNewerThan = (timeMs: number): boolean => Math.floor(modifiedAtMs / 1000) > Math.floor(timeMs / 1000);
  if (ifMatch !== undefined) {
    if (!isNamed(ifMatch)) return 'If-Match';
  } else if (ifUnmodifiedSinceMs !== undefined && isNewerThan(ifUnmodifiedSinceMs)) {
    return 'If-Unmodified-Since';
  }
  if (ifNoneMatch !== undefined) {
    if (isNamed(ifNoneMatch)) return 'If-None-Match';
  } else if (ifModifiedSinceMs !== undefined && !isNewerThan(ifModifiedSinceMs)) {
    return 'If-Modified-Since';
  }
  return undefined;
}
