import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Stripe } from '../../core/model.ts';
import { sealedBytes } from '../../crypto/sealed-stream.ts';
import { maxBlockBytes, storedBlockBytes } from '../../erasure/geometry.ts';
import type { Fault } from '../../placement/providers/faulty-provider.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import {
  assertBudgetsFree,
  bucketName,
  countShards,
  createTestEngine,
  failure,
  get,
  hourMs,
  listCids,
  ownerId,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const quorum = 5;

function keysOf(count: number, name = 'key'): string[] {
  return Array.from({ length: count }, (_, turn) => `${name} ${turn}`);
}

/** Of the event loop. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('small objects that arrive together', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  const bodyOf = (key: string, sizeBytes = 4 * KiB): Buffer => patternBytes(sizeBytes, key);

  function putAll(keys: readonly string[], sizeBytes = 4 * KiB): Promise<unknown> {
    return Promise.all(keys.map((key) => put(test, key, bodyOf(key, sizeBytes))));
  }

  async function findStripes(keys: readonly string[]): Promise<Map<string, Stripe>> {
    const stripes = new Map<string, Stripe>();
    for (const key of keys) for (const stripe of await stripesOf(test, key)) stripes.set(stripe.id, stripe);
    return stripes;
  }

  it('share few stripes, with one write to each provider for a stripe', async () => {
    const keys = keysOf(32);
    test.calls.length = 0;
    await putAll(keys);
    const stripes = await findStripes(keys);
    assert.ok(stripes.size <= 3, `${stripes.size} stripes`);
    const puts = test.calls.filter((call) => call.includes('putShard'));
    const shards = [...stripes.values()].reduce((sum, stripe) => sum + stripe.shards.length, 0);
    assert.equal(puts.length, shards);
    assert.equal(test.calls.length, shards, 'nothing but these');
    assert.equal(await readMetric(test.metrics.packedObjects), 32);
  });

  it('are each read with one call for exactly their own sealed bytes', async () => {
    const keys = keysOf(32);
    await putAll(keys);
    for (const key of keys) {
      test.calls.length = 0;
      assert.ok((await get(test, key)).equals(bodyOf(key)));
      assert.equal(test.calls.length, 1);
      assert.match(test.calls[0]!, new RegExp(`readShard \\S+ \\d+ ${sealedBytes(4 * KiB)}$`));
    }
    await assertBudgetsFree(test);
  });

  it('lie whole within a block each, beside each other', async () => {
    const sizes = [1, 700, 4096, 30_000, 70_000, 128 * KiB];
    const keys = sizes.map((size) => `of ${size}`);
    await Promise.all(sizes.map((size) => put(test, `of ${size}`, bodyOf(`of ${size}`, size))));
    const taken: { stripeId: string; start: number; end: number }[] = [];
    for (const [at, key] of keys.entries()) {
      const { version } = await test.engine.objects.open({ bucket: bucketName, key });
      const [extent, ...others] = extentsOf(version);
      assert.ok(extent && others.length === 0);
      assert.equal(extent.length, sealedBytes(sizes[at]!));
      const [stripe] = (await stripesOf(test, key)) as [Stripe];
      const end = extent.offset + extent.length;
      assert.equal(Math.floor(extent.offset / stripe.blockBytes), Math.floor((end - 1) / stripe.blockBytes));
      assert.ok(end <= stripe.dataBytes - stripe.manifestBytes);
      assert.ok(stripe.blockBytes <= maxBlockBytes && stripe.manifestBytes > 0);
      for (const each of taken) {
        assert.ok(each.stripeId !== stripe.id || end <= each.start || each.end <= extent.offset, 'they overlap');
      }
      taken.push({ stripeId: stripe.id, start: extent.offset, end });
      assert.equal(await verifyShards(test, key), stripe.shards.length);
    }
  });

  it('cost 1 + m shards where one comes alone, each hardly longer than the object', async () => {
    const before = await countShards(test);
    await put(test, 'lone', bodyOf('lone'));
    assert.equal((await countShards(test)) - before, 3);
    const [stripe] = (await stripesOf(test, 'lone')) as [Stripe];
    assert.deepEqual(
      stripe.shards.map(({ index }) => index),
      [0, 4, 5],
    );
    assert.ok(storedBlockBytes(stripe, 0, 0) < sealedBytes(4 * KiB) + 500);
  });

  it('of no bytes cost nothing and make no pack', async () => {
    test.calls.length = 0;
    await Promise.all(keysOf(5).map((key) => put(test, key, Buffer.alloc(0))));
    for (const key of keysOf(5)) assert.equal((await get(test, key)).length, 0);
    assert.deepEqual(test.calls, []);
    assert.equal((await test.metadata.countUsage()).liveStripes, 0);
  });

  it('need no pack where their length is not declared, or where it is above the limit', async () => {
    await put(test, 'undeclared', bodyOf('undeclared'), { isUnsized: true });
    await put(test, 'long', bodyOf('long', 128 * KiB + 1));
    assert.equal(await readMetric(test.metrics.packedObjects), 0);
    for (const [key, size] of [['undeclared', 4 * KiB] as const, ['long', 128 * KiB + 1] as const]) {
      assert.ok((await get(test, key)).equals(bodyOf(key, size)));
    }
  });

  it('go into the next pack when they come while one is under way', async () => {
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    for (const provider of test.providers) {
      const putShard = provider.putShard.bind(provider);
      provider.putShard = async (...call) => {
        begun.resolve();
        await held.promise;
        return putShard(...call);
      };
    }
    const first = putAll(['first']);
    await begun.promise;
    const later = keysOf(20, 'later');
    const putting = putAll(later);
    // All are waiting for the pack when it is let go, and hold memory.
    const isWaiting = async () => (await readMetric(test.metrics.budgetBytes, { budget: 'write' })) >= 21 * 4 * KiB;
    while (!(await isWaiting())) await new Promise((resolve) => setImmediate(resolve));
    await turns(20);
    held.resolve();
    await Promise.all([first, putting]);
    const [own] = await stripesOf(test, 'first');
    const others = await findStripes(later);
    assert.ok(!others.has(own!.id), 'the first one waited for nobody');
    assert.equal(others.size, 1, 'all that came meanwhile are in one');
  });

  it('set out in a second pack while the first is under way, once they are nearly as many', async () => {
    const held = Promise.withResolvers<void>();
    let begun = 0;
    for (const provider of test.providers) {
      const putShard = provider.putShard.bind(provider);
      provider.putShard = async (...call) => {
        begun += 1;
        await held.promise;
        return putShard(...call);
      };
    }
    const first = putAll(keysOf(8, 'first'));
    await pollUntil('the first pack is under way', () => begun > 0);
    await turns(50);
    const ofFirst = begun;
    const few = putAll(keysOf(5, 'few'));
    await turns(50);
    assert.equal(begun, ofFirst, 'five are too few beside eight');
    const more = putAll(['one more']);
    await pollUntil('the second pack is under way', () => begun > ofFirst);
    await turns(50);
    const ofBoth = begun;
    const third = putAll(keysOf(30, 'third'));
    await turns(50);
    assert.equal(begun, ofBoth, 'there is no third one');
    held.resolve();
    await Promise.all([first, few, more, third]);
    assert.equal((await findStripes([...keysOf(5, 'few'), 'one more'])).size, 1);
  });

  it('have no second pack set out while those of the first are durable and not registered yet, but for nearly as many', async () => {
    const { metadata } = test;
    const putVersion = metadata.putVersion.bind(metadata);
    const held = Promise.withResolvers<void>();
    let registering = 0;
    metadata.putVersion = async (request) => {
      registering += 1;
      await held.promise;
      return putVersion(request);
    };
    const first = putAll(keysOf(8, 'first'));
    await pollUntil('the first pack is durable', () => registering === 8);
    const shards = await countShards(test);
    const few = putAll(keysOf(5, 'few'));
    await turns(50);
    assert.equal(await countShards(test), shards, 'five are too few beside eight');
    const more = putAll(['one more']);
    await pollUntil('the second pack is durable', () => registering === 14);
    held.resolve();
    await Promise.all([first, few, more]);
    assert.equal((await findStripes([...keysOf(5, 'few'), 'one more'])).size, 1);
  });

  it('that come turn by turn of the event loop share a pack, up to as many as the last one had', async () => {
    await putAll(keysOf(6, 'first'));
    const later = keysOf(7, 'later');
    const putting: Promise<unknown>[] = [];
    for (const key of later) {
      putting.push(putAll([key]));
      await turns(1);
    }
    await Promise.all(putting);
    assert.equal((await findStripes(later.slice(0, 6))).size, 1);
    assert.equal((await findStripes(later)).size, 2, 'the seventh came too late');
  });

  it('wait for no further turn where the last pack had no more, nor where a few turns bring none', async () => {
    await put(test, 'first', bodyOf('first'));
    const putting = [putAll(['second'])];
    await turns(2);
    putting.push(putAll(['third']));
    await Promise.all(putting);
    assert.equal((await findStripes(['second', 'third'])).size, 2);
    await putAll(keysOf(6));
    await put(test, 'alone', bodyOf('alone'));
    assert.ok((await get(test, 'alone')).equals(bodyOf('alone')));
  });

  it('are spread over several packs at once when one would not hold them', async () => {
    const keys = keysOf(40);
    await putAll(keys, 100 * KiB);
    for (const key of keys) {
      assert.ok((await get(test, key)).equals(bodyOf(key, 100 * KiB)));
      await verifyShards(test, key);
    }
    for (const stripe of (await findStripes(keys)).values()) assert.ok(stripe.blockBytes <= maxBlockBytes);
    await assertBudgetsFree(test);
  });

  it('are each its own object: overwritten and deleted one by one', async () => {
    const keys = keysOf(8);
    await putAll(keys);
    await put(test, keys[0]!, bodyOf('other'));
    const target = { bucket: bucketName, key: keys[1]!, ownerId, nowMs: test.clock.now() };
    await test.engine.objects.delete(target);
    test.clock.nowMs += hourMs;
    await test.upkeep.runOnce();
    assert.ok((await get(test, keys[0]!)).equals(bodyOf('other')));
    await assert.rejects(get(test, keys[1]!), failure('object-missing'));
    for (const key of keys.slice(2)) assert.ok((await get(test, key)).equals(bodyOf(key)));
  });

  for (const fault of ['error', 'full', 'hang'] as const satisfies Fault[]) {
    it(`stand, all of them, when providers of their pack meet ${fault} in the middle of it`, async () => {
      const wide = await createTestEngine({ providerCount: 8 });
      for (const { faults } of wide.providers.slice(0, 2)) faults.always('putShard', fault);
      const keys = keysOf(24);
      await Promise.all(keys.map((key) => put(wide, key, bodyOf(key))));
      for (const { faults } of wide.providers) faults.clear();
      for (const key of keys) {
        assert.ok((await get(wide, key)).equals(bodyOf(key)));
        const [stripe] = (await stripesOf(wide, key)) as [Stripe];
        assert.equal(await verifyShards(wide, key), stripe.shards.length);
      }
      assert.equal((await wide.metadata.countUsage()).degradedStripes, 0, 'they went elsewhere');
      await assertBudgetsFree(wide);
      await wide.close();
    });
  }

  for (const [fault, kind] of [
    ['error', 'too-few-writes'],
    ['full', 'storage-full'],
  ] as const) {
    it(`fail together with ${kind} when too few providers take their pack, and leave nothing`, async () => {
      for (const { faults } of test.providers.slice(0, quorum)) faults.always('putShard', fault);
      const outcomes = await Promise.allSettled(keysOf(16).map((key) => put(test, key, bodyOf(key))));
      for (const outcome of outcomes) {
        assert.equal(outcome.status, 'rejected');
        failure(kind)(outcome.status === 'rejected' && outcome.reason);
      }
      for (const { faults } of test.providers) faults.clear();
      for (const key of keysOf(16)) await assert.rejects(get(test, key), failure('object-missing'));
      assert.equal(await countShards(test), 0);
      assert.equal((await test.metadata.countUsage()).liveStripes, 0);
      await assertBudgetsFree(test);
      // And the packer is as good as new.
      test.clock.nowMs += 60_000;
      await putAll(keysOf(4));
    });
  }

  it('do not disturb each other when one is refused at the last moment', async () => {
    const raced = Array.from({ length: 8 }, (_, turn) =>
      put(test, 'raced', bodyOf(`racer ${turn}`), { condition: { kind: 'absent' } }),
    );
    const others = keysOf(8);
    const [outcomes] = await Promise.all([Promise.allSettled(raced), putAll(others)]);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') failure('precondition-failed')(outcome.reason);
    }
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    assert.ok((await get(test, 'raced')).equals(bodyOf(`racer ${winner}`)));
    for (const key of others) {
      assert.ok((await get(test, key)).equals(bodyOf(key)));
      await verifyShards(test, key);
    }
  });

  it('leave no pack behind when all of it were refused', async () => {
    await put(test, 'there', bodyOf('there'));
    const kept = await countShards(test);
    const { metadata } = test;
    const findVersion = metadata.findVersion.bind(metadata);
    // They look before the object is there, so that only the registration refuses them.
    metadata.findVersion = async (...query) => (query[1] === 'there' ? undefined : findVersion(...query));
    const refused = Array.from({ length: 6 }, (_, turn) =>
      put(test, 'there', bodyOf(`late ${turn}`), { condition: { kind: 'absent' } }),
    );
    const outcomes = await Promise.allSettled(refused);
    metadata.findVersion = findVersion;
    for (const outcome of outcomes) {
      assert.equal(outcome.status, 'rejected');
      failure('precondition-failed')(outcome.status === 'rejected' && outcome.reason);
    }
    assert.equal(await readMetric(test.metrics.packedObjects), 7, 'they were stored before');
    // Deleting goes on in the background.
    while ((await countShards(test)) !== kept) await new Promise((resolve) => setImmediate(resolve));
    assert.ok((await get(test, 'there')).equals(bodyOf('there')));
  });

  it('that the metadata store never heard of are orphans, and nothing else is', async () => {
    await putAll(keysOf(3));
    const kept = await countShards(test);
    const { metadata } = test;
    const putVersion = metadata.putVersion.bind(metadata);
    // The process would have died here: nobody learns what came of it, and nothing is taken back.
    metadata.putVersion = () => Promise.reject(new Error('the process died'));
    const died = await Promise.allSettled(keysOf(9, 'lost').map((key) => put(test, key, bodyOf(key))));
    metadata.putVersion = putVersion;
    assert.ok(died.every(({ status }) => status === 'rejected'));
    assert.ok((await countShards(test)) > kept);
    await test.upkeep.runOnce();
    assert.ok((await countShards(test)) > kept, 'they are too young to tell');
    test.clock.nowMs += 25 * hourMs;
    await test.upkeep.runOnce();
    assert.equal(await countShards(test), kept);
    for (const key of keysOf(3)) assert.ok((await get(test, key)).equals(bodyOf(key)));
    for (const key of keysOf(9, 'lost')) await assert.rejects(get(test, key), failure('object-missing'));
  });

  it('are stored anew when all others of their pack were registered and deleted before their turn came', async () => {
    const { metadata } = test;
    const putVersion = metadata.putVersion.bind(metadata);
    const held = Promise.withResolvers<void>();
    metadata.putVersion = async (request) => {
      if (request.key === 'late') await held.promise;
      return putVersion(request);
    };
    const late = put(test, 'late', bodyOf('late'));
    await put(test, 'early', bodyOf('early'));
    const [freed] = await stripesOf(test, 'early');
    await test.engine.objects.delete({ bucket: bucketName, key: 'early', ownerId, nowMs: test.clock.now() });
    for (let pass = 0; pass < 2; pass++) {
      test.clock.nowMs += hourMs;
      await test.upkeep.runOnce();
    }
    held.resolve();
    await late;
    const [own] = await stripesOf(test, 'late');
    assert.notEqual(own!.id, freed!.id);
    assert.equal(await readMetric(test.metrics.packedObjects), 3, 'they came together first');
    assert.equal(await verifyShards(test, 'late'), own!.shards.length);
    for (let pass = 0; pass < 2; pass++) {
      test.clock.nowMs += hourMs;
      await test.upkeep.runOnce();
    }
    assert.ok((await get(test, 'late')).equals(bodyOf('late')));
    assert.equal(await countShards(test), own!.shards.length, 'and the old pack is gone');
  });

  it('give their stripe free only when the last of them is gone', async () => {
    const keys = keysOf(5);
    await putAll(keys);
    const [stripe] = (await stripesOf(test, keys[0]!)) as [Stripe];
    for (const [at, key] of keys.entries()) {
      assert.equal((await test.metadata.countUsage()).freedStripes, 0, `before ${at}`);
      await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
    }
    test.clock.nowMs += 1000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 1);
    for (const provider of test.providers) assert.deepEqual(await listCids(provider), []);
    assert.equal((await test.metadata.findStripes([stripe.id])).size, 0);
  });

  it('may be parts of uploads as well', async () => {
    const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
    const { uploadId } = await test.engine.uploads.create({ bucket: bucketName, key: 'parts', ownerId, attributes });
    const body = bodyOf('part', 50 * KiB);
    const payload = { checksumAlgorithm: undefined, declaredDigests: () => ({}), sizeBytes: body.length };
    async function* whole(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.from(body);
    }
    const target = { bucket: bucketName, key: 'parts', uploadId };
    const signal = new AbortController().signal;
    const [part] = await Promise.all([
      test.engine.uploads.putPart({ ...target, partNumber: 1, payload: { ...payload, bytes: whole() } }, signal),
      putAll(keysOf(4)),
    ]);
    await test.engine.uploads.complete({ ...target, parts: [{ partNumber: 1, etag: part.etag }] }, signal);
    assert.ok((await get(test, 'parts')).equals(body));
    const [own] = await stripesOf(test, 'parts');
    assert.ok((await findStripes(keysOf(4))).has(own!.id));
  });
});
