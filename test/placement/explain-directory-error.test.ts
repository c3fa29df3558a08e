import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Failure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { explainDirectoryError } from '../../placement/providers/explain-directory-error.ts';
import { providerCalls } from '../../placement/providers/wrapped-provider.ts';

const id = 'd1' as ProviderId;
const error = (code: string): Error => Object.assign(new Error(code), { code });

describe('an error of a directory', () => {
  it('is `provider-full` for want of space, whatever the call', () => {
    for (const code of ['ENOSPC', 'EDQUOT', 'SQLITE_FULL']) {
      for (const call of providerCalls)
        assert.equal(explainDirectoryError(id, call, error(code)).kind, 'provider-full');
    }
  });

  it('is `provider-full` where it may not be written to, for calls that bring data and no others', () => {
    const full = providerCalls.filter(
      (call) => explainDirectoryError(id, call, error('EROFS')).kind === 'provider-full',
    );
    assert.deepEqual(full, ['putShard', 'createShard', 'append', 'commit', 'writeRoot']);
    for (const code of ['EACCES', 'EPERM', 'SQLITE_READONLY']) {
      assert.equal(explainDirectoryError(id, 'putShard', error(code)).kind, 'provider-full');
      assert.equal(explainDirectoryError(id, 'readShard', error(code)).kind, 'provider-error');
    }
  });

  it('is else a `provider-error` with its cause, or the failure that it is', () => {
    const cause = error('EIO');
    const failure = explainDirectoryError(id, 'commit', cause);
    assert.deepEqual(
      [failure.kind, failure.detail, failure.cause],
      ['provider-error', { providerId: id, call: 'commit' }, cause],
    );
    const known = new Failure('shard-missing', { providerId: id, cid: 'x' });
    assert.equal(explainDirectoryError(id, 'readShard', known), known);
  });
});
