import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import {
  bucketName,
  countShards,
  get,
  hourMs,
  listCids,
  never,
  ownerId,
  put,
  verifyShards,
} from '../engine/engine-harness.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertStatusIsTrue, createWorld, listStripes, providerOf, type UpkeepWorld } from './upkeep-world.ts';

const KiB = 1024;
const away = 'p0' as ProviderId;

describe('a provider that comes back', () => {
  let world: UpkeepWorld;
  beforeEach(async () => {
    world = await createWorld({
      providerCount: 8,
      // Room for repair of one stripe at a time.
      limits: { orphanAgeMs: hourMs, readBudgetBytes: 6 * 1024 * KiB },
    });
    for (let at = 0; at < 10; at++) await put(world, `key ${at}`, patternBytes(300 * KiB, `key ${at}`));
  });
  afterEach(() => world.close());

  function remove(key: string): Promise<unknown> {
    return world.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: world.clock.now() });
  }

  /** Fails unless every provider holds what the metadata say it holds, and nothing else. */
  async function assertNothingTooMany(): Promise<void> {
    const stripes = await listStripes(world);
    for (const provider of world.providers) {
      const recorded = stripes.flatMap(({ shards }) => shards.filter(({ providerId }) => providerId === provider.id));
      assert.deepEqual((await listCids(provider)).sort(), recorded.map(({ cid }) => cid).sort(), provider.id);
    }
  }

  it('has its shards used again where they were not rebuilt', async () => {
    const before = await listStripes(world);
    world.setStanding(away, 'down');
    world.clock.nowMs += hourMs;
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'while it is away');
    world.setStanding(away, 'up');
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 0);
    assert.deepEqual(await listStripes(world), before);
    await assertStatusIsTrue(world, 'when it is back');
    await assertNothingTooMany();
  });

  it('has those collected that were rebuilt elsewhere, and keeps the others', async () => {
    world.setStanding(away, 'lost');
    // Only some, and then it is back.
    const recordShard = world.metadata.recordShard.bind(world.metadata);
    let recorded = 0;
    world.metadata.recordShard = async (id, shard) => {
      recorded += 1;
      if (recorded === 2) world.setStanding(away, 'up');
      await recordShard(id, shard);
    };
    await world.upkeep.runOnce();
    world.metadata.recordShard = recordShard;
    world.setStanding(away, 'up');
    assert.ok((await listCids(providerOf(world, away))).length > 0);
    assert.ok((await countShards(world)) > 10 * 4, 'some lie twice');
    await world.upkeep.runOnce();
    assert.ok((await countShards(world)) > 10 * 4, 'what is young stays');
    world.clock.nowMs += 2 * hourMs;
    await world.upkeep.runOnce();
    await assertNothingTooMany();
    await assertStatusIsTrue(world, 'at last');
    for (let at = 0; at < 10; at++) await verifyShards(world, `key ${at}`);
  });

  it('brings nothing back that was deleted, and holds up nobody meanwhile', async () => {
    world.setStanding(away, 'down');
    for (let at = 0; at < 5; at++) await remove(`key ${at}`);
    world.clock.nowMs += 10_000;
    await world.upkeep.runOnce();
    assert.ok((await world.metadata.countUsage()).freedStripes > 0, 'it may be back in a moment');
    world.clock.nowMs += 2 * hourMs;
    await world.upkeep.runOnce();
    assert.equal((await world.metadata.countUsage()).freedStripes, 0, 'nobody waits for ever');
    world.setStanding(away, 'up');
    const held = (await listCids(providerOf(world, away))).length;
    await world.upkeep.runOnce();
    assert.ok((await listCids(providerOf(world, away))).length < held, 'what is left of them is collected');
    await assertNothingTooMany();
    for (let at = 0; at < 5; at++) await assert.rejects(get(world, `key ${at}`));
    for (let at = 5; at < 10; at++) await get(world, `key ${at}`);
  });

  it('that was lost for good is not waited for either', async () => {
    world.setStanding(away, 'lost');
    for (let at = 0; at < 10; at++) await remove(`key ${at}`);
    world.clock.nowMs += 1_000;
    await world.upkeep.runOnce();
    assert.equal((await world.metadata.countUsage()).freedStripes, 0);
  });

  it('is searched for orphans soon, without waiting for the next search', async () => {
    const own = await createWorld({ providerCount: 8, limits: { orphanAgeMs: hourMs, upkeepIntervalMs: 10 } });
    await put(own, 'key', patternBytes(300 * KiB));
    const stripe = (await listStripes(own))[0]!;
    const { providerId, cid } = stripe.shards[0]!;
    own.upkeep.start();
    own.setStanding(providerId, 'lost');
    await pollUntil('it is rebuilt', async () => {
      const [now] = await listStripes(own);
      return (
        now!.shards.every((shard) => shard.providerId !== providerId) && now!.shards.length === stripe.shards.length
      );
    });
    own.clock.nowMs += 2 * hourMs;
    // The task looks at how providers stand now and then: it must have seen this one away.
    await own.upkeep.runOnce();
    own.setStanding(providerId, 'up');
    const provider = providerOf(own, providerId);
    await pollUntil('its copy is collected', async () => !(await listCids(provider)).includes(cid));
    await own.close();
  });
});

describe('a shard that is being placed', () => {
  it('is not collected, although an old copy of it lies there that nobody has recorded', async () => {
    const world = await createWorld({ providerCount: 7, limits: { orphanAgeMs: 0 } });
    await put(world, 'key', patternBytes(3_000 * KiB));
    const [stripe] = await listStripes(world);
    const shard = stripe!.shards[0]!;
    const spare = world.providers.find(({ id }) => stripe!.shards.every(({ providerId }) => providerId !== id))!;
    const bytes = await readWhole(world, shard.providerId, shard.cid);
    await spare.putShard(shard.cid, [bytes]);
    world.clock.nowMs += 10 * hourMs;
    world.setStanding(shard.providerId, 'lost');
    // Repair writes the shard to the spare provider, where it finds it, and reads it back; then the search for orphans comes.
    const recordShard = world.metadata.recordShard.bind(world.metadata);
    const searched = Promise.withResolvers<void>();
    world.metadata.recordShard = async (id, placed) => {
      assert.equal(placed.providerId, spare.id);
      await world.upkeep.collectOrphans(never);
      searched.resolve();
      await recordShard(id, placed);
    };
    await world.upkeep.runOnce();
    await searched.promise;
    assert.ok((await listCids(spare)).includes(shard.cid), 'it is there, and recorded');
    assert.equal(await verifyShards(world, 'key'), 6);
    await world.close();
  });
});

async function readWhole(world: UpkeepWorld, id: ProviderId, cid: ShardCid): Promise<Uint8Array> {
  const provider = providerOf(world, id);
  const { bytes } = await provider.statShard(cid);
  return provider.readShard(cid, 0, bytes);
}
