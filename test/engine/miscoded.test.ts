import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import { judgeRow } from '../../engine/upkeep/scrub/judge-row.ts';
import { rowCount, storedBlockBytes } from '../../erasure/geometry.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  shardBlockOffset,
  shardCid,
} from '../../erasure/shard-format.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  createTestEngine,
  get,
  listCids,
  never,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  type TestEngineOptions,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const codec = await createPackageCodec();

/** Stored as a shard's blocks, row by row, each with its digest. */
async function readBlocks(test: TestEngine, stripe: Stripe, shard: PlacedShard): Promise<Uint8Array[]> {
  const provider = test.providers.find(({ id }) => id === shard.providerId)!;
  const blocks: Uint8Array[] = [];
  for (let row = 0; row < rowCount(stripe); row++) {
    const bytes = storedBlockBytes(stripe, shard.index, row);
    if (bytes > 0) blocks.push(await provider.readShard(shard.cid, shardBlockOffset(stripe, row), bytes));
  }
  return blocks;
}

/** Replaces a shard by one that is whole in itself, and not what it should be. */
async function miscode(test: TestEngine, stripe: Stripe, index: number): Promise<PlacedShard> {
  const shard = stripe.shards.find((each) => each.index === index)!;
  const provider = test.providers.find(({ id }) => id === shard.providerId)!;
  const blocks = await readBlocks(test, stripe, shard);
  for (const [row, block] of blocks.entries()) block[row % block.length]! ^= 1 + index;
  const { id: stripeId, profileName, k, m, blockBytes } = stripe;
  const identity = { stripeId, profileName, k, m, index, blockBytes };
  const header = encodeShardHeader(identity);
  const footer = encodeShardFooter(identity, stripe, blocks.map(digestBlock));
  const cid = shardCid(header, footer);
  await provider.putShard(cid, [header, ...blocks, footer]);
  await provider.deleteShard(shard.cid);
  const planted = { ...shard, cid };
  await test.metadata.recordShard(stripe.id, planted);
  return planted;
}

/** Fails unless all shards of the object code to one another. */
async function assertCodesRight(test: TestEngine, key: string): Promise<void> {
  await verifyShards(test, key);
  for (const stripe of await stripesOf(test, key)) {
    const rows = new Map<number, Uint8Array[]>();
    for (const shard of stripe.shards) rows.set(shard.index, await readBlocks(test, stripe, shard));
    for (let row = 0; row < rowCount(stripe); row++) {
      const blocks = Array.from({ length: stripe.k + stripe.m }, (_, index) => {
        const block = new Uint8Array(storedBlockBytes(stripe, 0, row));
        block.set(rows.get(index)?.[row] ?? []);
        return block;
      });
      assert.deepEqual(judgeRow(codec, blocks, stripe), [], `row ${row} of ${key}`);
    }
  }
}

const open = (options: TestEngineOptions = {}) => createTestEngine({ limits: { packObjectBytes: 0 }, ...options });

describe('stripes that are wrongly coded', () => {
  for (const [what, sizeBytes] of [
    ['of one short row', 5 * KiB],
    ['of one row', 900 * KiB],
    ['of several rows', 2.5 * MiB],
  ] as const) {
    for (const place of ['first', 'last'] as const) {
      it(`${what}: scrub finds the ${place} shard, though all digests are right, and repair codes it anew`, async () => {
        const test = await open();
        const bytes = patternBytes(sizeBytes, what);
        await put(test, 'key', bytes);
        await put(test, 'other', bytes);
        const [stripe] = await stripesOf(test, 'key');
        const index = stripe!.shards.at(place === 'first' ? 0 : -1)!.index;
        const planted = await miscode(test, stripe!, index);
        await test.upkeep.scrub(never);
        await test.upkeep.runOnce();
        assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), 1);
        for (const key of ['key', 'other']) await assertCodesRight(test, key);
        assert.ok((await get(test, 'key')).equals(bytes));
        for (const provider of test.providers) assert.ok(!(await listCids(provider)).includes(planted.cid));
        assert.equal((await test.metadata.countUsage()).degradedStripes, 0);
        await test.upkeep.scrub(never);
        await test.upkeep.runOnce();
        assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), 1);
        await test.close();
      });
    }
  }

  it('are left as they are, and counted, where it cannot be said which shards are wrong', async () => {
    const test = await open();
    await put(test, 'key', patternBytes(900 * KiB));
    const [stripe] = await stripesOf(test, 'key');
    await miscode(test, stripe!, 4);
    await miscode(test, stripe!, 5);
    const [before] = await stripesOf(test, 'key');
    await test.upkeep.scrub(never);
    await test.upkeep.runOnce();
    assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'unclear' }), 1);
    assert.deepEqual(await stripesOf(test, 'key'), [before]);
    assert.ok((await get(test, 'key')).equals(patternBytes(900 * KiB)));
    await test.close();
  });

  it('wait while a provider is away that has a shard of them', async () => {
    const test = await open();
    await put(test, 'key', patternBytes(900 * KiB));
    const [stripe] = await stripesOf(test, 'key');
    await miscode(test, stripe!, 5);
    await test.upkeep.scrub(never);
    const away = stripe!.shards[0]!.providerId;
    test.health.recordFailure(away, true);
    await test.upkeep.runOnce();
    assert.equal(await readMetric(test.metrics.miscodedStripes), 0);
    test.health.recordSuccess(away);
    await test.upkeep.runOnce();
    await assertCodesRight(test, 'key');
    await test.close();
  });

  it('are told block by block, as far as a code can', () => {
    const shapes = fc.constantFrom([4, 2], [2, 1], [3, 4], [1, 2], [5, 3], [2, 0]);
    fc.assert(
      fc.property(shapes, fc.nat(), fc.nat(20), fc.infiniteStream(fc.nat()), (shape, seed, wanted, choices) => {
        const [k, m] = shape as [number, number];
        const data = Array.from({ length: k }, (_, at) => patternBytes(64, `${seed} ${at}`));
        const parity = Array.from({ length: m }, () => new Uint8Array(64));
        if (m > 0) codec.encode(data, parity);
        const blocks: Uint8Array[] = [...data, ...parity];
        const wrong = new Set<number>();
        while (wrong.size < wanted % (Math.floor(m / 2) + 1)) wrong.add(choices.next().value! % (k + m));
        for (const index of wrong) blocks[index]![choices.next().value! % 64]! ^= 1;
        assert.deepEqual(judgeRow(codec, blocks, { k, m })?.toSorted(), [...wrong].sort());
      }),
      { numRuns: 200 },
    );
  });
});
