import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import { readMetric } from '../engine/engine-harness.ts';
import { pollUntil } from '../harness/poll-until.ts';
import type { LiveEngine } from './recovery-harness.ts';
import { createBucket, ownerId, put, RecoveryWorld, readEverything } from './recovery-harness.ts';

async function batchesOf({ metadata }: LiveEngine): Promise<string[]> {
  return (await metadata.listSystemObjects()).map(({ name }) => name);
}

describe('the journal', () => {
  it('writes nothing where nothing changed', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await live.journal.flush();
    const names = await batchesOf(live);
    assert.match(names.join(), /^snapshot \d+ 0 last$/);
    await live.journal.flush();
    assert.deepEqual(await batchesOf(live), names);
    await createBucket(live, 'first');
    await live.journal.flush();
    await live.journal.flush();
    assert.equal((await batchesOf(live)).length, 2);
  });

  it('shares a batch among callers that come while one is written', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await Promise.all(Array.from({ length: 20 }, (_, index) => createBucket(live, `bucket-${index}`)));
    assert.ok((await batchesOf(live)).length <= 3);
  });

  it('keeps changes that could not be written for a later batch, and fails whoever waits for them', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    world.freeze();
    await assert.rejects(createBucket(live, 'second'), (error) => isFailure(error, 'too-few-writes'));
    // A client that repeats the call is told that the bucket is its own, and that must be true in every sense.
    await assert.rejects(createBucket(live, 'second'), (error) => isFailure(error, 'too-few-writes'));
    world.thaw();
    await assert.rejects(createBucket(live, 'second'), (error) => isFailure(error, 'bucket-exists'));
    await createBucket(live, 'third');
    await world.lose(live);
    const { metadata } = await world.recover();
    assert.deepEqual(Object.keys(await readEverything(await world.start(metadata))), ['first', 'second', 'third']);
  });

  it('covers no more than was written, and so keeps upkeep from deleting what a recovery would need', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.flush();
    world.freeze();
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    const { stripesForgotten } = await live.upkeep.runOnce();
    assert.equal(stripesForgotten, 0);
    world.thaw();
    assert.equal((await live.upkeep.runOnce()).stripesForgotten, 1);
    await world.close();
  });

  it('writes a batch every interval by itself, so that a delete is safe soon after', async () => {
    const world = new RecoveryWorld();
    const live = await world.start(undefined, { journalIntervalMs: 10 });
    live.journal.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    const deletedAtMs = world.clock.now();
    await pollUntil('the delete is journaled', () => live.journal.coversUntilMs() > deletedAtMs);
    world.freeze();
    await live.journal.stop();
    await world.lose(live);
    world.thaw();
    const { metadata } = await world.recover();
    const { versions } = (await readEverything(await world.start(metadata))).first!;
    assert.deepEqual(versions, []);
  });

  it('writes what is left when it is stopped', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    await live.journal.stop();
    await world.lose(live);
    const { metadata } = await world.recover();
    assert.deepEqual((await readEverything(await world.start(metadata))).first!.versions, []);
  });

  it('does not keep upkeep from making room where it cannot be written because the providers are full', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.runOnce();
    for (const { faults } of world.providers) {
      faults.always('putShard', 'full');
      faults.always('createShard', 'full');
    }
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    assert.equal((await live.upkeep.runOnce()).stripesForgotten, 1);
    assert.ok((await readMetric(live.metrics.journalBatches, { outcome: 'failed' })) > 0);
    for (const { faults } of world.providers) faults.clear();
    await live.journal.runOnce();
    await world.lose(live);
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.deepEqual((await readEverything(await world.start(metadata))).first!.versions, []);
  });

  it('drops what a new snapshot replaces only once more than m providers point to it', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    const old = await batchesOf(live);
    const faulty = world.providers.slice(0, 4);
    for (const provider of faulty) provider.faults.always('writeRoot', 'error');
    await live.journal.runOnce({ isSnapshotDue: true });
    assert.deepEqual((await batchesOf(live)).slice(0, old.length), old);
    for (const provider of faulty) provider.faults.clear();
    await live.journal.runOnce();
    const left = await batchesOf(live);
    assert.ok(old.every((name) => !left.includes(name)));
    await world.lose(live);
    // Any one of them is enough to begin from.
    for (const index of world.providers.keys()) {
      for (const provider of world.providers) provider.faults.clear();
      for (const [other, provider] of world.providers.entries()) {
        if (other !== index) provider.faults.always('readRoot', 'error');
      }
      const { report } = await world.recover();
      assert.deepEqual([report.roots, report.problems, report.imported.buckets], [1, [], 1]);
    }
  });

  it('drops half a snapshot that a crash left, and begins another', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    const complete = await batchesOf(live);
    const { spans, sizeBytes } = (await live.metadata.listSystemObjects())[0]!;
    const number = live.metadata.drawNumber();
    await live.metadata.putSystemObject({ name: `snapshot ${number} 0`, number, sizeBytes, spans, stripes: [] });
    await live.upkeep.stop();
    const next = await world.start(live.metadata);
    await createBucket(next, 'second');
    const names = await batchesOf(next);
    assert.deepEqual(names.slice(0, complete.length), complete);
    assert.equal(names.length, complete.length + 1);
    await next.journal.runOnce({ isSnapshotDue: true });
    assert.match((await batchesOf(next))[0] ?? '', /^snapshot \d+ 0 last$/);
  });

  it('takes a snapshot first where a store has a past that no chain tells of', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.metadata.deleteSystemObjects(await batchesOf(live));
    await live.upkeep.stop();
    const next = await world.start(live.metadata);
    await createBucket(next, 'second');
    await world.lose(next);
    const { metadata } = await world.recover({ isFullScan: true });
    assert.deepEqual(Object.keys(await readEverything(await world.start(metadata))), ['first', 'second']);
  });
});
