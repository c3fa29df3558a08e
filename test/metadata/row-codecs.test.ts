import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as digest from 'multiformats/hashes/digest';
import { cidOfDigest, digestOfCid } from '../../core/cid-digest.ts';
import type { PlacedShard, ProviderId, SealedSpan, StripeId } from '../../core/model.ts';
import { NameTable } from '../../metadata/sqlite/name-table.ts';
import { migrate } from '../../metadata/sqlite/schema.ts';
import {
  decodeHolders,
  decodeShards,
  encodeShards,
  headsOfShards,
  holdersOfShards,
  isHeldBy,
} from '../../metadata/sqlite/shard-codec.ts';
import { decodeSpans, encodeSpans, stripeBytesOf, stripeBytesOfBlob } from '../../metadata/sqlite/span-codec.ts';
import { encodeStripeId } from '../../metadata/sqlite/stripe-id.ts';
import { makeVersionId, numberOfVersionId } from '../../metadata/sqlite/version-id.ts';

const anyDigest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const anyStripeId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((id) => Buffer.from(id).toString('hex') as StripeId);
const anyExtent = fc.record(
  { stripeId: anyStripeId, offset: fc.maxSafeNat(), length: fc.nat(2 ** 40) },
  { noNullPrototype: true },
);
const anySpan: fc.Arbitrary<SealedSpan> = fc.record(
  {
    wrappedKey: fc.uint8Array({ minLength: 40, maxLength: 40 }),
    streamBytes: fc.maxSafeNat(),
    offset: fc.maxSafeNat(),
    length: fc.maxSafeNat(),
    extents: fc.array(anyExtent),
  },
  { noNullPrototype: true },
);

describe('encoded spans', () => {
  it('decode to what they were, also when lists are joined', () => {
    fc.assert(
      fc.property(fc.array(anySpan), fc.array(anySpan), (first, second) => {
        const joined = Buffer.concat(
          [encodeSpans(first) ?? [], encodeSpans(second) ?? []].map((each) => Buffer.from(each)),
        );
        const all = [...first, ...second];
        assert.deepEqual(decodeSpans(joined), all);
        const bytes = new Map<string, number>();
        for (const { stripeId, length } of all.flatMap(({ extents }) => extents)) {
          bytes.set(stripeId, (bytes.get(stripeId) ?? 0) + length);
        }
        assert.deepEqual([...stripeBytesOfBlob(joined)], [...bytes]);
        assert.deepEqual([...stripeBytesOf(all)], [...bytes]);
      }),
    );
  });

  it('take 62 bytes for a small object, and nothing for none', () => {
    const stripeId = '0123456789abcdef'.repeat(2) as StripeId;
    const span = { wrappedKey: new Uint8Array(40), streamBytes: 100, offset: 0, length: 100 };
    const extents = [{ stripeId, offset: 0, length: 116 }];
    assert.equal(encodeSpans([{ ...span, extents }])?.length, 62);
    assert.equal(encodeSpans([]), undefined);
    assert.deepEqual(decodeSpans(null), []);
    assert.equal(stripeBytesOfBlob(null).size, 0);
  });

  it('take less than 4 MiB for an object of 5 TiB, 10,000 parts and 90,000 extents', () => {
    const stripeIds = Array.from({ length: 9 }, () => randomBytes(16).toString('hex') as StripeId);
    const length = Math.ceil((5 * 2 ** 40) / 10_000);
    const extentBytes = Math.ceil(length / 9);
    const span = {
      wrappedKey: new Uint8Array(40),
      streamBytes: length,
      offset: 0,
      length,
      extents: stripeIds.map((stripeId) => ({ stripeId, offset: extentBytes, length: extentBytes })),
    };
    const blob = encodeSpans(Array.from({ length: 10_000 }, () => span))!;
    assert.ok(blob.length < 4 * 2 ** 20, `${blob.length} bytes`);
    const spans = decodeSpans(blob);
    assert.equal(spans.length, 10_000);
    assert.deepEqual(spans.at(-1), span);
    assert.equal(stripeBytesOfBlob(blob).get(stripeIds[8]!), 10_000 * extentBytes);
  });

  it('refuse what no span can be', () => {
    const stripeId = '0123456789abcdef'.repeat(2) as StripeId;
    const span = { wrappedKey: new Uint8Array(40), streamBytes: 1, offset: 0, length: 1, extents: [] };
    for (const offset of [-1, 0.5, 2 ** 53, Number.NaN]) {
      const extents = [{ stripeId, offset, length: 1 }];
      assert.throws(() => encodeSpans([{ ...span, extents }]), RangeError);
      assert.throws(() => encodeSpans([{ ...span, offset }]), RangeError);
    }
    for (const length of [0, 39, 41]) {
      assert.throws(() => encodeSpans([{ ...span, wrappedKey: new Uint8Array(length) }]), RangeError);
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
      index: fc.nat(127),
      providerId: fc.string({ minLength: 1 }).map((name) => name as ProviderId),
      cid: anyDigest.map((bytes) => cidOfDigest(bytes)),
    };
    const anyShard: fc.Arbitrary<PlacedShard> = fc.record(shard, { noNullPrototype: true });
    fc.assert(
      fc.property(fc.array(anyShard), fc.array(anyShard), (shards, lostShards) => {
        const blob = encodeShards({ shards, lostShards }, names);
        assert.deepEqual(decodeShards(blob, names), lostShards.length > 0 ? { shards, lostShards } : { shards });
        const holders = decodeHolders(holdersOfShards(blob)).map((number) => names.nameOf(number));
        assert.deepEqual(holders.sort(), shards.map(({ providerId }) => providerId as string).sort());
        for (const { providerId, cid } of [...shards, ...lostShards]) {
          assert.ok(isHeldBy(blob, names.find(providerId)!, digestOfCid(cid)!));
          assert.ok(!isHeldBy(blob, names.numberOf('nobody'), digestOfCid(cid)!));
        }
        const heads = [...shards, ...lostShards].map(({ cid }) =>
          Number.parseInt(digestOfCid(cid)!.toString('hex', 0, 6), 16),
        );
        assert.deepEqual(headsOfShards(blob), heads);
      }),
    );
    const good = { index: 0, providerId: 'p' as ProviderId, cid: cidOfDigest(randomBytes(32)) };
    for (const wrong of [
      { ...good, cid: 'bafkrei' as never },
      { ...good, index: 128 },
      { ...good, index: -1 },
    ]) {
      assert.throws(() => encodeShards({ shards: [wrong] }, names), RangeError);
    }
    db.close();
  });
});

describe('a version id', () => {
  it('is 32 characters that are safe in a URL, holds its number, and follows from it', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (number, other) => {
        const id = makeVersionId(number);
        assert.match(id, /^[A-Za-z0-9_][\w-]{31}$/);
        assert.equal(makeVersionId(number), id);
        assert.equal(makeVersionId(other).slice(11) === id.slice(11), number === other);
        assert.equal(numberOfVersionId(id), number);
      }),
    );
  });

  it('holds no number when it is malformed', () => {
    for (const id of ['', 'null', 'A'.repeat(31), 'A'.repeat(33), `${'A'.repeat(31)}+`, '_'.repeat(32)]) {
      assert.equal(numberOfVersionId(id), undefined, id);
    }
  });
});
