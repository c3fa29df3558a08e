import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReadConditions } from '../../engine/engine.ts';
import { checkCopyConditions, checkReadConditions } from '../../engine/read-conditions.ts';
import { failure } from './engine-harness.ts';

const state = { etag: 'abc', modifiedAtMs: 1_700_000_000_500 };
const second = 1_700_000_000_000;

type Outcome = 'ok' | 'not modified' | 'If-Match' | 'If-Unmodified-Since';

/** "Conditional requests" in the user guide of Amazon S3, GetObject. */
const cases: [ReadConditions, Outcome][] = [
  [{}, 'ok'],
  [{ ifMatch: ['abc'] }, 'ok'],
  [{ ifMatch: ['x', 'abc'] }, 'ok'],
  [{ ifMatch: ['*'] }, 'ok'],
  [{ ifMatch: ['x'] }, 'If-Match'],
  [{ ifMatch: ['ABC'] }, 'If-Match'],
  [{ ifNoneMatch: ['x'] }, 'ok'],
  [{ ifNoneMatch: ['x', 'abc'] }, 'not modified'],
  [{ ifNoneMatch: ['*'] }, 'not modified'],
  [{ ifModifiedSinceMs: second }, 'not modified'],
  [{ ifModifiedSinceMs: second - 1 }, 'ok'],
  [{ ifModifiedSinceMs: second + 1000 }, 'not modified'],
  [{ ifUnmodifiedSinceMs: second }, 'ok'],
  [{ ifUnmodifiedSinceMs: second - 1 }, 'If-Unmodified-Since'],
  [{ ifMatch: ['abc'], ifUnmodifiedSinceMs: 0 }, 'ok'],
  [{ ifMatch: ['x'], ifUnmodifiedSinceMs: second }, 'If-Match'],
  [{ ifNoneMatch: ['abc'], ifModifiedSinceMs: 0 }, 'not modified'],
  [{ ifNoneMatch: ['x'], ifModifiedSinceMs: second }, 'ok'],
  [{ ifMatch: ['x'], ifNoneMatch: ['abc'] }, 'If-Match'],
  [{ ifMatch: ['abc'], ifNoneMatch: ['abc'] }, 'not modified'],
  [{ ifUnmodifiedSinceMs: 0, ifModifiedSinceMs: second }, 'If-Unmodified-Since'],
];

describe('conditions of a read', () => {
  for (const [conditions, outcome] of cases) {
    it(`${JSON.stringify(conditions)}: ${outcome}`, () => {
      const check = (): void => checkReadConditions(conditions, state);
      if (outcome === 'ok') check();
      else if (outcome === 'not modified') assert.throws(check, failure('not-modified', state));
      else assert.throws(check, failure('precondition-failed', { condition: outcome }));
    });
  }

  it('of a copy are never "not modified"', () => {
    for (const [conditions, outcome] of cases) {
      const check = (): void => checkCopyConditions(conditions, state);
      if (outcome === 'ok') check();
      else assert.throws(check, failure('precondition-failed'));
    }
  });
});
