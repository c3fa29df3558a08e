import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  countShards,
  createTestEngine,
  failure,
  get,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

async function firstStripe(test: TestEngine, key: string): Promise<Stripe> {
  return (await stripesOf(test, key))[0]!;
}

function holderOf(test: TestEngine, { providerId }: PlacedShard): FaultyProvider {
  return test.providers.find(({ id }) => id === providerId)!;
}

/** What can be wrong with a shard that lies at a provider. */
const damages: Record<string, (holder: FaultyProvider, shard: PlacedShard) => Promise<void>> = {
  'is gone': async (holder, { cid }) => holder.deleteShard(cid),
  'has a bit turned over': async (holder, { cid }) => {
    const { bytes } = await holder.statShard(cid);
    const shard = await holder.readShard(cid, 0, bytes);
    // In the first block, behind the header.
    shard[64 + 10]! ^= 4;
    await holder.deleteShard(cid);
    await holder.putShard(cid, [shard]);
  },
  'is another shard': async (holder, { cid }) => {
    const { bytes } = await holder.statShard(cid);
    await holder.deleteShard(cid);
    await holder.putShard(cid, [patternBytes(bytes, 'garbage')]);
  },
};

describe('a shard that a read finds damaged', () => {
  for (const [what, damage] of Object.entries(damages)) {
    for (const sizeBytes of [3000, 100 * KiB, 300 * KiB, 3 * MiB]) {
      for (const providerCount of [6, 8]) {
        const place = providerCount === 6 ? 'where it was' : 'wherever there is room';
        it(`is rebuilt ${place} when it ${what}: ${sizeBytes} bytes`, async () => {
          const test = await createTestEngine({ providerCount });
          const bytes = patternBytes(sizeBytes);
          await put(test, 'key', bytes);
          const stripe = await firstStripe(test, 'key');
          const [shard] = stripe.shards as [PlacedShard];
          await damage(holderOf(test, shard), shard);
          await assert.rejects(verifyShards(test, 'key'));
          assert.ok((await get(test, 'key')).equals(bytes), 'the read does without it');
          const { shardsRepaired } = await test.upkeep.runOnce();
          assert.equal(shardsRepaired, 1);
          assert.equal(await readMetric(test.metrics.shardsRepaired), 1);
          assert.equal(await verifyShards(test, 'key'), storedShardCount(stripe));
          assert.equal(await countShards(test), storedShardCount(stripe), 'and the wrong one is gone');
          // The same bytes have the same name.
          const repaired = await firstStripe(test, 'key');
          assert.deepEqual(
            repaired.shards.map(({ index, cid }) => ({ index, cid })),
            stripe.shards.map(({ index, cid }) => ({ index, cid })),
          );
          assert.equal(new Set(repaired.shards.map(({ providerId }) => providerId)).size, repaired.shards.length);
          assert.equal((await test.upkeep.runOnce()).shardsRepaired, 0, 'nothing is left to do');
          await assertBudgetsFree(test);
          await test.close();
        });
      }
    }
  }

  it('is repaired by itself, soon', async () => {
    const test = await createTestEngine({ limits: { upkeepIntervalMs: 10 } });
    test.upkeep.start();
    await put(test, 'key', patternBytes(3000));
    const stripe = await firstStripe(test, 'key');
    const [shard] = stripe.shards as [PlacedShard];
    await holderOf(test, shard).deleteShard(shard.cid);
    await get(test, 'key');
    while ((await readMetric(test.metrics.shardsRepaired)) === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await verifyShards(test, 'key'), 3);
    await test.close();
  });

  it('may be one of two, both of which are rebuilt', async () => {
    const test = await createTestEngine();
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    const stripe = await firstStripe(test, 'key');
    for (const shard of [stripe.shards[0]!, stripe.shards[3]!]) {
      await damages['has a bit turned over']!(holderOf(test, shard), shard);
    }
    assert.ok((await get(test, 'key')).equals(bytes));
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 2);
    assert.equal(await verifyShards(test, 'key'), 6);
    await test.close();
  });

  it('stays as it is while there is nowhere to put a good one, since most of it may be good', async () => {
    const test = await createTestEngine();
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    const stripe = await firstStripe(test, 'key');
    const lost = [stripe.shards[0]!, stripe.shards[3]!];
    for (const shard of lost) await damages['has a bit turned over']!(holderOf(test, shard), shard);
    assert.ok((await get(test, 'key')).equals(bytes));
    // One of the two providers takes nothing now and is under suspicion.
    const sick = holderOf(test, lost[1]!);
    sick.faults.always('createShard', 'error');
    await put(test, 'other', patternBytes(3 * MiB));
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 1);
    assert.ok((await sick.statShard(lost[1]!.cid)).bytes > 0, 'it is there still');
    assert.ok((await get(test, 'key')).equals(bytes));
    // The provider is well again, and what waited is done.
    sick.faults.clear();
    test.clock.nowMs += 60_000;
    await test.upkeep.runOnce();
    for (const key of ['key', 'other']) assert.equal(await verifyShards(test, key), 6);
    await test.close();
  });

  it('is not forgotten while its provider takes nothing, and is replaced later', async () => {
    const test = await createTestEngine();
    const bytes = patternBytes(300 * KiB);
    await put(test, 'key', bytes);
    const stripe = await firstStripe(test, 'key');
    const [shard] = stripe.shards as [PlacedShard];
    await damages['has a bit turned over']!(holderOf(test, shard), shard);
    holderOf(test, shard).faults.always('putShard', 'error');
    assert.ok((await get(test, 'key')).equals(bytes));
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 0);
    assert.equal(await countShards(test), 6, 'what is partly good stays');
    holderOf(test, shard).faults.clear();
    // Nobody suspects the provider any more.
    test.clock.nowMs += 60_000;
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 1, 'it was not forgotten');
    assert.equal(await verifyShards(test, 'key'), 6);
    await test.close();
  });
});

describe('a codec that computes wrong bytes', () => {
  it('is found out by the name of the shard, and makes nothing worse', async () => {
    const right = createWasmCodec();
    let isWrong = false;
    const codec: ErasureCodec = {
      name: right.name,
      allocateSlots: (count, slotBytes) => right.allocateSlots(count, slotBytes),
      encode: (data, parity) => right.encode(data, parity),
      reconstruct: (blocks, k, wanted) => {
        const rebuilt = right.reconstruct(blocks, k, wanted);
        if (isWrong) for (const block of rebuilt) block[0]! ^= 1;
        return rebuilt;
      },
    };
    const test = await createTestEngine({ codec });
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    const stripe = await firstStripe(test, 'key');
    const shard = stripe.shards[1]!;
    const holder = holderOf(test, shard);
    await damages['has a bit turned over']!(holder, shard);
    assert.ok((await get(test, 'key')).equals(bytes), 'which notices the damage');
    isWrong = true;
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 0);
    const damaged = await firstStripe(test, 'key');
    assert.deepEqual(damaged.lostShards, [shard]);
    assert.deepEqual(
      [...damaged.shards, shard].sort((a, b) => a.index - b.index),
      stripe.shards,
    );
    assert.equal(await countShards(test), 6, 'nothing new, and nothing gone');
    // Nor does a wrong byte leave: the package's tag does not fit.
    await assert.rejects(get(test, 'key'), failure('package-corrupt'));
    isWrong = false;
    assert.ok((await get(test, 'key')).equals(bytes));
    test.clock.nowMs += 60_000;
    assert.equal((await test.upkeep.runOnce()).shardsRepaired, 1);
    assert.equal(await verifyShards(test, 'key'), 6);
    await test.close();
  });
});
