import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Stripe } from '../../core/model.ts';
import { rowCount, storedBlockBytes } from '../../erasure/geometry.ts';
import { shardBlockOffset } from '../../erasure/shard-format.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  get,
  never,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('large objects that are proven by the tags of their packages', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  async function place(key: string): Promise<{ stripe: Stripe; holders: FaultyProvider[] }> {
    const [stripe] = (await stripesOf(test, key)) as [Stripe];
    const holders = stripe.shards.map((shard) => test.providers.find(({ id }) => id === shard.providerId)!);
    return { stripe, holders };
  }

  /** Turns a bit over in one block, where it lies. */
  async function damage(
    { stripe, holders }: Awaited<ReturnType<typeof place>>,
    index: number,
    at: number,
  ): Promise<void> {
    const { cid } = stripe.shards[index]!;
    const { bytes } = await holders[index]!.statShard(cid);
    const shard = await holders[index]!.readShard(cid, 0, bytes);
    shard[at]! ^= 4;
    await holders[index]!.deleteShard(cid);
    await holders[index]!.putShard(cid, [shard]);
  }

  it('cost no more than their blocks, of which no digest is read', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    const { stripe } = await place('key');
    test.calls.length = 0;
    assert.ok((await get(test, 'key')).equals(bytes));
    const asked = test.calls.map((call) => Number(call.split(' ').at(4)));
    const blocks = Array.from({ length: rowCount(stripe) }, (_, row) =>
      Array.from({ length: stripe.k }, (_each, index) => storedBlockBytes(stripe, index, row)),
    ).flat();
    assert.deepEqual(asked.toSorted(), blocks.filter((length) => length > 0).toSorted());
    assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'verified' }), asked.length);
  });

  it('are read whole wherever a byte is wrong, which is counted once and repaired', async () => {
    const bytes = patternBytes(1.3 * MiB);
    await put(test, 'key', bytes);
    const { stripe } = await place('key');
    const objectBytes = stripe.dataBytes - stripe.manifestBytes;
    let damages = 0;
    for (let start = 0; start < objectBytes; start += stripe.blockBytes) {
      const row = Math.floor(start / (stripe.k * stripe.blockBytes));
      const index = (start / stripe.blockBytes) % stripe.k;
      // Of packages that lie in one block, in two, and in two rows.
      for (const at of [0, 100_000, stripe.blockBytes - 1]) {
        if (start + at >= objectBytes) continue;
        damages += 1;
        const key = `key ${damages}`;
        await put(test, key, bytes);
        await damage(await place(key), index, shardBlockOffset(stripe, row) + at);
        assert.ok((await get(test, key)).equals(bytes), `byte ${at} of block ${index} of row ${row}`);
        assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'shard-corrupt' }), damages);
      }
    }
    assert.ok(damages > 12);
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, damages);
    for (let count = 1; count <= damages; count++) assert.equal(await verifyShards(test, `key ${count}`), 6);
    await assertBudgetsFree(test);
  });

  it('are right when what they would be rebuilt from is wrong as well', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    const placed = await place('key');
    placed.holders[1]!.faults.always('readShard', 'error');
    await damage(placed, 4, shardBlockOffset(placed.stripe, 1) + 5);
    assert.ok((await get(test, 'key')).equals(bytes));
    assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'shard-corrupt' }), 1);
    placed.holders[1]!.faults.clear();
    test.clock.nowMs += 120_000;
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 1);
    assert.equal(await verifyShards(test, 'key'), 6);
  });

  it('are read on where a provider gives more or fewer bytes than it was asked for', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    for (const change of [-1, 1]) {
      const [liar] = test.providers as [FaultyProvider];
      const readShard = liar.readShard.bind(liar);
      liar.readShard = async (cid, offset, length, signal) =>
        Uint8Array.from({ ...(await readShard(cid, offset, length, signal)), length: length + change });
      assert.ok((await get(test, 'key')).equals(bytes), `${change}`);
      liar.readShard = readShard;
      test.clock.nowMs += 120_000;
    }
    await assertBudgetsFree(test);
  });

  it('give what lies before damage that nothing can mend, and no byte of what lies behind', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    for (const index of [0, 1, 2]) {
      const placed = await place('key');
      await damage(placed, index, shardBlockOffset(placed.stripe, 2) + 70_000);
    }
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    let read = 0;
    const reading = (async () => {
      for await (const chunk of object.read(never)) {
        assert.ok(bytes.subarray(read, read + chunk.length).equals(chunk));
        read += chunk.length;
      }
    })();
    await assert.rejects(reading, { kind: 'too-few-shards' });
    assert.ok(read > MiB && read < 2 * MiB + 300 * KiB, `${read} bytes`);
    await assertBudgetsFree(test);
  });
});
