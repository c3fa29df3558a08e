import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { Stripe, StripeId } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import { rowCount, rowDataBytes, storedBlockBytes } from '../../erasure/geometry.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  get,
  never,
  ownerId,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  type TestEngineOptions,
  verifyShards,
} from './engine-harness.ts';
import { assertOneWord, codec, miscode, readBlocks, type Spoil } from './miscode.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Two rows. */
const longBytes = 1.2 * MiB;

/** Another block altogether. */
const replace: Spoil = (block, row) => block.set(patternBytes(block.length, `${row} ${block[0]}`));
/** A bit of one byte. */
const flip: Spoil = (block) => {
  block[block.length >> 1]! ^= 16;
};

/** Objects have stripes of their own, unless they are short enough for packs. */
const openUnpacked = (options: TestEngineOptions = {}) =>
  createTestEngine({ limits: { packObjectBytes: 0 }, ...options });

async function stripeOf(test: TestEngine, key: string): Promise<Stripe> {
  return (await stripesOf(test, key))[0]!;
}

async function findStripe({ metadata }: TestEngine, id: StripeId): Promise<Stripe> {
  return (await metadata.findStripes([id])).get(id)!;
}

/** Scrub keeps a row of each stripe, by chance: here always this one. */
function scrubRow(t: TestContext, row: 'first' | 'last'): void {
  t.mock.method(Math, 'random', () => (row === 'first' ? 0 : 0.999_999));
}

/** Scrubs and repairs; fails unless so many stripes came to be mended, and so many unclear. */
async function mend(test: TestEngine, { mended = 0, unclear = 0 }): Promise<void> {
  await test.upkeep.scrub(never);
  await test.upkeep.runOnce();
  assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), mended, 'mended');
  assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'unclear' }), unclear, 'unclear');
  await assertBudgetsFree(test);
}

/** Fails unless all objects can be read with any m providers away, from shards that are whole and go together. */
async function assertMended(test: TestEngine, objects: Readonly<Record<string, Uint8Array>>): Promise<void> {
  for (const [key, bytes] of Object.entries(objects)) {
    await verifyShards(test, key);
    for (const stripe of await stripesOf(test, key)) await assertOneWord(test, stripe);
    assert.ok((await get(test, key)).equals(bytes), key);
  }
  for (const away of pairs(test.providers)) {
    for (const provider of away) provider.faults.always('readShard', 'error');
    // Nothing was read before.
    const { engine, upkeep } = createEngine(test.parts);
    for (const [key, bytes] of Object.entries(objects)) {
      assert.ok((await get({ engine }, key)).equals(bytes), `${key} without ${away.map(({ id }) => id)}`);
    }
    await upkeep.stop();
    for (const provider of away) provider.faults.clear();
  }
}

function pairs<T>(all: readonly T[]): T[][] {
  return all.flatMap((first, at) => all.slice(at + 1).map((second) => [first, second]));
}

describe('stripes in which more than half of m shards are wrong', () => {
  for (const [size, sizeBytes] of [
    ['one short row', 5 * KiB],
    ['one row', 900 * KiB],
    ['two rows', longBytes],
  ] as const) {
    for (const [how, spoil] of [
      ['a bit', flip],
      ['every block', replace],
    ] as const) {
      it(`are mended, ${size}, both parities wrong in ${how}`, async () => {
        const test = await openUnpacked();
        const bytes = patternBytes(sizeBytes, size);
        await put(test, 'key', bytes);
        const before = await stripeOf(test, 'key');
        for (const index of [4, 5]) await miscode(test, before, index, spoil);
        await mend(test, { mended: 1 });
        await assertMended(test, { key: bytes });
        // Rebuilt as they once were, and nothing else was touched.
        const names = ({ shards }: Stripe) => shards.map(({ index, cid }) => `${index} ${cid}`);
        assert.deepEqual(names(await stripeOf(test, 'key')), names(before));
        await mend(test, { mended: 1 });
        await test.close();
      });
    }
  }

  for (const wrong of pairs([0, 1, 2, 3, 4, 5])) {
    it(`are mended, whichever they are: ${wrong}`, async () => {
      const test = await openUnpacked();
      const bytes = patternBytes(300 * KiB);
      await put(test, 'key', bytes);
      const stripe = await stripeOf(test, 'key');
      for (const index of wrong) await miscode(test, stripe, index, index % 2 ? flip : replace);
      await mend(test, { mended: 1 });
      await assertMended(test, { key: bytes });
      await test.close();
    });
  }

  it('are mended where each row has another wrong shard', async (t) => {
    scrubRow(t, 'last');
    const test = await openUnpacked();
    const bytes = patternBytes(longBytes);
    await put(test, 'key', bytes);
    const stripe = await stripeOf(test, 'key');
    for (const [at, index] of [1, 5].entries()) {
      await miscode(test, stripe, index, (block, row) => row === at && replace(block, row));
    }
    await mend(test, { mended: 1 });
    await assertMended(test, { key: bytes });
    await test.close();
  });

  it('are mended where several objects are copies of one', async () => {
    const test = await openUnpacked();
    const bytes = patternBytes(longBytes);
    await put(test, 'key', bytes);
    const source = { bucket: bucketName, key: 'key' };
    const copy = { bucket: bucketName, key: 'copy', source, ownerId, storageClass: 'STANDARD' };
    await test.engine.objects.copy(copy, never);
    const stripe = await stripeOf(test, 'key');
    for (const index of [2, 4]) await miscode(test, stripe, index, flip);
    await mend(test, { mended: 1 });
    await assertMended(test, { key: bytes, copy: bytes });
    await test.close();
  });

  it('are left as they are where more than m are wrong', async () => {
    const test = await openUnpacked();
    await put(test, 'key', patternBytes(900 * KiB));
    await put(test, 'other', patternBytes(900 * KiB, 'other'));
    await put(test, 'third', patternBytes(900 * KiB, 'third'));
    for (const [key, wrong] of [
      ['key', [0, 1, 2]],
      ['other', [2, 4, 5]],
      ['third', [0, 3, 4]],
    ] as const) {
      const stripe = await stripeOf(test, key);
      for (const index of wrong) await miscode(test, stripe, index, replace);
    }
    const keys = ['key', 'other', 'third'];
    const before = await Promise.all(keys.map((key) => stripeOf(test, key)));
    const blocks = (stripes: readonly Stripe[]) =>
      Promise.all(stripes.flatMap((stripe) => stripe.shards.map((shard) => readBlocks(test, stripe, shard))));
    const stored = await blocks(before);
    await mend(test, { unclear: 3 });
    assert.deepEqual(await Promise.all(keys.map((key) => stripeOf(test, key))), before);
    assert.deepEqual(await blocks(before), stored);
    await test.close();
  });

  it('keep their data where the parity was computed from others: to the code, the data look wrong', async () => {
    const test = await openUnpacked();
    const bytes = patternBytes(900 * KiB);
    await put(test, 'key', bytes);
    const stripe = await stripeOf(test, 'key');
    const blocks = await Promise.all(stripe.shards.map(async (shard) => (await readBlocks(test, stripe, shard))[0]!));
    const { length } = blocks[0]!;
    const data = blocks.slice(0, 4).map((block) => {
      const padded = new Uint8Array(length);
      padded.set(block);
      return padded;
    });
    // As when a bit of memory turns over after the data were sent and before they were coded.
    data[1]![1000]! ^= 4;
    const parity = [new Uint8Array(length), new Uint8Array(length)];
    codec.encode(data, parity);
    for (const [at, block] of parity.entries()) {
      await miscode(test, stripe, 4 + at, (target) => target.set(block));
    }
    await mend(test, { mended: 1 });
    await assertMended(test, { key: bytes });
    await test.close();
  });

  it('are mended where a package begins in them and ends in the next stripe', async (t) => {
    const test = await openUnpacked();
    const bytes = patternBytes(17 * MiB);
    const version = await put(test, 'key', bytes);
    const [first, second] = await stripesOf(test, 'key');
    const [extent] = extentsOf(version);
    assert.ok(second && extent!.length % (64 * KiB + 16) > 0, 'no package crosses');
    // The last bytes of one and the first of the other, and no others.
    const lastRow = rowCount(first!) - 1;
    const spoilEnd: Spoil = (block, row) => row === lastRow && block.fill(7, block.length - 100);
    const spoilStart: Spoil = (block, row) => row === 0 && block.fill(7, 0, 100);
    scrubRow(t, 'last');
    await miscode(test, first!, 3, spoilEnd);
    await miscode(test, first!, 4, spoilEnd);
    await mend(test, { mended: 1 });
    await assertOneWord(test, await findStripe(test, first!.id));
    scrubRow(t, 'first');
    await miscode(test, second, 0, spoilStart);
    await miscode(test, second, 5, spoilStart);
    await mend(test, { mended: 2 });
    await assertOneWord(test, await findStripe(test, second.id));
    assert.ok((await get(test, 'key')).equals(bytes));
    await assertBudgetsFree(test);
    await test.close();
  });

  it('are mended where a package goes from one row to the next', async (t) => {
    scrubRow(t, 'first');
    const test = await openUnpacked();
    const bytes = patternBytes(longBytes);
    await put(test, 'key', bytes);
    const stripe = await stripeOf(test, 'key');
    assert.ok(rowDataBytes(stripe) % (64 * KiB + 16) > 0, 'no package crosses');
    const spoil: Spoil = (block, row) =>
      row === 0 ? block.fill(9, block.length - 50) : row === 1 && block.fill(9, 0, 50);
    // The last data shard of a row and the first of the next.
    for (const index of [0, 3]) await miscode(test, stripe, index, spoil);
    await mend(test, { mended: 1 });
    await assertMended(test, { key: bytes });
    await test.close();
  });

  it('wait while another stripe cannot be read that has the rest of a package', async () => {
    const test = await openUnpacked();
    const bytes = patternBytes(17 * MiB);
    await put(test, 'key', bytes);
    const [first, second] = await stripesOf(test, 'key');
    for (const index of [4, 5]) await miscode(test, first!, index, replace);
    const away = second!.shards.slice(0, 3);
    // Gone for good as far as anybody knows, and back later.
    for (const shard of away) await test.metadata.recordShard(second!.id, { ...shard, cid: first!.shards[0]!.cid });
    await test.upkeep.scrub(never);
    await test.upkeep.runOnce();
    assert.equal(await readMetric(test.metrics.miscodedStripes), 0);
    for (const shard of away) await test.metadata.recordShard(second!.id, shard);
    await test.upkeep.runOnce();
    assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), 1);
    await assertOneWord(test, await findStripe(test, first!.id));
    await test.close();
  });

  it('are mended whatever their shape, up to m wrong shards, and else left', async () => {
    const shapes = fc.constantFrom<[number, number][]>([1, 2], [2, 1], [3, 3], [4, 2], [2, 4]);
    const sizes = fc.constantFrom(3 * KiB, 150 * KiB, 1.2 * MiB);
    const worlds = fc.tuple(shapes, sizes, fc.nat(), fc.infiniteStream(fc.nat()));
    await fc.assert(
      fc.asyncProperty(worlds, async ([[k, parity], sizeBytes, seed, draws]) => {
        const profiles = [{ name: 'STANDARD', k, m: parity }];
        const test = await openUnpacked({ profiles, providerCount: k + parity });
        const bytes = patternBytes(sizeBytes, seed);
        await put(test, 'key', bytes);
        const stripe = await stripeOf(test, 'key');
        const indexes = stripe.shards.map(({ index }) => index);
        const wrong = new Set<number>();
        const count = 1 + (draws.next().value! % (parity + 1));
        while (wrong.size < Math.min(count, indexes.length)) wrong.add(indexes[draws.next().value! % indexes.length]!);
        for (const index of wrong) {
          await miscode(test, stripe, index, (block, row) => block.set(patternBytes(block.length, `${index} ${row}`)));
        }
        const before = await stripeOf(test, 'key');
        const isMendable = wrong.size <= parity;
        await mend(test, isMendable ? { mended: 1 } : { unclear: 1 });
        const after = await stripeOf(test, 'key');
        if (isMendable) {
          await assertOneWord(test, after);
          assert.ok((await get(test, 'key')).equals(bytes));
        } else assert.deepEqual(after, before);
        await test.close();
      }),
      { numRuns: 12 },
    );
  });
});

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
});
