import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  createTestEngine,
  failure,
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
import { assertOneWord, miscode } from './miscode.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Fails unless all shards of the object are whole and code to one another. */
async function assertCodesRight(test: TestEngine, key: string): Promise<void> {
  await verifyShards(test, key);
  for (const stripe of await stripesOf(test, key)) await assertOneWord(test, stripe);
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

  for (const sizeBytes of [20 * KiB, 2.5 * MiB]) {
    it(`are mended soon after a read of ${sizeBytes} bytes that found one, before any scrub`, async () => {
      const test = await open();
      const bytes = patternBytes(sizeBytes);
      await put(test, 'key', bytes);
      const [stripe] = await stripesOf(test, 'key');
      await miscode(test, stripe!, stripe!.shards[0]!.index);
      await assert.rejects(get(test, 'key'), failure('package-corrupt'));
      await test.upkeep.runOnce();
      assert.ok((await get(test, 'key')).equals(bytes));
      await assertCodesRight(test, 'key');
      await test.close();
    });
  }

  it('are looked at once where reads find them again and again, and nothing can be done', async () => {
    const test = await open();
    await put(test, 'key', patternBytes(900 * KiB));
    const [stripe] = await stripesOf(test, 'key');
    for (const { index } of stripe!.shards.slice(0, 3)) await miscode(test, (await stripesOf(test, 'key'))[0]!, index);
    for (let turn = 0; turn < 3; turn++) {
      await assert.rejects(get(test, 'key'), failure('package-corrupt'));
      await test.upkeep.runOnce();
    }
    assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'unclear' }), 1);
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
});
