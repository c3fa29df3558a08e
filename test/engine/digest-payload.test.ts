import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { checksumAlgorithms } from '../../core/model.ts';
import { checkDeclaredDigests, PayloadDigester, type PayloadDigests } from '../../engine/digest-payload.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { failure } from './engine-harness.ts';

const bytes = patternBytes(100_000);
const digestOf = (algorithm: string): Buffer => createHash(algorithm).update(bytes).digest();

function digest(wanted: ConstructorParameters<typeof PayloadDigester>[0]): PayloadDigests {
  const digester = new PayloadDigester(wanted);
  for (let offset = 0; offset < bytes.length; offset += 7001) digester.update(bytes.subarray(offset, offset + 7001));
  return digester.finish();
}

describe('the digests of a payload', () => {
  it('are computed in one pass, and only those that are wanted', () => {
    const etag = digestOf('md5').toString('hex');
    const sha256 = digestOf('sha256');
    const checksum = { algorithm: 'SHA256', type: 'FULL_OBJECT', value: sha256.toString('base64') } as const;
    const plain = digest({ sha256: false, checksumAlgorithm: undefined });
    assert.deepEqual(plain, { etag, sha256Hex: undefined, checksum: undefined });
    const hashed = digest({ sha256: true, checksumAlgorithm: undefined });
    assert.deepEqual(hashed, { etag, sha256Hex: sha256.toString('hex'), checksum: undefined });
    const both = digest({ sha256: true, checksumAlgorithm: 'SHA256' });
    assert.deepEqual(both, { etag, sha256Hex: sha256.toString('hex'), checksum });
    const sum = digest({ sha256: false, checksumAlgorithm: 'SHA1' });
    assert.equal(sum.checksum?.value, digestOf('sha1').toString('base64'));
  });

  it('pass when all that was declared is right', () => {
    for (const checksumAlgorithm of checksumAlgorithms) {
      const actual = digest({ sha256: true, checksumAlgorithm });
      const declared = {
        md5: digestOf('md5').toString('base64'),
        sha256Hex: digestOf('sha256').toString('hex').toUpperCase(),
        checksum: { algorithm: checksumAlgorithm, value: actual.checksum!.value },
      };
      checkDeclaredDigests(declared, actual);
      const wrong = { algorithm: checksumAlgorithm, value: 'AAAA' };
      const check = (): void => checkDeclaredDigests({ ...declared, checksum: wrong }, actual);
      assert.throws(check, failure('digest-mismatch', { digest: checksumAlgorithm, expected: 'AAAA' }));
    }
  });

  it('are never taken as right for want of a computed one', () => {
    const actual = digest({ sha256: false, checksumAlgorithm: undefined });
    assert.throws(() => checkDeclaredDigests({ sha256Hex: digestOf('sha256').toString('hex') }, actual), TypeError);
    const checksum = { algorithm: 'CRC32', value: 'AAAAAA==' } as const;
    assert.throws(() => checkDeclaredDigests({ checksum }, actual), TypeError);
  });
});
