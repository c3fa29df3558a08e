import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  rowCount,
  rowDataBytes,
  type StripeGeometry,
  shardPayloadBytes,
  storedBlockBytes,
  storedBlockCount,
  storedShardCount,
} from '../../erasure/geometry.ts';

/** Lengths at and around the boundaries of blocks and rows, and some between. */
const geometry: fc.Arbitrary<StripeGeometry> = fc
  .record({
    k: fc.integer({ min: 1, max: 8 }),
    m: fc.integer({ min: 0, max: 4 }),
    blockBytes: fc.integer({ min: 1, max: 40 }),
    blocks: fc.integer({ min: 0, max: 30 }),
    extraBytes: fc.integer({ min: -1, max: 20 }),
  })
  .map(({ k, m, blockBytes, blocks, extraBytes }) => ({
    k,
    m,
    blockBytes,
    dataBytes: Math.max(0, blocks * blockBytes + extraBytes),
  }));

describe('stripe geometry', () => {
  it('puts every data byte into exactly one block, in order', () => {
    fc.assert(
      fc.property(geometry, (g) => {
        let next = 0;
        for (let row = 0; row < rowCount(g); row++) {
          for (let index = 0; index < g.k; index++) {
            const length = storedBlockBytes(g, index, row);
            if (length > 0) assert.equal(row * rowDataBytes(g) + index * g.blockBytes, next);
            next += length;
          }
        }
        assert.equal(next, g.dataBytes);
      }),
    );
  });

  it('conserves bytes: the blocks of a shard are its payload, the payloads of the data shards are the data', () => {
    fc.assert(
      fc.property(geometry, (g) => {
        let dataBytes = 0;
        for (let index = 0; index < g.k + g.m; index++) {
          const blocks = Array.from({ length: rowCount(g) }, (_, row) => storedBlockBytes(g, index, row));
          assert.equal(
            blocks.reduce((sum, bytes) => sum + bytes, 0),
            shardPayloadBytes(g, index),
          );
          assert.equal(blocks.filter((bytes) => bytes > 0).length, storedBlockCount(g, index));
          if (index < g.k) dataBytes += shardPayloadBytes(g, index);
        }
        assert.equal(dataBytes, g.dataBytes);
      }),
    );
  });

  it('makes every block full but those of the last row, and parity as long as the longest data block of its row', () => {
    fc.assert(
      fc.property(geometry, (g) => {
        for (let row = 0; row < rowCount(g); row++) {
          const data = Array.from({ length: g.k }, (_, index) => storedBlockBytes(g, index, row));
          if (row < rowCount(g) - 1) assert.ok(data.every((bytes) => bytes === g.blockBytes));
          for (let index = g.k; index < g.k + g.m; index++) {
            assert.equal(storedBlockBytes(g, index, row), Math.max(...data));
          }
        }
        assert.ok(rowCount(g) === 0 || storedBlockBytes(g, 0, rowCount(g) - 1) > 0);
      }),
    );
  });

  it('stores nothing beyond the last row and nothing for an empty stripe', () => {
    fc.assert(
      fc.property(geometry, fc.integer({ min: 0, max: 3 }), (g, beyond) => {
        for (let index = 0; index < g.k + g.m; index++) {
          assert.equal(storedBlockBytes(g, index, rowCount(g) + beyond), 0);
        }
      }),
    );
    const empty = { k: 4, m: 2, blockBytes: 4096, dataBytes: 0 };
    assert.deepEqual([rowCount(empty), storedShardCount(empty), shardPayloadBytes(empty, 5)], [0, 0, 0]);
  });

  it('changes where it must, one byte before and after each boundary', () => {
    const at = (dataBytes: number) => {
      const g = { k: 4, m: 2, blockBytes: 100, dataBytes };
      const payloads = Array.from({ length: 6 }, (_, index) => shardPayloadBytes(g, index));
      return { rows: rowCount(g), shards: storedShardCount(g), payloads };
    };
    assert.deepEqual(at(1), { rows: 1, shards: 3, payloads: [1, 0, 0, 0, 1, 1] });
    assert.deepEqual(at(99), { rows: 1, shards: 3, payloads: [99, 0, 0, 0, 99, 99] });
    assert.deepEqual(at(100), { rows: 1, shards: 3, payloads: [100, 0, 0, 0, 100, 100] });
    assert.deepEqual(at(101), { rows: 1, shards: 4, payloads: [100, 1, 0, 0, 100, 100] });
    assert.deepEqual(at(399), { rows: 1, shards: 6, payloads: [100, 100, 100, 99, 100, 100] });
    assert.deepEqual(at(400), { rows: 1, shards: 6, payloads: [100, 100, 100, 100, 100, 100] });
    assert.deepEqual(at(401), { rows: 2, shards: 6, payloads: [101, 100, 100, 100, 101, 101] });
  });

  it('is exact for stripes of terabytes', () => {
    const g = { k: 4, m: 2, blockBytes: 256 * 1024, dataBytes: 5 * 2 ** 40 - 1 };
    assert.equal(rowCount(g), 5 * 2 ** 20);
    assert.equal(shardPayloadBytes(g, 3), (5 * 2 ** 40) / 4 - 1);
    assert.equal(shardPayloadBytes(g, 5), (5 * 2 ** 40) / 4);
  });
});
