import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { stripeIdsOf } from '../engine/engine-harness.ts';
import { pollUntil } from '../harness/poll-until.ts';
import {
  createBucket,
  get,
  type LiveEngine,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  RecoveryWorld,
  readEverything,
} from './recovery-harness.ts';

/** As the metadata know it. */
async function firstStripeOf({ engine, metadata }: LiveEngine, key: string): Promise<Stripe> {
  const { version } = await engine.objects.open({ bucket: 'first', key });
  const id = version.spans[0]!.extents[0]!.stripeId;
  return (await metadata.findStripes([id])).get(id)!;
}

describe('recovery', () => {
  it('brings back what was acknowledged since the last batch, from manifests alone', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'small', 'a small object', { userMetadata: { color: 'green' }, tags: { a: 'b' } });
    await put(live, 'first', 'large', randomBytes(3 * 2 ** 20));
    const before = await readEverything(live);
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.equal(report.manifests.versions, 2);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('reads a batch that was short of a shard when the next one named it, without the providers that were named', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    // A batch of one block has three shards, of which two must be durable: these are all that the next batch names.
    for (const { faults } of world.providers.slice(2)) faults.always('all', 'error');
    await createBucket(live, 'second');
    for (const { faults } of world.providers) faults.clear();
    world.clock.nowMs += 60_000;
    await createBucket(live, 'third');
    await live.upkeep.runOnce();
    const { degradedStripes } = await live.metadata.countUsage();
    assert.equal(degradedStripes, 0);
    await live.journal.runOnce();
    const before = await readEverything(live);
    await world.lose(live);
    const { metadata, report } = await world.recover({ providers: world.providers.slice(2) });
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('brings back what is in a pack whose first object was replaced before the next one was begun', async () => {
    const world = new RecoveryWorld();
    const live = await world.start(undefined, { packObjectBytes: 1_000 });
    await createBucket(live, 'first');
    const mayEnd = Promise.withResolvers<void>();
    world.holdWrites(mayEnd.promise);
    // Two packs at a time are written: what comes then waits together.
    const before = put(live, 'first', 'before', 'in the pack before');
    await pollUntil('a pack is being written', () => world.heldWrites === 3);
    const second = put(live, 'first', 'second', 'in the pack after that');
    await pollUntil('a second pack is being written', () => world.heldWrites === 6);
    world.holdWrites(undefined);
    const replaced = put(live, 'first', 'a', 'waits for these packs');
    await put(live, 'first', 'a', randomBytes(2_000));
    const kept = put(live, 'first', 'b', 'waits with it');
    mayEnd.resolve();
    await Promise.all([before, second]);
    assert.deepEqual(stripeIdsOf(await kept), stripeIdsOf(await replaced));
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    const recovered = await world.start(metadata);
    assert.equal(await get(recovered, 'first', 'b'), 'waits with it');
  });

  it('brings back what writes no shards: buckets, settings, copies, tags, uploads, empty objects', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    const { engine } = live;
    await createBucket(live, 'first');
    await engine.buckets.setVersioning('first', 'enabled');
    await engine.buckets.setProfile('first', 'STANDARD');
    await engine.buckets.setETags('first', 'opaque');
    await put(live, 'first', 'a', 'version one');
    await put(live, 'first', 'a', 'version two');
    await put(live, 'first', 'empty', '');
    await engine.objects.setTags({ bucket: 'first', key: 'a' }, { color: 'red' });
    await engine.objects.copy(
      { bucket: 'first', key: 'copy', source: { bucket: 'first', key: 'a' }, ownerId, storageClass: 'STANDARD' },
      never,
    );
    const target = { bucket: 'first', key: 'upload' };
    const { uploadId } = await engine.uploads.create({ ...target, ownerId, attributes: plainAttributes });
    await engine.uploads.putPart({ ...target, uploadId, partNumber: 1, payload: payloadOf(randomBytes(9_000)) }, never);
    await engine.uploads.putPart({ ...target, uploadId, partNumber: 7, payload: payloadOf(randomBytes(9)) }, never);
    const done = await engine.uploads.create({ bucket: 'first', key: 'done', ownerId, attributes: plainAttributes });
    const part = { bucket: 'first', key: 'done', uploadId: done.uploadId, partNumber: 1 };
    const { etag } = await engine.uploads.putPart({ ...part, payload: payloadOf(randomBytes(500_000)) }, never);
    await engine.uploads.complete({ ...part, parts: [{ partNumber: 1, etag }] }, never);
    await createBucket(live, 'second');
    await createBucket(live, 'third');
    await engine.buckets.delete('third');
    await live.journal.flush();
    const before = await readEverything(live);
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    const bucket = await metadata.findBucket('first');
    assert.deepEqual([bucket?.profileName, bucket?.etags], ['STANDARD', 'opaque']);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('brings back deletes that are in the journal, and may undo younger ones', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    for (const key of ['a', 'b', 'c']) await put(live, 'first', key, `bytes of ${key}`);
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    await live.journal.flush();
    await live.engine.objects.delete({ bucket: 'first', key: 'b', ownerId, nowMs: world.clock.now() });
    // Upkeep must not delete the shards of what would come back.
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    const after = await world.start(metadata);
    await assert.rejects(get(after, 'first', 'a'));
    assert.equal(await get(after, 'first', 'b'), 'bytes of b');
    assert.equal(await get(after, 'first', 'c'), 'bytes of c');
  });

  it('brings back an upload that was under way when the last batch was written, however long it took', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'key', 'an older object');
    const hasBegun = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    const bytes = randomBytes(40 * 2 ** 20);
    const payload = {
      ...payloadOf(bytes),
      bytes: (async function* () {
        for (let at = 0; at < bytes.length; at += 2 ** 20) {
          // Then its first stripe is durable, and as old as the upload when it is done.
          if (at === 36 * 2 ** 20) {
            hasBegun.resolve();
            await mayEnd.promise;
          }
          yield bytes.subarray(at, at + 2 ** 20);
        }
      })(),
    };
    const request = { bucket: 'first', key: 'key', ownerId, payload, attributes: plainAttributes };
    const uploading = live.engine.objects.put(request, never);
    await hasBegun.promise;
    await put(live, 'first', 'key', 'put and journaled meanwhile');
    world.clock.nowMs += 3 * 3_600_000;
    await live.journal.runOnce();
    mayEnd.resolve();
    await uploading;
    const before = await readEverything(live);
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('needs no more than k providers of each stripe', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    for (let index = 0; index < 20; index++) await put(live, 'first', `key ${index}`, randomBytes(1 + index * 7_000));
    await live.journal.runOnce();
    for (let index = 0; index < 20; index++) await put(live, 'first', `more ${index}`, randomBytes(1 + index * 7_000));
    const before = await readEverything(live);
    await world.lose(live);
    for (const [first, second] of [
      [0, 1],
      [2, 5],
      [3, 4],
    ]) {
      const providers = world.providers.filter((_, index) => index !== first && index !== second);
      const { metadata, report } = await world.recover({ providers });
      assert.deepEqual(report.problems, []);
      const after = await world.start(metadata);
      assert.deepEqual(await readEverything(after), before);
    }
  });

  it('goes on with the journal: what is written after a recovery survives the next loss', async () => {
    const world = new RecoveryWorld();
    let live = await world.start();
    await createBucket(live, 'first');
    for (let round = 0; round < 4; round++) {
      await put(live, 'first', `key ${round}`, `bytes ${round}`);
      await live.journal.runOnce({ isSnapshotDue: round === 2 });
      await put(live, 'first', `key ${round} more`, `bytes ${round} more`);
      const before = await readEverything(live);
      await world.lose(live);
      const { metadata, report } = await world.recover();
      assert.deepEqual(report.problems, []);
      live = await world.start(metadata);
      assert.deepEqual(await readEverything(live), before);
    }
  });

  it('finds shards that were rebuilt elsewhere after the last batch', async () => {
    const world = new RecoveryWorld({ providerCount: 10 });
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', randomBytes(2 * 2 ** 20));
    await live.journal.runOnce({ isSnapshotDue: true });
    const before = await readEverything(live);
    const stripe = await firstStripeOf(live, 'a');
    const holders = stripe.shards.map(({ providerId }) => world.providers.find((each) => each.id === providerId)!);
    // These two cannot hold it again, so it must go elsewhere.
    live.journal.flush = async () => {};
    for (const at of [0, 4]) {
      holders[at]!.faults.always('createShard', 'error');
      await holders[at]!.deleteShard(stripe.shards[at]!.cid);
      live.upkeep.noteDamage(stripe, stripe.shards[at]!);
    }
    assert.equal((await live.upkeep.runOnce()).shardsRepaired, 2);
    await world.lose(live);
    // Two more: what was rebuilt is needed, and the journal knows nothing of it.
    for (const at of [1, 5]) await holders[at]!.deleteShard(stripe.shards[at]!.cid);
    const { metadata, report } = await world.recover();
    assert.equal(report.manifests.shardsMoved, 2);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('puts no two shards of a stripe at one provider because one of them lay there before it was moved', async () => {
    const world = new RecoveryWorld({ providerCount: 8 });
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'named', randomBytes(2 * 2 ** 20));
    await live.journal.runOnce({ isSnapshotDue: true });
    await put(live, 'first', 'not named', randomBytes(2 * 2 ** 20));
    const before = await readEverything(live);
    for (const key of ['named', 'not named']) {
      const { shards } = await firstStripeOf(live, key);
      const at = (id: string) => world.providers.find((each) => each.id === id)!;
      const [spare] = world.providers.filter(({ id }) => !shards.some(({ providerId }) => providerId === id));
      const copy = async ({ providerId, cid }: PlacedShard, to: string): Promise<void> => {
        const { bytes } = await at(providerId).statShard(cid, never);
        await at(to).putShard(cid, [await at(providerId).readShard(cid, 0, bytes, never)], never);
      };
      // One went elsewhere, another one came to where it had been, and what it left there lies there still.
      const [first, second] = shards;
      await copy(first!, spare!.id);
      await copy(second!, first!.providerId);
      await at(second!.providerId).deleteShard(second!.cid);
    }
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    const recovered = await world.start(metadata);
    assert.deepEqual(await readEverything(recovered), before);
    for (const key of ['named', 'not named']) {
      const { shards } = await firstStripeOf(recovered, key);
      assert.equal(shards.length, 6);
      assert.equal(new Set(shards.map(({ providerId }) => providerId)).size, 6, key);
    }
  });

  it('knows where the journal itself lies by now: else its shards would be taken for orphans', async () => {
    const world = new RecoveryWorld({ providerCount: 9 });
    const first = await world.start();
    for (const name of ['first', 'second', 'third']) await createBucket(first, name);
    await put(first, 'first', 'a', 'bytes of a');
    await first.journal.runOnce();
    await first.upkeep.stop();
    await first.journal.stop();
    const live = await world.start(first.metadata, {}, { p0: 'draining', p1: 'draining' });
    assert.ok((await live.upkeep.moveShards(never)) > 0);
    await live.journal.flush();
    const before = await readEverything(live);
    await world.lose(live);
    const providers = world.providers.slice(2);
    const { metadata } = await world.recover({ providers });
    for (const { spans } of await metadata.listSystemObjects()) {
      for (const stripe of (await metadata.findStripes(stripeIdsOf({ spans }))).values()) {
        assert.equal(stripe.shards.length, storedShardCount(stripe));
        for (const { providerId, cid } of stripe.shards) {
          await providers.find(({ id }) => id === providerId)!.statShard(cid, never);
        }
      }
    }
    const recovered = await world.start(metadata, { orphanAgeMs: 0 });
    world.clock.nowMs += 3_600_000;
    await recovered.upkeep.runOnce();
    await world.lose(recovered);
    const again = await world.recover({ providers });
    assert.deepEqual(again.report.problems, []);
    assert.deepEqual(await readEverything(await world.start(again.metadata)), before);
  });

  it('needs no root where all shards are looked into', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.runOnce({ isSnapshotDue: true });
    await put(live, 'first', 'b', 'bytes of b');
    const before = await readEverything(live);
    await world.lose(live);
    for (const provider of world.providers) await provider.writeRoot(randomBytes(100));
    const { metadata, report } = await world.recover();
    assert.equal(report.roots, 0);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('tells a wrong master key from an empty provider', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    await world.lose(live);
    await assert.rejects(world.recover({ masterKey: new MasterKey(randomBytes(32)) }), /another master key/);
  });
});
