import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { base32 } from 'multiformats/bases/base32';
import { CID } from 'multiformats/cid';
import { cidOfDigest, digestOfCid } from '../../core/cid-digest.ts';
import { nameOf } from '../placement/provider-conformance.ts';

describe('the digest in a shard’s name', () => {
  it('is the one that multiformats finds, and makes the same name again', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        const cid = nameOf(bytes);
        const digest = digestOfCid(cid);
        assert.ok(digest);
        assert.deepEqual(Uint8Array.from(digest), Uint8Array.from(CID.parse(cid).multihash.digest));
        assert.equal(cidOfDigest(digest), cid);
      }),
    );
  });

  it('is not found in any other name', () => {
    const good = nameOf(new Uint8Array(1));
    const other = (bytes: Uint8Array) => base32.encode(bytes);
    const names = [
      '',
      'b',
      good.slice(0, -1),
      `${good}a`,
      good.toUpperCase(),
      `z${good.slice(1)}`,
      `${good.slice(0, 30)}1${good.slice(31)}`,
      `${good.slice(0, 30)}é${good.slice(31)}`,
      other(Uint8Array.of(1, 0x70, 0x12, 32, ...new Uint8Array(32))),
      other(Uint8Array.of(1, 0x55, 0x12, 20, ...new Uint8Array(20))),
      // The last character has two bits too many; only zero is right.
      `${other(Uint8Array.of(1, 0x55, 0x12, 32, ...new Uint8Array(32))).slice(0, -1)}b`,
    ];
    for (const name of names) assert.equal(digestOfCid(name), undefined, name);
  });
});
