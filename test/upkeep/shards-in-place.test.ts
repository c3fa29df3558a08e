import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { ProviderId, Stripe } from '../../core/model.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { get, never, put } from '../engine/engine-harness.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertStatusIsTrue, createWorld, listStripes, providerOf, type UpkeepWorld } from './upkeep-world.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

function holdersOf({ shards }: Stripe): string[] {
  return shards.map(({ index, providerId }) => `${index} at ${providerId}`).sort();
}

describe('repair, where providers are few', () => {
  let world: UpkeepWorld;
  afterEach(() => world.close());

  it('uses a shard again that is right again, though its provider is given nothing new', async () => {
    world = await createWorld({ providerCount: 6 });
    const bytes = patternBytes(600 * KiB);
    await put(world, 'key', bytes);
    const [before] = (await listStripes(world)) as [Stripe];
    const liar = providerOf(world, before.shards[1]!.providerId);
    liar.faults.always('readShard', 'flip');
    world.upkeep.noteDamage(before, before.shards[1]!);
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'while it lies');
    assert.equal((await listStripes(world))[0]!.shards.length, 5);
    liar.faults.clear();
    world.clock.nowMs += 60_000;
    world.calls.length = 0;
    await world.upkeep.runOnce();
    assert.deepEqual(holdersOf((await listStripes(world))[0]!), holdersOf(before));
    assert.ok(!world.calls.some((call) => call.includes('Shard ') && !call.startsWith(`${liar.id} readShard`)));
    await assertStatusIsTrue(world, 'when it does no more');
    assert.ok((await get(world, 'key')).equals(bytes));
  });

  it('never puts a shard where another of the stripe may be right again', async () => {
    world = await createWorld({ providerCount: 6 });
    for (let at = 0; at < 8; at++) await put(world, `key ${at}`, patternBytes(600 * KiB, `key ${at}`));
    const full = 'p1' as ProviderId;
    const poor = 'p4' as ProviderId;
    const stripes = await listStripes(world);
    for (const stripe of stripes) {
      for (const shard of stripe.shards.filter(({ providerId }) => providerId === full || providerId === poor)) {
        await providerOf(world, shard.providerId).deleteShard(shard.cid);
        world.upkeep.noteDamage(stripe, shard);
      }
    }
    providerOf(world, full).faults.always('all', 'full');
    // From here on it is the last to be asked.
    await put(world, 'another', patternBytes(600 * KiB));
    await world.upkeep.runOnce();
    const before = new Map(stripes.map((stripe) => [stripe.id, stripe]));
    for (const stripe of await listStripes(world)) {
      const old = before.get(stripe.id);
      const expected = old && holdersOf(old).filter((holder) => !holder.endsWith(full));
      if (expected) assert.deepEqual(holdersOf(stripe), expected);
    }
    await assertStatusIsTrue(world, 'one of two is repaired');
  });
});

describe('rebalance', () => {
  it('never moves a shard to where another of the stripe may be right again', async () => {
    const world = await createWorld({ providerCount: 6, limits: { rebalanceSkew: 0.05 } });
    for (let at = 0; at < 8; at++) await put(world, `key ${at}`, patternBytes(600 * KiB, `key ${at}`));
    const stripes = await listStripes(world);
    const liar = providerOf(world, 'p1' as ProviderId);
    liar.faults.always('readShard', 'flip');
    for (const stripe of stripes) {
      for (const shard of stripe.shards) if (shard.providerId === liar.id) world.upkeep.noteDamage(stripe, shard);
    }
    await world.upkeep.runOnce();
    liar.faults.clear();
    await world.upkeep.moveShards(never);
    const before = new Map(stripes.map((stripe) => [stripe.id, holdersOf(stripe)]));
    for (const stripe of await listStripes(world)) {
      const expected = before.get(stripe.id)!.filter((holder) => !holder.endsWith(liar.id));
      assert.deepEqual(holdersOf(stripe), expected);
    }
    await world.close();
  });
});

describe('a read under way while shards move', () => {
  it('finds out where they lie now', async () => {
    const world = await createWorld({ providerCount: 12, limits: { orphanAgeMs: 0 } });
    const bytes = patternBytes(4 * MiB);
    await put(world, 'key', bytes);
    const [stripe] = (await listStripes(world)) as [Stripe];
    const object = await world.engine.objects.open({ bucket: 'tests', key: 'key' });
    const body = object.read(never)[Symbol.asyncIterator]();
    const first = await body.next();
    for (const pair of [stripe.shards.slice(0, 2), stripe.shards.slice(2, 4)]) {
      for (const { providerId } of pair) world.setStanding(providerId, 'lost');
      world.clock.nowMs += 3_600_000;
      await world.upkeep.runOnce();
      for (const { providerId } of pair) world.setStanding(providerId, 'up');
    }
    world.clock.nowMs += 3_600_000;
    await world.upkeep.runOnce();
    const [now] = (await listStripes(world)) as [Stripe];
    assert.equal(now.shards.length, storedShardCount(now));
    assert.equal(holdersOf(now).filter((holder) => holdersOf(stripe).includes(holder)).length, 2);
    const chunks = [first.value as Uint8Array];
    for (let next = await body.next(); !next.done; next = await body.next()) chunks.push(next.value as Uint8Array);
    assert.ok(Buffer.concat(chunks).equals(bytes));
    await world.close();
  });
});
