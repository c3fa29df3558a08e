import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CID } from 'multiformats/cid';
import type { ShardCid, StripeId } from '../../core/model.ts';
import { type StripeGeometry, shardPayloadBytes, storedBlockBytes, storedBlockCount } from '../../erasure/geometry.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  footerBytes,
  openShardFooter,
  parseShardHeader,
  parseShardTrailer,
  type ShardIdentity,
  shardBlockOffset,
  shardBytes,
  shardCid,
  shardFooterOffset,
  shardHeaderBytes,
  shardTrailerBytes,
} from '../../erasure/shard-format.ts';

const identity: ShardIdentity = {
  stripeId: '0193a1b2c3d4e5f60718293a4b5c6d7e' as StripeId,
  profileName: 'STANDARD',
  k: 4,
  m: 2,
  index: 5,
  blockBytes: 4096,
};
/** A stripe as its shards describe it. */
type Described = StripeGeometry & { readonly manifestBytes: number };

const geometry: Described = { k: 4, m: 2, blockBytes: 4096, dataBytes: 40_000, manifestBytes: 700 };

const anyShard = fc
  .record({
    k: fc.integer({ min: 1, max: 20 }),
    m: fc.integer({ min: 0, max: 20 }),
    blockBytes: fc.integer({ min: 1, max: 300 }),
    dataBytes: fc.integer({ min: 1, max: 5000 }),
    manifestSeed: fc.nat(),
    indexSeed: fc.nat(),
    id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    profileName: fc.stringMatching(/^[A-Z0-9_-]{1,16}$/),
  })
  .map(({ indexSeed, manifestSeed, id, dataBytes, ...rest }) => {
    const manifestBytes = manifestSeed % (dataBytes + 1);
    const g: Described = { k: rest.k, m: rest.m, blockBytes: rest.blockBytes, dataBytes, manifestBytes };
    const stored = Array.from({ length: g.k + g.m }, (_, i) => i).filter((i) => storedBlockCount(g, i) > 0);
    const index = stored[indexSeed % stored.length]!;
    return { geometry: g, identity: { ...rest, index, stripeId: Buffer.from(id).toString('hex') as StripeId } };
  });

/** The whole of a shard, with blocks of bytes that depend on the row. */
function buildShard(id: ShardIdentity, g: Described) {
  const blocks = Array.from({ length: storedBlockCount(g, id.index) }, (_, row) =>
    new Uint8Array(storedBlockBytes(g, id.index, row)).fill(row + 1),
  );
  const header = encodeShardHeader(id);
  const footer = encodeShardFooter(id, g, blocks.map(digestBlock));
  return { blocks, header, footer, bytes: Buffer.concat([header, ...blocks, footer]), cid: shardCid(header, footer) };
}

function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3] = copy[bit >> 3]! ^ (1 << (bit & 7));
  return copy;
}

describe('shard format', () => {
  it('lays the header out as docs/shard-format.md says', () => {
    const expected =
      '68662d7368617264' + // magic hf-shard
      '0002' + // version
      '040205' + // k, m, index
      '00' + // flags
      '0000' +
      '00001000' + // block size
      '000000000000000000000000' +
      '0193a1b2c3d4e5f60718293a4b5c6d7e' +
      '5354414e444152440000000000000000'; // STANDARD
    assert.equal(Buffer.from(encodeShardHeader(identity)).toString('hex'), expected);
  });

  it('lays the trailer out as docs/shard-format.md says', () => {
    const { footer } = buildShard(identity, geometry);
    const expected =
      '68662d747261696c' + // magic hf-trail
      '0002' +
      '0000' +
      '00000003' + // blocks
      '0000000000003000' + // payload: 2 rows and one of 4096 bytes
      '0000000000009c40' + // data bytes of the stripe
      '000002bc' + // bytes of manifest at the end of these
      '000000a0' + // footer: 3 * 32 + 64
      '00'.repeat(24);
    assert.equal(Buffer.from(footer.subarray(-shardTrailerBytes)).toString('hex'), expected);
  });

  it('names a shard by the CID that multiformats gives for header and footer', () => {
    const { header, footer, cid } = buildShard(identity, geometry);
    const parsed = CID.parse(cid);
    assert.equal(parsed.version, 1);
    assert.equal(parsed.code, 0x55);
    assert.equal(parsed.multihash.code, 0x12);
    const digest = createHash('sha256').update(header).update(footer).digest();
    assert.deepEqual(Buffer.from(parsed.multihash.digest), digest);
    assert.equal(parsed.toString(), cid);
  });

  it('gives a shard the name that another program computed by the document', () => {
    assert.equal(buildShard(identity, geometry).cid, 'bafkreicrailm7ovuekv7cq5permaoyn7rjcvygraxt4jvo6f5lurnqukli');
  });

  it('puts blocks and footer where the helpers say', () => {
    fc.assert(
      fc.property(anyShard, ({ identity: id, geometry: g }) => {
        const shard = buildShard(id, g);
        assert.equal(shard.bytes.length, shardBytes(g, id.index));
        assert.equal(shardFooterOffset(g, id.index), shardHeaderBytes + shardPayloadBytes(g, id.index));
        assert.equal(shard.footer.length, footerBytes(g, id.index));
        const footer = shard.bytes.subarray(shardFooterOffset(g, id.index));
        const table = openShardFooter(id, g, footer, shard.cid);
        assert.ok(table);
        for (const [row, block] of shard.blocks.entries()) {
          const start = shardBlockOffset(g, row);
          assert.ok(table.matches(row, shard.bytes.subarray(start, start + block.length)));
          assert.ok(!table.matches(row, block.subarray(1)));
          assert.ok(!table.matches(row + shard.blocks.length, block));
          assert.ok(!table.matches(-1 - row, block));
        }
      }),
    );
  });

  it('can be read from its end, without knowing anything of it', () => {
    fc.assert(
      fc.property(anyShard, ({ identity: id, geometry: g }) => {
        const { bytes, cid, blocks } = buildShard(id, g);
        const trailer = parseShardTrailer(bytes.subarray(-shardTrailerBytes));
        const header = parseShardHeader(bytes.subarray(0, shardHeaderBytes));
        assert.ok(trailer && header);
        assert.deepEqual(header, id);
        assert.deepEqual(trailer, {
          blockCount: blocks.length,
          payloadBytes: shardPayloadBytes(g, id.index),
          dataBytes: g.dataBytes,
          manifestBytes: g.manifestBytes,
          footerBytes: footerBytes(g, id.index),
        });
        const { dataBytes, manifestBytes } = trailer;
        const found = { k: header.k, m: header.m, blockBytes: header.blockBytes, dataBytes, manifestBytes };
        assert.ok(openShardFooter(header, found, bytes.subarray(-trailer.footerBytes), cid));
      }),
    );
  });

  it('notices each flipped bit of footer, header and CID', () => {
    const { header, footer, cid } = buildShard(identity, geometry);
    assert.ok(openShardFooter(identity, geometry, footer, cid));
    for (let bit = 0; bit < footer.length * 8; bit++) {
      assert.equal(openShardFooter(identity, geometry, flipBit(footer, bit), cid), undefined, `bit ${bit}`);
    }
    for (let bit = 0; bit < header.length * 8; bit++) {
      const flipped = flipBit(header, bit);
      const parsed = parseShardHeader(flipped);
      // What still reads as a header is another shard's: the CID does not fit it.
      if (parsed) assert.equal(openShardFooter(parsed, { ...geometry, ...parsed }, footer, cid), undefined);
      assert.notEqual(shardCid(flipped, footer), cid, `bit ${bit}`);
    }
    const cidBytes = Buffer.from(cid, 'ascii');
    for (let bit = 0; bit < cidBytes.length * 8; bit++) {
      const flipped = Buffer.from(flipBit(cidBytes, bit)).toString('latin1') as ShardCid;
      assert.equal(openShardFooter(identity, geometry, footer, flipped), undefined, `bit ${bit}`);
    }
  });

  it('notices each flipped bit of a block, and a block in another’s place', () => {
    const { footer, cid, blocks } = buildShard(identity, geometry);
    const table = openShardFooter(identity, geometry, footer, cid);
    assert.ok(table);
    const block = blocks[2]!;
    for (let bit = 0; bit < block.length * 8; bit += 97) assert.ok(!table.matches(2, flipBit(block, bit)));
    assert.ok(!table.matches(1, blocks[0]!));
    assert.ok(table.matches(1, blocks[1]!));
  });

  it('does not take another shard, stripe, profile or geometry for the one that was asked for', () => {
    const { footer, cid } = buildShard(identity, geometry);
    const others: Partial<ShardIdentity>[] = [
      { index: 4 },
      { stripeId: '0193a1b2c3d4e5f60718293a4b5c6d7f' as StripeId },
      { profileName: 'STANDARD_IA' },
      { k: 3 },
      { m: 3 },
      { blockBytes: 8192 },
    ];
    for (const other of others) {
      const id = { ...identity, ...other };
      assert.equal(openShardFooter(id, geometry, footer, cid), undefined);
      const g = { ...geometry, k: id.k, m: id.m, blockBytes: id.blockBytes };
      assert.equal(openShardFooter(id, g, footer, cid), undefined);
    }
    assert.equal(openShardFooter(identity, { ...geometry, dataBytes: 39_999 }, footer, cid), undefined);
    for (const manifestBytes of [0, 699, 701]) {
      assert.equal(openShardFooter(identity, { ...geometry, manifestBytes }, footer, cid), undefined);
    }
    assert.equal(openShardFooter(identity, geometry, footer.subarray(1), cid), undefined);
    assert.equal(openShardFooter(identity, geometry, new Uint8Array(0), cid), undefined);
  });

  it('does not keep the buffer that a footer came in', () => {
    const { footer, cid, blocks } = buildShard(identity, geometry);
    const table = openShardFooter(identity, geometry, footer, cid);
    footer.fill(0);
    assert.ok(table?.matches(0, blocks[0]!));
  });

  it('parses no header and no trailer of another length, magic or version, or with reserved bytes set', () => {
    const { header, footer } = buildShard(identity, geometry);
    const trailer = footer.subarray(-shardTrailerBytes);
    for (const offset of [0, 7, 8, 9, 13, 14, 15, 20, 31]) {
      assert.equal(parseShardHeader(flipBit(header, offset * 8)), undefined, `header byte ${offset}`);
    }
    for (const offset of [0, 7, 8, 9, 10, 11, 15, 24, 32, 33, 39, 40, 63]) {
      assert.equal(parseShardTrailer(flipBit(trailer, offset * 8 + 7)), undefined, `trailer byte ${offset}`);
    }
    assert.equal(parseShardHeader(header.subarray(1)), undefined);
    assert.equal(parseShardTrailer(footer), undefined);
    assert.equal(parseShardHeader(new Uint8Array(64)), undefined);
    assert.equal(parseShardTrailer(new Uint8Array(64)), undefined);
  });

  it('refuses to encode what it cannot hold', () => {
    const wrong: Partial<ShardIdentity>[] = [
      { k: 0 },
      { k: 256 },
      { m: -1 },
      { k: 200, m: 57 },
      { index: 6 },
      { index: -1 },
      { blockBytes: 0 },
      { blockBytes: 2 ** 32 },
      { blockBytes: 1.5 },
      { stripeId: '0193A1B2C3D4E5F60718293A4B5C6D7E' as StripeId },
      { stripeId: '00' as StripeId },
      { profileName: '' },
      { profileName: 'SEVENTEEN_LETTERS' },
      { profileName: 'ä' },
    ];
    for (const part of wrong) assert.throws(() => encodeShardHeader({ ...identity, ...part }), RangeError);
    const digest = digestBlock(new Uint8Array(1));
    const three = [digest, digest, digest];
    assert.throws(() => encodeShardFooter(identity, geometry, [digest, digest]), RangeError);
    assert.throws(() => encodeShardFooter(identity, geometry, [digest, digest, digest.subarray(1)]), RangeError);
    assert.throws(() => encodeShardFooter(identity, { ...geometry, manifestBytes: 40_001 }, three), RangeError);
    encodeShardFooter(identity, { ...geometry, manifestBytes: 40_000 }, three);
  });
});
