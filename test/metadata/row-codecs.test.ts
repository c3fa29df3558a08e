import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as digest from 'multiformats/hashes/digest';
import type { PlacedShard, ProviderId, StripeId } from '../../core/model.ts';
import { decodeExtents, encodeExtents, encodeStripeId, stripesOfExtents } from '../../metadata/sqlite/extent-codec.ts';
import { NameTable } from '../../metadata/sqlite/name-table.ts';
import { migrate } from '../../metadata/sqlite/schema.ts';
import {
  cidOfDigest,
  decodeShards,
  digestOfCid,
  encodeShards,
  headsOfShards,
} from '../../metadata/sqlite/shard-codec.ts';
import { makeVersionId, seqOfVersionId } from '../../metadata/sqlite/version-id.ts';

const anyDigest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const anyStripeId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((id) => Buffer.from(id).toString('hex') as StripeId);
const anyExtent = fc.record(
  { stripeId: anyStripeId, offset: fc.maxSafeNat(), length: fc.maxSafeNat() },
  { noNullPrototype: true },
);

describe('encoded extents', () => {
  it('decode to what they were, also when lists are joined', () => {
    fc.assert(
      fc.property(fc.array(anyExtent), fc.array(anyExtent), (first, second) => {
        const joined = Buffer.concat(
          [encodeExtents(first) ?? [], encodeExtents(second) ?? []].map((each) => Buffer.from(each)),
        );
        assert.deepEqual(decodeExtents(joined), [...first, ...second]);
        const ids = new Set([...first, ...second].map(({ stripeId }) => stripeId));
        assert.deepEqual(
          stripesOfExtents(joined).map((id) => id.toString('hex')),
          [...ids],
        );
      }),
    );
  });

  it('name each stripe once, in order', () => {
    const [a, b] = ['aa', 'bb'].map((byte) => byte.repeat(16) as StripeId);
    const extents = [a, b, a, a].map((stripeId) => ({ stripeId: stripeId!, offset: 1, length: 200 }));
    assert.deepEqual(
      stripesOfExtents(encodeExtents(extents)!).map((id) => id.toString('hex')),
      [a, b],
    );
    assert.deepEqual(stripesOfExtents(null), []);
  });

  it('take 18 bytes for a small object, and nothing for none', () => {
    const stripeId = '0123456789abcdef'.repeat(2) as StripeId;
    assert.equal(encodeExtents([{ stripeId, offset: 0, length: 100 }])?.length, 18);
    assert.equal(encodeExtents([]), undefined);
  });

  it('refuse what no extent can be', () => {
    const stripeId = '0123456789abcdef'.repeat(2) as StripeId;
    for (const offset of [-1, 0.5, 2 ** 53, Number.NaN]) {
      assert.throws(() => encodeExtents([{ stripeId, offset, length: 1 }]), RangeError);
    }
    for (const id of ['', 'ab', 'xy'.repeat(16), 'ab'.repeat(17), `${'ab'.repeat(16)}z`]) {
      assert.throws(() => encodeStripeId(id as StripeId), RangeError, id);
    }
  });
});

describe('the CID of a shard', () => {
  const cidByReference = (bytes: Uint8Array) => CID.createV1(raw.code, digest.create(0x12, bytes)).toString();

  it('is what the multiformats package makes of the digest, and leads back to it', () => {
    fc.assert(
      fc.property(anyDigest, (bytes) => {
        const cid = cidOfDigest(bytes);
        assert.equal(cid, cidByReference(bytes));
        assert.deepEqual(digestOfCid(cid), Buffer.from(bytes));
      }),
    );
  });

  it('is refused in any other spelling, codec, hash or length', () => {
    const cid = cidOfDigest(randomBytes(32));
    const spare = cid.slice(0, -1) + { a: 'b', i: 'j', q: 'r', y: 'z' }[cid.at(-1)!]!;
    const dagPb = CID.createV1(0x70, digest.create(0x12, randomBytes(32))).toString();
    const sha3 = CID.createV1(raw.code, digest.create(0x16, randomBytes(32))).toString();
    for (const wrong of [
      '',
      cid.slice(1),
      `${cid}a`,
      cid.toUpperCase(),
      `z${cid.slice(1)}`,
      `${cid.slice(0, -1)}1`,
      `${cid.slice(0, -1)}é`,
      spare,
      dagPb,
      sha3,
    ]) {
      assert.equal(digestOfCid(wrong), undefined, wrong);
    }
  });
});

describe('encoded shards', () => {
  it('decode to what they were, with the head of each digest', () => {
    const db = new Database(':memory:');
    migrate(db);
    const names = new NameTable({ db });
    const shard = {
      index: fc.nat(255),
      providerId: fc.string({ minLength: 1 }).map((name) => name as ProviderId),
      cid: anyDigest.map((bytes) => cidOfDigest(bytes)),
    };
    const anyShard: fc.Arbitrary<PlacedShard> = fc.record(shard, { noNullPrototype: true });
    fc.assert(
      fc.property(fc.array(anyShard), (shards) => {
        const blob = encodeShards(shards, names);
        assert.deepEqual(decodeShards(blob, names), shards);
        const heads = shards.map(({ cid }) => Number.parseInt(digestOfCid(cid)!.toString('hex', 0, 6), 16));
        assert.deepEqual(headsOfShards(blob), heads);
      }),
    );
    assert.throws(
      () => encodeShards([{ index: 0, providerId: 'p' as ProviderId, cid: 'bafkrei' as never }], names),
      RangeError,
    );
    db.close();
  });
});

describe('a version id', () => {
  it('is 32 characters that are safe in a URL, never twice the same, and holds its number', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (seq) => {
        const id = makeVersionId(seq);
        assert.match(id, /^[A-Za-z0-9_][\w-]{31}$/);
        assert.notEqual(makeVersionId(seq), id);
        assert.equal(seqOfVersionId(id), seq);
      }),
    );
  });

  it('holds no number when it is malformed', () => {
    for (const id of ['', 'null', 'A'.repeat(31), 'A'.repeat(33), `${'A'.repeat(31)}+`, '_'.repeat(32)]) {
      assert.equal(seqOfVersionId(id), undefined, id);
    }
  });
});
