import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Stripe } from '../../core/model.ts';
import { rowCount, rowDataBytes } from '../../erasure/geometry.ts';
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
  type TestEngineOptions,
} from './engine-harness.ts';
import { assertOneWord, codec, miscode, readBlocks, type Spoil } from './miscode.ts';
import { assertMended, findStripe, flip, mend, pairs, replace, scrubRow, stripeOf } from './miscoded-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Two rows. */
const longBytes = 1.2 * MiB;

/** Objects have stripes of their own, unless they are short enough for packs. */
const openUnpacked = (options: TestEngineOptions = {}) =>
  createTestEngine({ limits: { packObjectBytes: 0 }, ...options });

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
