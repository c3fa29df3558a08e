import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Stripe } from '../../core/model.ts';
import { storedBlockBytes } from '../../erasure/geometry.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { bucketName, createTestEngine, never, ownerId, put, readMetric, type TestEngine } from './engine-harness.ts';
import { codec, miscode } from './miscode.ts';
import { assertMended, findStripe, mend, replace, stripeOf } from './miscoded-harness.ts';

const KiB = 1024;

describe('packs in which more than half of m shards are wrong', () => {
  const sizes = [90, 70, 60, 50, 40, 30];

  /** Objects that share a stripe over several data shards. Some are deleted. */
  async function openPack(test: TestEngine, deleted: readonly string[]): Promise<Record<string, Uint8Array>> {
    const objects: Record<string, Uint8Array> = {};
    for (const size of sizes) objects[`key ${size}`] = patternBytes(size * KiB, size);
    await Promise.all(Object.entries(objects).map(([key, bytes]) => put(test, key, bytes)));
    for (const key of deleted) {
      await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
      delete objects[key];
    }
    return objects;
  }

  /** The stripe that most of the objects lie in, and in which data shards. */
  async function findPack(test: TestEngine, objects: object): Promise<{ stripe: Stripe; inhabited: number[] }> {
    const found: Stripe[] = [];
    for (const key of Object.keys(objects)) found.push(await stripeOf(test, key));
    const [id] = [...Map.groupBy(found, (stripe) => stripe.id)].sort(([, a], [, b]) => b.length - a.length)[0]!;
    const stripe = await findStripe(test, id);
    const inhabited = new Set<number>();
    for (const key of Object.keys(objects)) {
      const { version } = await test.engine.objects.open({ bucket: bucketName, key });
      for (const { stripeId, offset } of extentsOf(version)) {
        if (stripeId === id) inhabited.add(Math.floor(offset / stripe.blockBytes));
      }
    }
    return { stripe, inhabited: [...inhabited] };
  }

  for (const deleted of [[], ['key 60'], ['key 60', 'key 50', 'key 40']]) {
    it(`are mended, ${deleted.length} objects deleted, both parities wrong`, async () => {
      const test = await createTestEngine();
      const objects = await openPack(test, deleted);
      const { stripe } = await findPack(test, objects);
      for (const index of [4, 5]) await miscode(test, stripe, index, replace);
      await mend(test, { mended: 1 });
      await assertMended(test, objects);
      await test.close();
    });

    it(`are mended, ${deleted.length} objects deleted, a shard wrong that objects lie in and a parity`, async () => {
      const test = await createTestEngine();
      const objects = await openPack(test, deleted);
      const { stripe, inhabited } = await findPack(test, objects);
      await miscode(test, stripe, inhabited[0]!, replace);
      await miscode(test, stripe, 4, replace);
      await mend(test, { mended: 1 });
      await assertMended(test, objects);
      await test.close();
    });
  }

  it('are mended where only bytes of a deleted object are wrong, which stay as they are', async () => {
    const test = await createTestEngine();
    const all = await openPack(test, []);
    const { version } = await test.engine.objects.open({ bucket: bucketName, key: 'key 60' });
    const [{ stripeId, offset, length }] = extentsOf(version) as [ReturnType<typeof extentsOf>[number]];
    const stripe = await findStripe(test, stripeId);
    await test.engine.objects.delete({ bucket: bucketName, key: 'key 60', ownerId, nowMs: test.clock.now() });
    const { 'key 60': _, ...objects } = all;
    const index = Math.floor(offset / stripe.blockBytes);
    const start = offset - index * stripe.blockBytes;
    assert.ok(start + length <= storedBlockBytes(stripe, index, 0));
    const planted = await miscode(test, stripe, index, (block) => block.fill(3, start, start + length));
    await mend(test, { mended: 1 });
    await assertMended(test, objects);
    const after = await findStripe(test, stripeId);
    assert.ok(after.shards.some(({ cid }) => cid === planted.cid));
    await test.close();
  });

  it('are left as they are where two guesses prove alike, and differ in bytes of deleted objects', async () => {
    const test = await createTestEngine({ profiles: [{ name: 'STANDARD', k: 3, m: 3 }] });
    const keys = ['first', 'second', 'third'];
    await Promise.all(keys.map((key) => put(test, key, patternBytes(100 * KiB, key))));
    const { stripe } = await findPack(test, { first: 0, second: 0, third: 0 });
    for (const key of keys) {
      const { version } = await test.engine.objects.open({ bucket: bucketName, key });
      const [{ stripeId, offset }] = extentsOf(version) as [ReturnType<typeof extentsOf>[number]];
      assert.equal(stripeId, stripe.id);
      if (offset < stripe.blockBytes) continue;
      await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
    }
    // What changes in the first bytes of three shards so that neither shard 0 nor shard 5 notices: then 3 and 4 may be wrong, or 1 and 2.
    const parityOf = (second: number, third: number): number[] => {
      const parity = [new Uint8Array(1), new Uint8Array(1), new Uint8Array(1)];
      codec.encode([Uint8Array.of(0), Uint8Array.of(second), Uint8Array.of(third)], parity);
      return parity.map(([byte]) => byte!);
    };
    const third = Array.from({ length: 255 }, (_, at) => at + 1).find((each) => parityOf(1, each)[2] === 0)!;
    const changes = parityOf(1, third);
    for (const [index, change] of [
      [0, 77],
      [3, changes[0]!],
      [4, changes[1]!],
    ] as const) {
      await miscode(test, stripe, index, (block) => {
        block[0]! ^= change;
      });
    }
    const before = await findStripe(test, stripe.id);
    await mend(test, { unclear: 1 });
    assert.deepEqual(await findStripe(test, stripe.id), before);
    await test.close();
  });

  it('are left alone when nobody lives in them any more', async () => {
    const test = await createTestEngine();
    const keys = sizes.map((size) => `key ${size}`);
    const { stripe } = await findPack(test, await openPack(test, []));
    for (const index of [0, 4, 5]) await miscode(test, stripe, index, replace);
    await test.upkeep.scrub(never);
    for (const key of keys) {
      await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
    }
    await mend(test, {});
    await test.close();
  });

  it('are not compacted before they are mended: what is wrong would go together with what is computed from it', async () => {
    const test = await createTestEngine({ limits: { compactAgeMs: 0 } });
    const objects: Record<string, Uint8Array> = {};
    for (let turn = 0; turn < 8; turn++) {
      objects[`key ${turn}`] = patternBytes(20 * KiB, turn);
      await put(test, `key ${turn}`, objects[`key ${turn}`]!);
    }
    const stripe = await stripeOf(test, 'key 3');
    await miscode(test, stripe, 0, replace);
    test.clock.nowMs += 1000;
    await test.upkeep.runOnce();
    // Compaction found it, and left it to repair.
    assert.ok(await findStripe(test, stripe.id));
    await test.upkeep.runOnce();
    assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), 1);
    assert.equal(await readMetric(test.metrics.stripesCompacted), 7);
    await assertMended(test, objects);
    await test.close();
  });
});
