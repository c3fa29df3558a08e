import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { checksumAlgorithms } from '../../core/model.ts';
import { Md5Lanes } from '../../crypto/md5/md5-lanes.ts';
import {
  checkDeclaredDigests,
  digestWhole,
  PayloadDigester,
  type PayloadDigests,
  type WantedDigests,
} from '../../engine/digest-payload.ts';
import { isMd5ETag, maxETag } from '../../engine/opaque-etag.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { failure } from './engine-harness.ts';

const bytes = patternBytes(100_000);
const digestOf = (algorithm: string): Buffer => createHash(algorithm).update(bytes).digest();

const md5 = new Md5Lanes({ kernels: undefined, laneCount: 0, onHashed: () => {} });

async function digest(wanted: Partial<WantedDigests>): Promise<PayloadDigests> {
  const all = { etags: 'md5', sha256: false, checksumAlgorithm: undefined, ...wanted } as const;
  const digester = new PayloadDigester(all, md5);
  for (let offset = 0; offset < bytes.length; offset += 7001) {
    await digester.update(bytes.subarray(offset, offset + 7001));
  }
  const digests = await digester.finish();
  const whole = digestWhole(bytes, all);
  assert.deepEqual(digests, all.etags === 'md5' ? whole : { ...whole, etag: digests.etag });
  return digests;
}

describe('the digests of a payload', () => {
  it('are computed in one pass, and only those that are wanted', async () => {
    const etag = digestOf('md5').toString('hex');
    const sha256 = digestOf('sha256');
    const checksum = { algorithm: 'SHA256', type: 'FULL_OBJECT', value: sha256.toString('base64') } as const;
    const plain = await digest({ sha256: false, checksumAlgorithm: undefined });
    assert.deepEqual(plain, { etag, md5Hex: etag, sha256Hex: undefined, checksum: undefined });
    const hashed = await digest({ sha256: true, checksumAlgorithm: undefined });
    assert.deepEqual(hashed, { etag, md5Hex: etag, sha256Hex: sha256.toString('hex'), checksum: undefined });
    const both = await digest({ sha256: true, checksumAlgorithm: 'SHA256' });
    assert.deepEqual(both, { etag, md5Hex: etag, sha256Hex: sha256.toString('hex'), checksum });
    const sum = await digest({ sha256: false, checksumAlgorithm: 'SHA1' });
    assert.equal(sum.checksum?.value, digestOf('sha1').toString('base64'));
  });

  it('have an ETag that no client takes for an MD5 where it may be opaque', async () => {
    const [one, other] = [await digest({ etags: 'opaque', sha256: true }), await digest({ etags: 'opaque' })];
    assert.match(one.etag, /^[0-9a-f]{32}-1$/);
    assert.equal(one.etag.length, maxETag.length);
    assert.notEqual(one.etag, other.etag);
    assert.ok(!isMd5ETag(one.etag));
    assert.deepEqual([one.md5Hex, one.sha256Hex], [undefined, digestOf('sha256').toString('hex')]);
  });

  it('pass when all that was declared is right', async () => {
    for (const checksumAlgorithm of checksumAlgorithms) {
      const actual = await digest({ sha256: true, checksumAlgorithm });
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

  it('are never taken as right for want of a computed one', async () => {
    const actual = await digest({ sha256: false, checksumAlgorithm: undefined });
    assert.throws(() => checkDeclaredDigests({ sha256Hex: digestOf('sha256').toString('hex') }, actual), TypeError);
    const opaque = await digest({ etags: 'opaque' });
    assert.throws(() => checkDeclaredDigests({ md5: digestOf('md5').toString('base64') }, opaque), TypeError);
    const checksum = { algorithm: 'CRC32', value: 'AAAAAA==' } as const;
    assert.throws(() => checkDeclaredDigests({ checksum }, actual), TypeError);
  });
});
