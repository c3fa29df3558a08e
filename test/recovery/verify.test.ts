import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ShardCid } from '../../core/model.ts';
import { isClean, type VerifyReport } from '../../engine/recovery/verify-report.ts';
import {
  createBucket,
  type LiveEngine,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  RecoveryWorld,
} from './recovery-harness.ts';

async function verify(live: LiveEngine, isDeep = true): Promise<VerifyReport> {
  return live.verify({ isDeep, onProgress: () => {} }, never);
}

/** A store with small and large objects, a part, a delete marker, and a journal. */
async function fill(live: LiveEngine): Promise<void> {
  const { engine } = live;
  await createBucket(live, 'first');
  await put(live, 'first', 'small', 'a small object');
  await put(live, 'first', 'large', randomBytes(3 * 2 ** 20));
  await engine.buckets.setVersioning('first', 'enabled');
  await put(live, 'first', 'gone', 'under a marker');
  await engine.objects.delete({ bucket: 'first', key: 'gone', ownerId, nowMs: 1 });
  const target = { bucket: 'first', key: 'upload' };
  const { uploadId } = await engine.uploads.create({ ...target, ownerId, attributes: plainAttributes });
  await engine.uploads.putPart({ ...target, uploadId, partNumber: 1, payload: payloadOf(randomBytes(500_000)) }, never);
  await live.journal.runOnce({ isSnapshotDue: true });
}

async function shardsOf({ metadata, engine }: LiveEngine, key: string) {
  const { version } = await engine.objects.open({ bucket: 'first', key });
  const ids = version.spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId));
  return [...(await metadata.findStripes(ids)).values()].flatMap(({ shards }) => shards);
}

describe('verify', () => {
  it('finds nothing where all is well, and counts what it looked at', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    for (const isDeep of [false, true]) {
      const report = await verify(live, isDeep);
      assert.ok(isClean(report), JSON.stringify(report));
      assert.deepEqual([report.versions, report.parts], [3, 1]);
      assert.ok(report.systemObjects >= 2);
      assert.equal(report.atRiskCount, 0);
    }
    await world.lose(live);
  });

  it('finds nothing in a store that was recovered', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    await put(live, 'first', 'unjournaled', randomBytes(200_000));
    await world.lose(live);
    const { metadata } = await world.recover();
    const report = await verify(await world.start(metadata));
    assert.ok(isClean(report), JSON.stringify(report));
    assert.deepEqual([report.versions, report.parts], [4, 1]);
  });

  it('names what could lose less than it should, and what is lost', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    const shards = await shardsOf(live, 'large');
    const remove = async (count: number): Promise<void> => {
      for (const { providerId, cid } of shards.slice(0, count)) {
        await world.providers.find(({ id }) => id === providerId)?.deleteShard(cid);
      }
    };
    await remove(1);
    const atRisk = await verify(live, false);
    assert.deepEqual(atRisk.findings, { 'shard-missing': 1 });
    const owner = { kind: 'version', bucket: 'first', key: 'large', versionId: 'null' };
    assert.deepEqual([atRisk.atRisk, atRisk.lostCount], [[{ owner, margin: 1 }], 0]);
    await remove(3);
    const lost = await verify(live);
    assert.deepEqual(lost.findings, { 'shard-missing': 3 });
    assert.deepEqual([lost.lost, lost.atRiskCount], [[{ owner, margin: -1 }], 0]);
    assert.ok(!isClean(lost));
    await world.lose(live);
  });

  it('finds shards of a stripe that would be lost together', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    const [first, second] = await shardsOf(live, 'large');
    const { version } = await live.engine.objects.open({ bucket: 'first', key: 'large' });
    const { stripeId } = version.spans[0]!.extents[0]!;
    const [from, to] = [second!, first!].map(({ providerId }) => world.providers.find(({ id }) => id === providerId)!);
    const { bytes } = await from!.statShard(second!.cid);
    await to!.putShard(second!.cid, [await from!.readShard(second!.cid, 0, bytes)]);
    await live.metadata.recordShard(stripeId, { index: 1, providerId: to!.id, cid: second!.cid });
    const report = await verify(live, false);
    assert.deepEqual(report.findings, { 'shards-together': 1 });
    const owner = { kind: 'version', bucket: 'first', key: 'large', versionId: 'null' };
    assert.deepEqual(report.atRisk, [{ owner, margin: 1 }]);
    await world.lose(live);
  });

  it('finds a shard of another length at once, and a flipped bit when it reads every byte', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    const [{ providerId, cid }, other] = (await shardsOf(live, 'large')) as [
      Awaited<ReturnType<typeof shardsOf>>[number],
      { providerId: string; cid: ShardCid },
    ];
    const change = async (id: string, name: ShardCid, alter: (bytes: Uint8Array) => Uint8Array): Promise<void> => {
      const provider = world.providers.find((each) => each.id === id)!;
      const { bytes } = await provider.statShard(name);
      const whole = await provider.readShard(name, 0, bytes);
      await provider.deleteShard(name);
      await provider.putShard(name, [alter(whole)]);
    };
    await change(providerId, cid, (bytes) => {
      bytes[1_000]! ^= 1;
      return bytes;
    });
    assert.ok(isClean(await verify(live, false)));
    assert.deepEqual((await verify(live, true)).findings, { 'shard-corrupt': 1 });
    await change(other.providerId, other.cid, (bytes) => bytes.subarray(0, 500));
    assert.deepEqual((await verify(live, true)).findings, { 'shard-corrupt': 1, 'shard-length': 1 });
    await world.lose(live);
  });

  it('counts orphans, which are no fault', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await fill(live);
    const [{ providerId, cid } = { providerId: '', cid: '' as ShardCid }] = await shardsOf(live, 'large');
    const provider = world.providers.find(({ id }) => id === providerId)!;
    const { bytes } = await provider.statShard(cid);
    const name = `${cid.slice(0, -4)}${cid.endsWith('aaaa') ? 'bbba' : 'aaaa'}` as ShardCid;
    await provider.putShard(name, [new Uint8Array(123)]);
    assert.ok(bytes > 123);
    const report = await verify(live);
    assert.ok(isClean(report), JSON.stringify(report));
    assert.deepEqual([report.orphans, report.orphanBytes], [1, 123]);
    await world.lose(live);
  });
});
