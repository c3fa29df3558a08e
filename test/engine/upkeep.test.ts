import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Stripe } from '../../core/model.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  countShards,
  createTestEngine,
  failure,
  get,
  hourMs,
  listCids,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const MiB = 2 ** 20;

describe('collecting what nothing refers to', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ limits: { freedGraceMs: 1000, orphanAgeMs: hourMs } });
  });
  afterEach(() => test.close());

  function remove(key: string): Promise<unknown> {
    return test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
  }

  it('deletes the shards of a deleted object after the grace, and not before', async () => {
    await put(test, 'key', patternBytes(2 * MiB));
    await remove('key');
    test.clock.nowMs += 500;
    await test.upkeep.runOnce();
    assert.equal(await countShards(test), 6);
    test.clock.nowMs += 1000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 1);
    assert.equal(await countShards(test), 0);
    assert.equal(await readMetric(test.metrics.shardsCollected, { cause: 'freed' }), 6);
    assert.equal((await test.metadata.countUsage()).freedStripes, 0);
  });

  it('leaves a stripe alone while somebody reads it', async () => {
    const bytes = patternBytes(6 * MiB);
    await put(test, 'key', bytes);
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of object.read(never)) {
      chunks.push(chunk);
      if (chunks.length > 1) continue;
      await remove('key');
      test.clock.nowMs += 2000;
      assert.equal((await test.upkeep.runOnce()).stripesForgotten, 0);
    }
    assert.ok(Buffer.concat(chunks).equals(bytes));
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 1);
    assert.equal(await countShards(test), 0);
  });

  it('leaves all stripes of an object of parts alone while somebody reads the first of them', async () => {
    const { uploads } = test.engine;
    const { uploadId } = await uploads.create({
      bucket: bucketName,
      key: 'parts',
      ownerId,
      attributes: plainAttributes,
    });
    const target = { bucket: bucketName, key: 'parts', uploadId };
    const bodies = [patternBytes(5 * MiB, 'first'), patternBytes(5 * MiB, 'second'), patternBytes(70_000, 'third')];
    const parts = [];
    for (const [at, bytes] of bodies.entries()) {
      const { etag } = await uploads.putPart({ ...target, partNumber: at + 1, payload: payloadOf(bytes) }, never);
      parts.push({ partNumber: at + 1, etag });
    }
    await uploads.complete({ ...target, parts }, never);
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'parts' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of object.read(never)) {
      chunks.push(chunk);
      if (chunks.length > 1) continue;
      await remove('parts');
      test.clock.nowMs += 2000;
      assert.equal((await test.upkeep.runOnce()).stripesForgotten, 0);
    }
    assert.ok(Buffer.concat(chunks).equals(Buffer.concat(bodies)));
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 3);
  });

  it('comes back for a provider that cannot delete now', async () => {
    for (let turn = 0; turn < 5; turn++) await put(test, `key ${turn}`, patternBytes(MiB));
    for (let turn = 0; turn < 5; turn++) await remove(`key ${turn}`);
    test.clock.nowMs += 2000;
    test.providers[2]!.faults.always('deleteShard', 'error');
    await test.upkeep.runOnce();
    assert.equal((await test.metadata.countUsage()).freedStripes, 5);
    test.providers[2]!.faults.clear();
    test.clock.nowMs += 60_000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 5);
    assert.equal(await countShards(test), 0);
  });

  it('deletes old orphans, and neither young ones nor those of a write under way', async () => {
    const bytes = patternBytes(MiB);
    await put(test, 'kept', bytes);
    const orphans = await Promise.all(
      test.providers.map(async (provider) => {
        const writer = await provider.createShard();
        await writer.append([patternBytes(100, provider.id)]);
        await writer.commit(`orphan-${provider.id}` as never);
      }),
    );
    assert.equal(await countShards(test), 6 + orphans.length);
    test.clock.nowMs += hourMs / 2;
    await test.upkeep.runOnce();
    assert.equal(await countShards(test), 12, 'they are young');

    // A put that began before the shards became old, and is not over.
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    test.clock.nowMs = Date.now();
    const payload = payloadOf(bytes);
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield* payload.bytes;
      begun.resolve();
      await held.promise;
    }
    const request = { bucket: bucketName, key: 'slow', ownerId, attributes: plainAttributes };
    const putting = test.engine.objects.put({ ...request, payload: { ...payload, bytes: slowly() } }, never);
    await begun.promise;
    test.clock.nowMs += 3 * hourMs;
    await test.upkeep.runOnce();
    assert.equal((await listCids(test.providers[0]!)).filter((cid) => cid.startsWith('orphan')).length, 1);
    held.resolve();
    await putting;
    await test.upkeep.runOnce();
    assert.equal(await countShards(test), 12, 'those of two objects');
    assert.equal(await readMetric(test.metrics.shardsCollected, { cause: 'orphan' }), 6);
    assert.ok((await get(test, 'kept')).equals(bytes));
    assert.ok((await get(test, 'slow')).equals(bytes));
  });

  it('removes what a put could not take back', async () => {
    for (const provider of test.providers) provider.faults.always('deleteShard', 'error');
    const declared = { md5: Buffer.alloc(16).toString('base64') };
    await assert.rejects(put(test, 'key', patternBytes(17 * MiB), { declared }), failure('digest-mismatch'));
    assert.equal(await countShards(test), 6, 'the first stripe was committed');
    for (const provider of test.providers) provider.faults.clear();
    test.clock.nowMs += 3 * hourMs;
    await test.upkeep.runOnce();
    assert.equal(await countShards(test), 0);
  });

  it('goes on with other providers when one cannot list', async () => {
    for (const provider of test.providers) {
      const writer = await provider.createShard();
      await writer.append([patternBytes(100)]);
      await writer.commit('orphan' as never);
    }
    test.providers[0]!.faults.always('listShards', 'error');
    test.clock.nowMs += 3 * hourMs;
    await test.upkeep.runOnce();
    test.providers[0]!.faults.clear();
    assert.equal(await countShards(test), 1);
  });
});

describe('repair', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ providerCount: 8 });
  });
  afterEach(() => test.close());

  async function findStripe(key: string): Promise<Stripe> {
    return (await stripesOf(test, key))[0]!;
  }

  for (const sizeBytes of [3000, 70_000, 200_000, 3 * MiB + 5]) {
    it(`gives a stripe of ${sizeBytes} bytes back the shard that it lacks, byte for byte`, async () => {
      const bytes = patternBytes(sizeBytes);
      await put(test, 'whole', bytes);
      const whole = await findStripe('whole');
      for (const { faults } of test.providers.slice(0, 3)) {
        for (const call of ['createShard', 'putShard'] as const) faults.always(call, 'error');
      }
      await put(test, 'key', bytes);
      // With eight providers and three dead, 4+2 lacks one shard; a short stripe lacks none.
      const { shards: before } = await findStripe('key');
      for (const provider of test.providers) provider.faults.clear();
      test.clock.nowMs += 60_000;
      const { shardsRepaired } = await test.upkeep.runOnce();
      assert.equal(shardsRepaired, whole.shards.length - before.length);
      const { shards } = await findStripe('key');
      assert.equal(await verifyShards(test, 'key'), whole.shards.length);
      assert.equal(new Set(shards.map((shard) => shard.providerId)).size, shards.length);
      // Without two of the old shards every byte depends on the new one.
      for (const { providerId } of before.slice(0, 2)) {
        test.providers.find(({ id }) => id === providerId)?.faults.always('readShard', 'error');
      }
      assert.ok((await get(test, 'key')).equals(bytes));
      await assertBudgetsFree(test);
    });
  }

  it('waits when there is nowhere to go, and does not try again at once', async () => {
    const tight = await createTestEngine();
    tight.providers[0]!.faults.always('createShard', 'error');
    await put(tight, 'key', patternBytes(2 * MiB));
    tight.clock.nowMs += 60_000;
    assert.equal((await tight.upkeep.runOnce()).shardsRepaired, 0);
    tight.calls.length = 0;
    assert.equal((await tight.upkeep.runOnce()).shardsRepaired, 0);
    assert.deepEqual(tight.calls, [], 'it is too early');
    tight.providers[0]!.faults.clear();
    tight.clock.nowMs += hourMs;
    assert.equal((await tight.upkeep.runOnce()).shardsRepaired, 1);
    await tight.close();
  });

  it('leaves nothing behind when the stripe goes in the meantime', async () => {
    const tight = await createTestEngine();
    tight.providers[0]!.faults.always('createShard', 'error');
    await put(tight, 'key', patternBytes(2 * MiB));
    tight.providers[0]!.faults.clear();
    tight.clock.nowMs += 60_000;
    const recordShard = tight.metadata.recordShard.bind(tight.metadata);
    tight.metadata.recordShard = async (id, shard) => {
      await tight.engine.objects.delete({ bucket: bucketName, key: 'key', ownerId, nowMs: tight.clock.now() });
      await tight.metadata.forgetStripe(id);
      await recordShard(id, shard);
    };
    assert.equal((await tight.upkeep.runOnce()).shardsRepaired, 0);
    assert.deepEqual(await listCids(tight.providers[0]!), []);
    await tight.close();
  });

  it('begins by itself after a put that fell short', async () => {
    const own = await createTestEngine({ limits: { upkeepIntervalMs: 10 } });
    own.upkeep.start();
    own.providers[0]!.faults.next('createShard', 'error');
    const recorded = new Promise<void>((resolve) => {
      const recordShard = own.metadata.recordShard.bind(own.metadata);
      own.metadata.recordShard = async (id, shard) => {
        await recordShard(id, shard);
        resolve();
      };
    });
    await put(own, 'key', patternBytes(2 * MiB));
    // Suspicion of the provider ends, and with it the reason to wait.
    const moving = setInterval(() => {
      own.clock.nowMs += 60_000;
    }, 5);
    await recorded;
    clearInterval(moving);
    assert.equal((await own.metadata.countUsage()).degradedStripes, 0);
    await own.close();
  });
});

describe('upkeep', () => {
  it('collects by itself and keeps the gauges', async () => {
    const test = await createTestEngine({ limits: { upkeepIntervalMs: 10 } });
    test.upkeep.start();
    await put(test, 'a', patternBytes(1000));
    await put(test, 'b', patternBytes(1000));
    await test.engine.objects.delete({ bucket: bucketName, key: 'a', ownerId, nowMs: test.clock.now() });
    test.clock.nowMs += 1000;
    while ((await readMetric(test.metrics.stripes, { state: 'live' })) !== 1 || (await countShards(test)) !== 3) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await test.close();
  });

  it('stops in the middle of its work', async () => {
    const test = await createTestEngine({ timeoutMs: 60_000 });
    await put(test, 'a', patternBytes(1000));
    for (const provider of test.providers) provider.faults.always('listShards', 'hang');
    const running = test.upkeep.runOnce();
    setImmediate(() => void test.upkeep.stop());
    await assert.rejects(running, { name: 'AbortError' });
    await test.close();
  });
});
