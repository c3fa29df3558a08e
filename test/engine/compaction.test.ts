import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Stripe, StripeId } from '../../core/model.ts';
import { maxBlockBytes } from '../../erasure/geometry.ts';
import type { ProviderCall } from '../../placement/providers/wrapped-provider.ts';
import { providerCalls } from '../../placement/providers/wrapped-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  collect,
  countShards,
  countStoredBytes,
  createTestEngine,
  failure,
  get,
  hourMs,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  readMetric,
  stripeIdsOf,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const compactAgeMs = 60_000;

const bodyOf = (key: string, sizeBytes = 4 * KiB): Buffer => patternBytes(sizeBytes, key);

function keysOf(count: number, name = 'key'): string[] {
  return Array.from({ length: count }, (_, turn) => `${name} ${turn}`);
}

describe('compaction', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ limits: { compactAgeMs, freedGraceMs: 1000, minPartBytes: 1 } });
  });
  afterEach(() => test.close());

  function remove(key: string, versionId?: string): Promise<unknown> {
    const target = { bucket: bucketName, key, ...(versionId && { versionId }) };
    return test.engine.objects.delete({ ...target, ownerId, nowMs: test.clock.now() });
  }

  /** One after the other, so that each has a stripe of its own. */
  async function putLone(keys: readonly string[], sizeBytes = 4 * KiB): Promise<void> {
    for (const key of keys) await put(test, key, bodyOf(key, sizeBytes));
  }

  async function putTogether(keys: readonly string[], sizeBytes = 4 * KiB): Promise<void> {
    await Promise.all(keys.map((key) => put(test, key, bodyOf(key, sizeBytes))));
  }

  async function countStripes(keys: readonly string[]): Promise<number> {
    const ids = new Set<StripeId>();
    for (const key of keys) for (const { id } of await stripesOf(test, key)) ids.add(id);
    return ids.size;
  }

  async function assertAll(keys: readonly string[], sizeBytes = 4 * KiB): Promise<void> {
    for (const key of keys) {
      assert.ok((await get(test, key)).equals(bodyOf(key, sizeBytes)), key);
      await verifyShards(test, key);
    }
  }

  it('puts small objects that came alone into one full pack, and their old stripes are collected', async () => {
    const keys = keysOf(60);
    await putLone(keys);
    assert.equal(await countStripes(keys), 60);
    assert.equal(await countShards(test), 180);
    const before = await countStoredBytes(test);
    test.clock.nowMs += compactAgeMs;
    const { bytesCompacted, stripesForgotten } = await test.upkeep.runOnce();
    assert.equal(bytesCompacted, 60 * (4 * KiB + 16));
    assert.equal(stripesForgotten, 0, 'the old ones have their grace');
    await assertAll(keys);
    assert.equal(await countStripes(keys), 1);
    test.clock.nowMs += 2000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 60);
    assert.equal(await countShards(test), 6);
    assert.ok((await countStoredBytes(test)) < before * 0.6, 'two copies of parity became half of one');
    await assertAll(keys);
    assert.equal(await readMetric(test.metrics.stripesCompacted), 60);
    await assertBudgetsFree(test);
  });

  it('leaves alone what is young', async () => {
    await putLone(keysOf(10));
    test.clock.nowMs += compactAgeMs - 10_000;
    assert.equal((await test.upkeep.runOnce()).bytesCompacted, 0);
  });

  it('comes to an end: what was written anew is not written again', async () => {
    await putLone(keysOf(30));
    await putLone(keysOf(10, 'longer'), 30 * KiB);
    for (let pass = 0; pass < 4; pass++) {
      test.clock.nowMs += hourMs;
      const { bytesCompacted } = await test.upkeep.runOnce();
      if (pass > 0) assert.equal(bytesCompacted, 0, `pass ${pass}`);
    }
    await assertAll(keysOf(30));
    await assertAll(keysOf(10, 'longer'), 30 * KiB);
  });

  it('keeps what is left of packs that are mostly dead', async () => {
    const keys = keysOf(300);
    await putTogether(keys);
    const kept = keys.filter((_, at) => at % 5 === 0);
    for (const key of keys) if (!kept.includes(key)) await remove(key);
    test.clock.nowMs += compactAgeMs;
    const before = await countStoredBytes(test);
    assert.ok((await test.upkeep.runOnce()).bytesCompacted > 0);
    test.clock.nowMs += 2000;
    await test.upkeep.runOnce();
    assert.ok((await countStoredBytes(test)) < before * 0.3);
    await assertAll(kept);
  });

  it('copes with manifests that are longer than what they tell of', async () => {
    const keys = keysOf(400);
    const attributes = { ...plainAttributes, userMetadata: { note: 'x'.repeat(1500) } };
    await Promise.all(keys.map((key) => put(test, key, bodyOf(key, 30), { attributes })));
    const kept = keys.filter((_, at) => at % 2 === 0);
    for (const key of keys) if (!kept.includes(key)) await remove(key);
    const before = await countStoredBytes(test);
    for (let pass = 0; pass < 3; pass++) {
      test.clock.nowMs += compactAgeMs;
      await test.upkeep.runOnce();
    }
    await assertAll(kept, 30);
    for (const key of kept) {
      for (const { blockBytes } of await stripesOf(test, key))
        assert.ok(blockBytes <= maxBlockBytes, 'a block too long');
    }
    assert.ok((await countStoredBytes(test)) < before * 0.7);
  });

  it('leaves out what finds no room beside others, and takes it along later', async () => {
    // Nine of 90 KiB are less than a pack holds, but only two go into a block.
    const keys = keysOf(9);
    await putLone(keys, 90 * KiB);
    for (let pass = 0; pass < 2; pass++) {
      test.clock.nowMs += compactAgeMs;
      await test.upkeep.runOnce();
    }
    await assertAll(keys, 90 * KiB);
    assert.equal(await countStripes(keys), 2);
  });

  it('goes on past what it cannot move', async () => {
    // So many refer to one object that no manifest could name them all.
    await put(test, 'origin', bodyOf('origin'));
    const source = { bucket: bucketName, key: 'origin' };
    for (const key of keysOf(500, 'copy')) {
      await test.engine.objects.copy({ bucket: bucketName, key, source, ownerId, storageClass: 'STANDARD' }, never);
    }
    const keys = keysOf(20);
    await putLone(keys);
    test.clock.nowMs += compactAgeMs;
    assert.ok((await test.upkeep.runOnce()).bytesCompacted >= 20 * 4 * KiB);
    assert.equal(await countStripes(keys), 1);
    await assertAll(keys);
    for (const key of keysOf(500, 'copy').slice(0, 5)) assert.ok((await get(test, key)).equals(bodyOf('origin')));
  });

  it('moves copies, pieces that were copied, parts of open uploads and old versions alike', async () => {
    const { objects, uploads, buckets } = test.engine;
    await buckets.setVersioning(bucketName, 'enabled');
    const body = bodyOf('source', 100 * KiB);
    // Its pack is sparse once the others in it are gone.
    const fillers = keysOf(6, 'filler');
    await Promise.all([put(test, 'source', body), putTogether(fillers, 100 * KiB)]);
    const source = { bucket: bucketName, key: 'source' };
    await objects.copy({ bucket: bucketName, key: 'copied', source, ownerId, storageClass: 'STANDARD' }, never);
    const begin = async (key: string) => {
      const { uploadId } = await uploads.create({ bucket: bucketName, key, ownerId, attributes: plainAttributes });
      return { bucket: bucketName, key, uploadId };
    };
    // One object of two overlapping pieces, and one upload that is open.
    const pieces = await begin('pieces');
    const ranges = [
      { first: 10, last: 70 * KiB },
      { first: 65 * KiB + 3, last: 99 * KiB },
    ];
    const copied = [];
    for (const [at, range] of ranges.entries()) {
      copied.push((await uploads.copyPart({ ...pieces, partNumber: at + 1, source, range }, never)).part);
    }
    const open = await begin('open');
    await uploads.copyPart({ ...open, partNumber: 1, source, range: { first: 90 * KiB, last: 95 * KiB } }, never);
    await uploads.putPart({ ...open, partNumber: 2, payload: payloadOf(bodyOf('own part')) }, never);
    const old = await put(test, 'versions', bodyOf('old'));
    await put(test, 'versions', bodyOf('new'));
    await remove('source', (await objects.open({ bucket: bucketName, key: 'source' })).version.versionId);

    for (const key of fillers) {
      await remove(key, (await objects.open({ bucket: bucketName, key })).version.versionId);
    }
    // Enough beside it for a pack.
    await putLone(keysOf(5), 90 * KiB);

    test.clock.nowMs += compactAgeMs;
    const before = await objects.open({ bucket: bucketName, key: 'copied' });
    assert.ok((await test.upkeep.runOnce()).bytesCompacted > 0);
    const after = await objects.open({ bucket: bucketName, key: 'copied' });
    assert.notDeepEqual(stripeIdsOf(after.version), stripeIdsOf(before.version));
    // Who opened it before the move reads on.
    assert.ok((await collect(before.read(never))).equals(body));
    test.clock.nowMs += hourMs;
    await test.upkeep.runOnce();
    assert.ok((await get(test, 'copied')).equals(body));
    assert.ok((await get(test, 'versions', { versionId: old.versionId })).equals(bodyOf('old')));
    assert.ok((await get(test, 'versions')).equals(bodyOf('new')));
    // Parts are known by their ETags, which are digests of the bytes that they had before the move.
    const { parts } = await uploads.listParts(open, 0, 10);
    await uploads.complete({ ...open, parts }, never);
    const piece = body.subarray(90 * KiB, 95 * KiB + 1);
    assert.ok((await get(test, 'open')).equals(Buffer.concat([piece, bodyOf('own part')])));
    await uploads.complete({ ...pieces, parts: copied }, never);
    const expected = ranges.map(({ first, last }) => body.subarray(first, last + 1));
    assert.ok((await get(test, 'pieces')).equals(Buffer.concat(expected)));
  });

  it('does not disturb a reader who began before, however long it takes', async () => {
    const bytes = Buffer.concat([patternBytes(300 * KiB, 'a'), patternBytes(50 * KiB, 'b')]);
    const small = await createTestEngine({ limits: { compactAgeMs, freedGraceMs: 0, minPartBytes: 1 } });
    const { uploads, objects } = small.engine;
    const { uploadId } = await uploads.create({ bucket: bucketName, key: 'key', ownerId, attributes: plainAttributes });
    const target = { bucket: bucketName, key: 'key', uploadId };
    const parts = [];
    for (const [at, piece] of [bytes.subarray(0, 300 * KiB), bytes.subarray(300 * KiB)].entries()) {
      const { etag } = await uploads.putPart({ ...target, partNumber: at + 1, payload: payloadOf(piece) }, never);
      parts.push({ partNumber: at + 1, etag });
    }
    await uploads.complete({ ...target, parts }, never);
    for (const key of keysOf(20)) await put(small, key, bodyOf(key));
    const object = await objects.open({ bucket: bucketName, key: 'key' });
    const chunks: Uint8Array[] = [];
    for await (const chunk of object.read(never)) {
      chunks.push(chunk);
      if (chunks.length > 1) continue;
      small.clock.nowMs += hourMs;
      await small.upkeep.runOnce();
      small.clock.nowMs += hourMs;
      await small.upkeep.runOnce();
    }
    assert.ok(Buffer.concat(chunks).equals(bytes));
    await small.close();
  });

  it('keeps to what was deleted, overwritten or copied in the middle of it', async () => {
    const keys = keysOf(30);
    await putLone(keys);
    test.clock.nowMs += compactAgeMs;
    const { metadata } = test;
    const moveExtents = metadata.moveExtents.bind(metadata);
    const source = { bucket: bucketName, key: keys[4]! };
    metadata.moveExtents = async (request) => {
      metadata.moveExtents = moveExtents;
      await remove(keys[0]!);
      await put(test, keys[1]!, bodyOf('overwritten'));
      await test.engine.objects.copy(
        { bucket: bucketName, key: 'late copy', source, ownerId, storageClass: 'STANDARD' },
        never,
      );
      await remove(keys[4]!);
      return moveExtents(request);
    };
    await test.upkeep.runOnce();
    test.clock.nowMs += hourMs;
    await test.upkeep.runOnce();
    await assert.rejects(get(test, keys[0]!), failure('object-missing'));
    assert.ok((await get(test, keys[1]!)).equals(bodyOf('overwritten')));
    assert.ok((await get(test, 'late copy')).equals(bodyOf(keys[4]!)));
    await assertAll([...keys.slice(2, 4), ...keys.slice(5)]);
  });

  it('takes back a pack that the metadata store did not want', async () => {
    const keys = keysOf(10);
    await putLone(keys);
    const shards = await countShards(test);
    test.clock.nowMs += compactAgeMs;
    const { metadata } = test;
    const moveExtents = metadata.moveExtents.bind(metadata);
    metadata.moveExtents = async (request) => moveExtents({ ...request, stripes: [] });
    assert.equal((await test.upkeep.runOnce()).bytesCompacted, 0);
    metadata.moveExtents = moveExtents;
    assert.equal(await countShards(test), shards);
    await assertAll(keys);
    await assertBudgetsFree(test);
  });

  it('moves nothing where providers fail, and leaves nothing behind', async () => {
    const keys = keysOf(10);
    await putLone(keys);
    const shards = await countShards(test);
    test.clock.nowMs += compactAgeMs;
    for (const { faults } of test.providers) faults.always('putShard', 'error');
    assert.equal((await test.upkeep.runOnce()).bytesCompacted, 0);
    for (const { faults } of test.providers) faults.clear();
    assert.equal(await countShards(test), shards);
    await assertAll(keys);
  });

  it('goes on with others when a stripe cannot be read', async () => {
    const keys = keysOf(12);
    await putLone(keys);
    const [{ shards }] = (await stripesOf(test, keys[3]!)) as [Stripe];
    for (const { providerId, cid } of shards)
      await test.providers.find(({ id }) => id === providerId)?.deleteShard(cid);
    test.clock.nowMs += compactAgeMs;
    await test.upkeep.runOnce();
    await test.upkeep.runOnce();
    const others = keys.filter((_, at) => at !== 3);
    assert.equal(await countStripes(others), 1);
    await assertAll(others);
    await assert.rejects(get(test, keys[3]!), failure('too-few-shards'));
  });
});

describe('compaction that is cut off', () => {
  /** What upkeep asks of the store and of providers, one after the other. */
  const storeVerbs = [
    'listSparseStripes',
    'listReferences',
    'findStripes',
    'moveExtents',
    'listFreedStripes',
    'forgetStripe',
    'listDegradedStripes',
    'recordShard',
    'knownShards',
  ] as const;

  /** From the call of this number on, nothing gets through any more, as if the process had died. */
  function cutOffAt(test: TestEngine, callNumber: number, when: 'before' | 'after'): { mend(): number } {
    let calls = 0;
    const died = new Error('the process died');
    const guard = async <T>(work: () => Promise<T>): Promise<T> => {
      calls += 1;
      if (calls > callNumber || (calls === callNumber && when === 'before')) throw died;
      const result = await work();
      if (calls >= callNumber) throw died;
      return result;
    };
    const mends: (() => void)[] = [];
    const wrap = (target: object, verb: string): void => {
      const original = Reflect.get(target, verb) as (...call: unknown[]) => Promise<unknown>;
      Reflect.set(target, verb, (...call: unknown[]) => guard(() => original.apply(target, call)));
      mends.push(() => Reflect.deleteProperty(target, verb));
    };
    for (const verb of storeVerbs) wrap(test.metadata, verb);
    const verbs = providerCalls.filter((call) => !(['append', 'commit'] as ProviderCall[]).includes(call));
    for (const provider of test.providers) for (const verb of verbs) wrap(provider, verb);
    return {
      mend() {
        for (const each of mends) each();
        return calls;
      },
    };
  }

  for (const when of ['before', 'after'] as const) {
    it(`loses nothing ${when} any of its calls, and leaves nothing behind for good`, async () => {
      const setting = { limits: { compactAgeMs, freedGraceMs: 1000 } };
      const keys = keysOf(6);
      for (let callNumber = 1; ; callNumber++) {
        const test = await createTestEngine(setting);
        for (const key of keys) await put(test, key, bodyOf(key, 10_000));
        await test.engine.objects.delete({ bucket: bucketName, key: keys[5]!, ownerId, nowMs: test.clock.now() });
        test.clock.nowMs += compactAgeMs;
        const cut = cutOffAt(test, callNumber, when);
        const report = await test.upkeep.runOnce().catch(() => undefined);
        const calls = cut.mend();
        for (const key of keys.slice(0, 5)) {
          assert.ok((await get(test, key)).equals(bodyOf(key, 10_000)), `${key}, cut off at ${callNumber}`);
        }
        // All that was left half done is mended in time.
        for (let pass = 0; pass < 3; pass++) {
          test.clock.nowMs += 25 * hourMs;
          await test.upkeep.runOnce();
        }
        for (const key of keys.slice(0, 5)) {
          assert.ok((await get(test, key)).equals(bodyOf(key, 10_000)), `${key}, cut off at ${callNumber}`);
          await verifyShards(test, key);
        }
        const stripes = new Set<StripeId>();
        let shards = 0;
        for (const key of keys.slice(0, 5)) {
          for (const stripe of await stripesOf(test, key)) {
            if (!stripes.has(stripe.id)) shards += stripe.shards.length;
            stripes.add(stripe.id);
          }
        }
        // One that could not be read is left alone for a while.
        assert.ok(stripes.size <= 2, `${stripes.size} stripes`);
        assert.equal(await countShards(test), shards, `cut off at ${callNumber}`);
        await test.close();
        if (calls >= callNumber) continue;
        assert.ok((report?.bytesCompacted ?? 0) > 0, 'there was nothing to cut off');
        return;
      }
    });
  }
});

describe('disk use', () => {
  it('is within 1.3 of what live data need after a churn', async () => {
    const test = await createTestEngine({ limits: { compactAgeMs, freedGraceMs: 1000 } });
    const sizes = [1500, 4 * KiB, 4 * KiB, 10 * KiB, 20 * KiB, 60 * KiB, 150 * KiB, 700 * KiB];
    const live = new Map<string, { seed: string; sizeBytes: number }>();
    let draw = 1;
    const next = (count: number): number => {
      draw = (draw * 48_271) % 0x7fffffff;
      return draw % count;
    };
    for (let round = 0; round < 12; round++) {
      const puts = Array.from({ length: 40 }, () => {
        const key = `churned ${next(220)}`;
        return { key, seed: `${key} ${draw}`, sizeBytes: sizes[next(sizes.length)]! };
      });
      const unique = [...new Map(puts.map((each) => [each.key, each])).values()];
      // Some come alone, some together.
      const lone = unique.splice(0, 8);
      for (const { key, seed, sizeBytes } of lone) await put(test, key, bodyOf(seed, sizeBytes));
      await Promise.all(unique.map(({ key, seed, sizeBytes }) => put(test, key, bodyOf(seed, sizeBytes))));
      for (const each of [...lone, ...unique]) live.set(each.key, each);
      for (const key of [...live.keys()].filter(() => next(3) === 0)) {
        await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
        live.delete(key);
      }
      test.clock.nowMs += 2 * compactAgeMs;
      await test.upkeep.runOnce();
    }
    for (let pass = 0; pass < 3; pass++) {
      test.clock.nowMs += 2 * compactAgeMs;
      await test.upkeep.runOnce();
    }
    let plainBytes = 0;
    for (const [key, { seed, sizeBytes }] of live) {
      assert.ok((await get(test, key)).equals(bodyOf(seed, sizeBytes)));
      plainBytes += sizeBytes;
    }
    const ratio = (await countStoredBytes(test)) / (plainBytes * 1.5);
    assert.ok(ratio >= 1 && ratio <= 1.3, `${ratio.toFixed(3)} times what ${live.size} objects need`);
    await test.close();
  });
});
