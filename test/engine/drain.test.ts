import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ProviderId } from '../../core/model.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import {
  createBucket,
  never as neverInRecovery,
  put as putLive,
  RecoveryWorld,
  readEverything,
} from '../recovery/recovery-harness.ts';
import {
  bucketName,
  failure,
  get,
  listCids,
  never,
  ownerId,
  put,
  readMetric,
  stripesOf,
  verifyShards,
} from './engine-harness.ts';
import { createMovingWorld, type MovingWorld } from './moving-harness.ts';

const MiB = 2 ** 20;
const p0 = 'p0' as ProviderId;
const drainOnly = { rebalanceSkew: 0 };

/** Objects with stripes of a row and of more, by key. */
async function fill(world: MovingWorld, count: number): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for (let n = 0; n < count; n++) {
    const bytes = patternBytes(n % 8 === 7 ? 5 * MiB : 3_000, `object ${n}`);
    objects.set(`key-${n}`, bytes);
    await put(world, `key-${n}`, bytes);
  }
  return objects;
}

async function assertAllThere(world: MovingWorld, objects: ReadonlyMap<string, Uint8Array>): Promise<void> {
  for (const [key, bytes] of objects) {
    assert.ok((await get(world, key)).equals(bytes), key);
    await verifyShards(world, key);
  }
  for (const stripe of await world.listStripes()) {
    const holders = stripe.shards.map(({ providerId }) => providerId);
    assert.equal(new Set(holders).size, holders.length, 'two shards of a stripe lie at one provider');
    assert.equal(stripe.lostShards, undefined);
  }
}

/** Fails unless the provider holds nothing and can leave. */
async function assertEmpty(world: MovingWorld, id: ProviderId): Promise<void> {
  assert.equal((await world.countHeld()).get(id), 0);
  assert.deepEqual(await listCids(world.providerOf(id)), []);
  const { drains, oldCopies } = await world.upkeep.readMoveProgress();
  assert.equal(oldCopies, 0);
  const drain = drains.find(({ providerId }) => providerId === id);
  assert.equal(drain?.shardsLeft, 0);
  assert.equal(drain?.hindrance, undefined);
  await world.metadata.forgetProvider(id);
}

describe('drain', () => {
  it('empties a provider while clients work, and it can leave', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly });
    const objects = await fill(world, 32);
    await assert.rejects(world.metadata.forgetProvider(p0), failure('provider-in-use'));
    await world.change({ p0: 'draining' });
    const shardsBefore = (await world.countHeld()).get(p0)!;
    assert.ok(shardsBefore > 0);
    const end = { isNear: false };
    const readers = [0, 1].map(async (reader) => {
      for (let n = reader; !end.isNear; n = (n + 2) % 32) {
        const bytes = objects.get(`key-${n}`);
        if (bytes !== undefined) assert.ok((await get(world, `key-${n}`)).equals(bytes), `key-${n} while it moves`);
        await nextTurn();
      }
    });
    const writer = async (): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        const key = `key-${n}`;
        const bytes = patternBytes(3_000, `again ${n}`);
        objects.delete(key);
        await put(world, key, bytes);
        objects.set(key, bytes);
        if (n % 3 > 0) continue;
        objects.delete(key);
        await world.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: world.clock.now() });
      }
    };
    await Promise.all([world.upkeep.moveShards(never), writer()]);
    end.isNear = true;
    await Promise.all(readers);
    await world.upkeep.moveShards(never);
    // What was overwritten and deleted meanwhile.
    world.clock.nowMs += 1;
    await world.upkeep.runOnce();
    await assertAllThere(world, objects);
    await assertEmpty(world, p0);
    assert.ok((await readMetric(world.metrics.shardsMoved)) <= shardsBefore);
    await world.close();
  });

  it('leaves what was moved where it was while somebody reads it there', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly });
    const objects = await fill(world, 8);
    const bytes = objects.get('key-7')!;
    const object = await world.engine.objects.open({ bucket: bucketName, key: 'key-7' });
    const [stripe] = await stripesOf(world, 'key-7');
    // Two of those that hold it: with eight providers a stripe may lie at none of any two.
    const leaving = stripe!.shards.slice(0, 2).map(({ providerId }) => providerId);
    const chunks: Uint8Array[] = [];
    for await (const chunk of object.read(never)) {
      chunks.push(chunk);
      if (chunks.length !== 1) continue;
      await world.change(Object.fromEntries(leaving.map((id) => [id, 'draining'])));
      await world.upkeep.moveShards(never);
      world.clock.nowMs += 60_000;
      await world.upkeep.moveShards(never);
      const { oldCopies } = await world.upkeep.readMoveProgress();
      assert.ok(oldCopies > 0, 'those of the stripe that is read');
      const hindrances = await Promise.all(leaving.map((id) => world.upkeep.settleRemoval(id)));
      assert.ok(hindrances.some((hindrance) => /moved from it are still kept there/.test(hindrance ?? '')));
      world.calls.length = 0;
    }
    assert.ok(Buffer.concat(chunks).equals(bytes));
    // Who removes them has what is left deleted.
    for (const id of leaving) assert.equal(await world.upkeep.settleRemoval(id), undefined);
    await assertAllThere(world, objects);
    for (const id of leaving) await assertEmpty(world, id);
    await world.close();
  });

  it('goes on after the provider failed midway, and after those failed that it moves to', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly });
    const objects = await fill(world, 24);
    await world.change({ p0: 'draining' });
    const source = world.providerOf('p0');
    for (const id of ['p6', 'p7']) world.providerOf(id).faults.next('putShard', 'error', 2);
    // From the fourth read on, however fast the drain is.
    let reads = 0;
    const take = source.faults.take.bind(source.faults);
    source.faults.take = (call) => (call === 'readShard' && ++reads > 3 ? 'error' : take(call));
    await world.upkeep.moveShards(never);
    const { drains } = await world.upkeep.readMoveProgress();
    assert.ok(drains[0]!.shardsLeft > 0, 'some had to wait');
    assert.ok(drains[0]!.hindrance === 'failing' || drains[0]!.hindrance === 'provider-down');
    assert.ok(
      (await world.listStripes()).every(({ lostShards }) => lostShards === undefined),
      'nothing is lost',
    );
    source.faults.take = take;
    world.clock.nowMs += 60_000;
    await put(world, 'trial', patternBytes(300_000));
    await world.upkeep.moveShards(never);
    await assertAllThere(world, objects);
    await assertEmpty(world, p0);
    await world.close();
  });

  it('waits and says so where there is no place, and goes on when a provider joins', async () => {
    const world = await createMovingWorld({ providerCount: 7, limits: drainOnly }, { p6: 'suspended' });
    const objects = await fill(world, 8);
    await world.change({ p0: 'draining' });
    await world.upkeep.moveShards(never);
    const [waiting] = (await world.upkeep.readMoveProgress()).drains;
    assert.equal(waiting?.hindrance, 'no-place');
    // The long ones lie at all six; of the others some can be moved.
    assert.ok(waiting.shardsLeft > 0);
    await assert.rejects(world.metadata.forgetProvider(p0), failure('provider-in-use'));
    await assertAllThere(world, objects);
    await world.change({ p6: 'active' });
    await world.upkeep.moveShards(never);
    await assertAllThere(world, objects);
    await assertEmpty(world, p0);
    await world.close();
  });

  it('leaves a damaged shard to repair', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly });
    const objects = await fill(world, 24);
    const damaged = (await world.listStripes()).flatMap(({ shards }) => shards.filter((s) => s.providerId === p0));
    assert.ok(damaged.length > 1);
    const source = world.providerOf('p0');
    await source.deleteShard(damaged[0]!.cid);
    const { bytes } = await source.statShard(damaged[1]!.cid);
    const flipped = await source.readShard(damaged[1]!.cid, 0, bytes);
    flipped[100]! ^= 1;
    await source.deleteShard(damaged[1]!.cid);
    await source.putShard(damaged[1]!.cid, [flipped]);
    await world.change({ p0: 'draining' });
    assert.equal(await world.upkeep.moveShards(never), damaged.length - 2);
    assert.equal((await world.listStripes()).flatMap(({ lostShards = [] }) => lostShards).length, 2);
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 2);
    await assertAllThere(world, objects);
    await assertEmpty(world, p0);
    await world.close();
  });

  it('moves nothing to a provider that does not keep what it acknowledges', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly }, { p7: 'suspended' });
    const objects = await fill(world, 24);
    await world.change({ p0: 'draining', p7: 'active' });
    const liar = world.providerOf('p7');
    liar.faults.always('putShard', 'lose');
    liar.faults.always('commit', 'lose');
    await world.upkeep.moveShards(never);
    assert.equal((await world.countHeld()).get('p7' as ProviderId), 0);
    await assertAllThere(world, objects);
    await assertEmpty(world, p0);
    const tries = world.calls.filter((call) => call.startsWith('p7 readShard'));
    assert.ok(tries.length > 0 && tries.length <= 4, `it is found out at once, not ${tries.length} times`);
    await world.close();
  });

  it('goes on after a restart in the middle', async () => {
    const world = await createMovingWorld({ providerCount: 8, limits: drainOnly });
    const objects = await fill(world, 40);
    await world.change({ p0: 'draining' });
    const shards = (await world.countHeld()).get(p0)!;
    // However fast it is, it cannot be done before it is stopped.
    const { faults } = world.providerOf('p0');
    faults.next('readShard', { slowMs: 0 }, 10);
    faults.always('readShard', 'hang');
    const stop = new AbortController();
    const first = world.upkeep.moveShards(stop.signal);
    await pollUntil('some are moved', async () => (await readMetric(world.metrics.shardsMoved)) > 2);
    stop.abort();
    await assert.rejects(first);
    await world.upkeep.stop();
    faults.clear();
    const left = (await world.countHeld()).get(p0)!;
    assert.ok(left > 0 && left < shards, `stopped in the middle: ${left} of ${shards} are left`);
    const upkeep = world.restart();
    const [known] = (await upkeep.readMoveProgress()).drains;
    assert.equal(known?.shardsLeft, left);
    await upkeep.moveShards(never);
    assert.equal((await world.countHeld()).get(p0), 0);
    // What the first left behind nobody remembers: it is found as an orphan.
    world.clock.nowMs += 48 * 3_600_000;
    await upkeep.collectOrphans(never);
    assert.deepEqual(await listCids(world.providerOf('p0')), []);
    await assertAllThere(world, objects);
    await world.metadata.forgetProvider(p0);
    await world.close();
  });

  it('loses nothing when the disk of the gateway is lost before the journal tells of a move', async () => {
    const world = new RecoveryWorld({ providerCount: 7 });
    const before = await world.start();
    await createBucket(before, 'bucket');
    for (let n = 0; n < 6; n++) await putLive(before, 'bucket', `key-${n}`, patternBytes(n === 0 ? MiB : 900, `${n}`));
    await before.journal.runOnce();
    const seen = await readEverything(before);
    await before.upkeep.stop();
    const live = await world.start(before.metadata, {}, { p0: 'draining' });
    // As the journal of a gateway that has been running for a while.
    await live.journal.flush();
    const drained = world.providers[0]!;
    const cids = await listCids(drained);
    assert.ok((await live.upkeep.moveShards(neverInRecovery)) > 0);
    await live.upkeep.moveShards(neverInRecovery);
    assert.deepEqual(await listCids(drained), cids, 'the journal may still name what lies there');
    world.freeze();
    await world.lose(live);
    world.thaw();
    const { metadata } = await world.recover();
    const next = await world.start(metadata, {}, { p0: 'draining' });
    assert.deepEqual(await readEverything(next), seen);
    const stripes = await metadata.listStripes(undefined, 1_000);
    assert.ok(
      stripes.some(({ shards }) => shards.some(({ providerId }) => providerId === p0)),
      'the old place is what was recovered',
    );
    assert.ok((await next.upkeep.moveShards(neverInRecovery)) > 0);
    assert.ok((await listCids(drained)).length > 0);
    await next.journal.flush();
    await next.upkeep.moveShards(neverInRecovery);
    const named = (await metadata.listStripes(undefined, 1_000)).flatMap(({ shards }) => shards);
    assert.ok(!named.some(({ providerId }) => providerId === p0));
    assert.deepEqual(await readEverything(next), seen);
    await world.close();
  });
});
