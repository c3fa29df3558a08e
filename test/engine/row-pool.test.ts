import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { ByteBudget } from '../../core/byte-budget.ts';
import { Metrics } from '../../core/metrics.ts';
import { RowPool, rowBufferBytes } from '../../engine/row-pool.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { never } from './engine-harness.ts';

const cut = { k: 4, m: 2, blockBytes: 4096 };

describe('rows', () => {
  let budget: ByteBudget;
  let pool: RowPool;
  beforeEach(() => {
    budget = new ByteBudget({ name: 'write', capacityBytes: 64 * 1024, waitMs: 10, metrics: new Metrics() });
    pool = new RowPool(budget);
  });

  it('lie in memory as blocks one after the other, with zeros where nothing was filled', async () => {
    const dirty = await pool.lease(cut, never);
    dirty.fill(Buffer.alloc(4 * 4096, 0xff));
    dirty.layOut().parity[1]!.fill(0xff);
    dirty.release();
    for (const filledBytes of [1, 4095, 4096, 4097, 3 * 4096 + 5, 4 * 4096]) {
      const row = await pool.lease(cut, never);
      const bytes = patternBytes(filledBytes);
      assert.equal(row.fill(bytes), filledBytes);
      const { data, parity } = row.layOut();
      const blockBytes = Math.min(filledBytes, 4096);
      const blocks = [...data, ...parity];
      assert.deepEqual([data.length, parity.length], [4, 2]);
      for (const [at, block] of blocks.entries()) {
        assert.equal(block.length, blockBytes);
        assert.equal(block.buffer, blocks[0]!.buffer);
        assert.equal(block.byteOffset, blocks[0]!.byteOffset + at * blockBytes);
      }
      const expected = Buffer.alloc(4 * blockBytes);
      bytes.copy(expected);
      assert.ok(Buffer.concat(data).equals(expected));
      row.release();
    }
  });

  it('take no more than fits', async () => {
    const row = await pool.lease(cut, never);
    assert.equal(row.fill(Buffer.alloc(10_000)), 10_000);
    assert.ok(!row.isFull);
    assert.equal(row.fill(Buffer.alloc(10_000)), 4 * 4096 - 10_000);
    assert.ok(row.isFull);
    assert.equal(row.filledBytes, 4 * 4096);
  });

  it('use a buffer again once it was given back, and only once', async () => {
    const memoryOf = async (): Promise<ArrayBufferLike> => {
      const row = await pool.lease(cut, never);
      row.fill(Buffer.alloc(1));
      const { buffer } = row.layOut().data[0]!;
      row.release();
      row.release();
      return buffer;
    };
    const buffer = await memoryOf();
    assert.equal(await memoryOf(), buffer);
    const [one, two] = await Promise.all([pool.lease(cut, never), pool.lease(cut, never)]);
    for (const row of [one, two]) row.fill(Buffer.alloc(1));
    assert.notEqual(one.layOut().data[0]!.buffer, two.layOut().data[0]!.buffer);
    assert.equal(budget.takenBytes, 2 * rowBufferBytes(cut));
  });

  it('that nobody needed for a second are given up, and no others', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const bytes = rowBufferBytes(cut);
    const [one, two] = await Promise.all([pool.lease(cut, never), pool.lease(cut, never)]);
    one.release();
    two.release();
    assert.equal(pool.idleBytes, 2 * bytes);
    context.mock.timers.tick(1000);
    assert.equal(pool.idleBytes, 2 * bytes, 'they were in use in this second');
    const row = await pool.lease(cut, never);
    row.release();
    context.mock.timers.tick(1000);
    assert.equal(pool.idleBytes, bytes, 'one was enough in this second');
    context.mock.timers.tick(1000);
    assert.equal(pool.idleBytes, 0);
  });

  it('that lie idle make room for those of another size', async () => {
    const large = { k: 4, m: 2, blockBytes: 8192 };
    const rows = await Promise.all([pool.lease(cut, never), pool.lease(cut, never)]);
    for (const row of rows) row.release();
    const row = await pool.lease(large, never);
    assert.ok(pool.idleBytes + budget.takenBytes <= budget.capacityBytes);
    row.release();
  });

  it('come in sizes that are at most a fifth too large', () => {
    const property = fc.property(
      fc.integer({ min: 1, max: 32 }),
      fc.integer({ min: 0, max: 16 }),
      fc.integer({ min: 1, max: 64 }),
      (k, m, pages) => {
        const bytes = (k + m) * pages * 4096;
        const taken = rowBufferBytes({ k, m, blockBytes: pages * 4096 });
        assert.ok(taken >= bytes && taken - bytes < Math.max(taken / 5 + 1, 4096), `${taken} for ${bytes}`);
      },
    );
    fc.assert(property);
  });
});
