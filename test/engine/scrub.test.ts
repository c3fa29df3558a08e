import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteBudget } from '../../core/byte-budget.ts';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import { defaultLimits } from '../../engine/engine-limits.ts';
import { StripePins } from '../../engine/stripe-pins.ts';
import { ClientLoad } from '../../engine/upkeep/client-load.ts';
import { Scrubber } from '../../engine/upkeep/scrub/scrub.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import { createStripeId } from '../../erasure/stripe-id.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  bucketName,
  countShards,
  createTestEngine,
  get,
  never,
  ownerId,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const dayMs = 86_400_000;

function holderOf(test: TestEngine, { providerId }: PlacedShard): FaultyProvider {
  return test.providers.find(({ id }) => id === providerId)!;
}

async function replaceBytes(holder: FaultyProvider, { cid }: PlacedShard, change: (shard: Uint8Array) => Uint8Array) {
  const { bytes } = await holder.statShard(cid);
  const shard = await holder.readShard(cid, 0, bytes);
  await holder.deleteShard(cid);
  await holder.putShard(cid, [change(shard)]);
}

function flipAt(place: (shard: Uint8Array) => number): (shard: Uint8Array) => Uint8Array {
  return (shard) => {
    shard[place(shard)]! ^= 8;
    return shard;
  };
}

function createScrubber({ parts }: TestEngine): Scrubber {
  const limits = { ...defaultLimits, ...parts.limits };
  return new Scrubber({
    ...parts,
    limits,
    pins: new StripePins(),
    clientLoad: new ClientLoad(),
    readBudget: new ByteBudget({ name: 'read', capacityBytes: 32 * MiB, waitMs: 0, metrics: parts.metrics }),
    kickRepair: () => {},
    noteMiscoded: (id) => assert.fail(`stripe ${id} is coded right`),
  });
}

/** Every kind of damage, and what scrub is to call it. */
const damages: Record<
  string,
  { outcome: string; plant: (test: TestEngine, stripe: Stripe, shard: PlacedShard) => Promise<void> }
> = {
  'a bit of its header': {
    outcome: 'corrupt',
    plant: (test, _, shard) =>
      replaceBytes(
        holderOf(test, shard),
        shard,
        flipAt(() => 20),
      ),
  },
  'a bit of its first block': {
    outcome: 'corrupt',
    plant: (test, _, shard) =>
      replaceBytes(
        holderOf(test, shard),
        shard,
        flipAt(() => 64),
      ),
  },
  'the last bit of its last block': {
    outcome: 'corrupt',
    plant: (test, _, shard) =>
      replaceBytes(
        holderOf(test, shard),
        shard,
        flipAt((bytes) => bytes.length - 64 - 32 - 1),
      ),
  },
  'a bit of its footer': {
    outcome: 'corrupt',
    plant: (test, _, shard) =>
      replaceBytes(
        holderOf(test, shard),
        shard,
        flipAt((bytes) => bytes.length - 1),
      ),
  },
  'its end': {
    outcome: 'corrupt',
    plant: (test, _, shard) =>
      replaceBytes(holderOf(test, shard), shard, (bytes) => bytes.subarray(0, bytes.length - 1)),
  },
  'its content, which is that of another shard': {
    outcome: 'corrupt',
    plant: async (test, stripe, shard) => {
      const other = stripe.shards.find(({ index }) => index !== shard.index)!;
      const bytes = await holderOf(test, other).readShard(other.cid, 0, shardBytes(stripe, other.index));
      await replaceBytes(holderOf(test, shard), shard, () => bytes);
    },
  },
  'all of it': {
    outcome: 'missing',
    plant: (test, _, shard) => holderOf(test, shard).deleteShard(shard.cid),
  },
};

describe('scrub', () => {
  for (const sizeBytes of [3000, 5 * MiB]) {
    it(`finds every kind of damage in objects of ${sizeBytes} bytes, and nothing else`, async () => {
      const test = await createTestEngine({ limits: { packObjectBytes: 0 } });
      const planted: { what: string; bytes: Uint8Array; stripe: Stripe; lost: PlacedShard[] }[] = [];
      const counts: Record<string, number> = { missing: 0, corrupt: 0 };
      await put(test, 'other', patternBytes(sizeBytes, 'other'));
      for (const [what, { outcome, plant }] of Object.entries(damages)) {
        const bytes = patternBytes(sizeBytes, what);
        await put(test, what, bytes);
        const stripe = (await stripesOf(test, what))[0]!;
        // The first data shard and the last parity shard.
        const lost = [stripe.shards[0]!, stripe.shards.at(-1)!];
        for (const shard of lost) await plant(test, stripe, shard);
        counts[outcome]! += lost.length;
        planted.push({ what, bytes, stripe, lost });
      }
      const assertCounts = async () => {
        for (const [outcome, count] of Object.entries(counts)) {
          assert.equal(await readMetric(test.metrics.scrubbedShards, { outcome }), count, outcome);
        }
      };
      await test.upkeep.scrub(never);
      await assertCounts();
      for (const { what, lost } of planted) {
        assert.deepEqual((await stripesOf(test, what))[0]!.lostShards, lost, `${what} was lost`);
      }
      assert.equal((await test.upkeep.runOnce()).shardsRepaired, 2 * planted.length);
      for (const { what, bytes } of planted) {
        await verifyShards(test, what);
        assert.ok((await get(test, what)).equals(bytes), what);
      }
      await test.upkeep.scrub(never);
      await assertCounts();
      await test.close();
    });
  }

  it('gives up a shard that its provider alone cannot read, after some tries', async () => {
    const test = await createTestEngine({ limits: { packObjectBytes: 0 } });
    await put(test, 'key', patternBytes(100));
    const [shard] = (await stripesOf(test, 'key'))[0]!.shards;
    const holder = holderOf(test, shard!);
    const lost = async () => (await stripesOf(test, 'key'))[0]!.lostShards ?? [];
    const scrubber = createScrubber(test);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await lost(), []);
      // Once in its turn, once to catch up.
      holder.faults.next('readShard', 'error', 1);
      await scrubber.scrubPage(never);
      test.clock.nowMs += 400_000;
    }
    assert.deepEqual(await lost(), [shard]);
    await test.close();
  });

  it('says nothing of a shard that was moved, or a stripe that went, since the page was looked up', async () => {
    const test = await createTestEngine({ limits: { packObjectBytes: 0 } });
    const keys = Array.from({ length: 30 }, (_, n) => `key-${n}`);
    for (const key of keys) await put(test, key, patternBytes(100, key));
    const { metadata } = test;
    const list = metadata.listStripes.bind(metadata);
    // As if between listing and reading everything but one had been deleted and collected.
    metadata.listStripes = async (after, limit) => {
      const stripes = await list(after, limit);
      metadata.listStripes = list;
      for (const key of keys.slice(1)) {
        await test.engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: test.clock.now() });
      }
      test.clock.nowMs += 1;
      await test.upkeep.runOnce();
      return stripes;
    };
    await test.upkeep.scrub(never);
    const { shards } = await test.upkeep.readScrubProgress();
    assert.deepEqual(shards, { good: 3, missing: 0, corrupt: 0, unreadable: 0 });
    await test.close();
  });

  it('reads the shards of a provider that was away when it is back', async () => {
    const test = await createTestEngine();
    for (let n = 0; n < 5; n++) await put(test, `key-${n}`, patternBytes(3000, `${n}`));
    const stripes = (await Promise.all([0, 4].map((n) => stripesOf(test, `key-${n}`)))).flat();
    const away = holderOf(test, stripes[0]!.shards[0]!);
    const damaged = stripes.flatMap(({ shards }) => shards.filter(({ providerId }) => providerId === away.id));
    for (const shard of damaged) await away.deleteShard(shard.cid);
    away.faults.always('all', 'error');
    await test.upkeep.scrub(never);
    assert.deepEqual((await test.upkeep.readScrubProgress()).behind, [away.id]);
    assert.equal(await readMetric(test.metrics.scrubbedShards, { outcome: 'missing' }), 0);
    away.faults.clear();
    test.clock.nowMs += 60_000;
    // A shard for everybody, so that it shows that it is back.
    await put(test, 'trial', patternBytes(300 * KiB));
    await test.upkeep.scrub(never);
    assert.deepEqual((await test.upkeep.readScrubProgress()).behind, []);
    assert.equal(await readMetric(test.metrics.scrubbedShards, { outcome: 'missing' }), damaged.length);
    await test.close();
  });

  it('goes on after a restart where it was, and reads each shard once a round', async () => {
    const test = await createTestEngine({ limits: { packObjectBytes: 0, scrubPeriodMs: dayMs } });
    const keys = Array.from({ length: 150 }, (_, n) => `key-${n}`);
    for (const key of keys) await put(test, key, patternBytes(100, key));
    const shards = await countShards(test);
    const reads = new Map<string, number>();
    const pages: number[] = [];
    for (let page = 0; page < 3; page++) {
      test.calls.length = 0;
      // As in a new process: it knows only what the metadata say.
      const rests = await createScrubber(test).scrubPage(never);
      assert.ok(rests > 0 && rests <= 3_600_000, `rests ${rests} ms`);
      const calls = test.calls.filter((call) => call.includes(' readShard '));
      pages.push(calls.length);
      for (const call of calls) reads.set(call, (reads.get(call) ?? 0) + 1);
    }
    assert.deepEqual(pages, [192, 192, shards - 384]);
    assert.deepEqual(new Set(reads.values()), new Set([1]));
    assert.equal(reads.size, shards);
    await test.close();
  });

  it('reads no more at once than 64 MiB and the stripe that it is in, however few stripes these are', async () => {
    const test = await createTestEngine();
    await put(test, 'key', patternBytes(200_000, 'key'));
    const [stripe] = await stripesOf(test, 'key');
    // Of 24 MiB with parity each. They have gone when they are looked up, so that nothing is read.
    const long = Array.from({ length: 10 }, (_, n): Stripe => {
      const id = createStripeId(n);
      const shards = Array.from({ length: 6 }, (_each, index) => ({ ...stripe!.shards[0]!, index }));
      return { ...stripe!, id, k: 4, m: 2, blockBytes: 256 * KiB, dataBytes: 16 * MiB, shards };
    });
    const pages: number[] = [];
    test.parts.metadata.listStripes = async (after, limit) => {
      const rest = long.filter(({ id }) => id > (after ?? ''));
      if (limit > 1) pages.push(long.length - rest.length);
      return rest.slice(0, limit);
    };
    const scrubber = createScrubber(test);
    for (let page = 0; page < 4; page++) await scrubber.scrubPage(never);
    assert.deepEqual(pages, [0, 3, 6, 9]);
    await test.close();
  });

  it('is even over the period, hurries when it is late, and begins anew when it is due', async () => {
    const test = await createTestEngine({
      limits: { packObjectBytes: 0, scrubPeriodMs: 10 * dayMs, scrubBytesPerS: 1e12 },
    });
    for (let n = 0; n < 256; n++) await put(test, `key-${n}`, patternBytes(100, `${n}`));
    const scrubber = createScrubber(test);
    const startMs = test.clock.nowMs;
    const first = await scrubber.scrubPage(never);
    assert.equal(first, 3_600_000, 'an hour, where a page a few days would do');
    const { roundPart, oldestUnscrubbedMs } = await scrubber.readProgress();
    assert.ok(roundPart > 0.2 && roundPart < 0.3, `a quarter is done, not ${roundPart}`);
    assert.ok(oldestUnscrubbedMs !== undefined && oldestUnscrubbedMs <= startMs);
    // Nothing for so long that the round should be over.
    test.clock.nowMs += 9 * dayMs;
    const late = await scrubber.scrubPage(never);
    assert.ok(late <= (10 * dayMs * 0.05) / 2 && late > 0, `hurries, and does not wait ${late} ms`);
    for (let page = 0; page < 3; page++) await scrubber.scrubPage(never);
    const over = await scrubber.readProgress();
    assert.equal(over.roundStartedAtMs, test.clock.nowMs, 'the next round has begun');
    // Of the last round's first page nothing is known better than when the round passed it.
    assert.ok(over.oldestUnscrubbedMs! >= startMs && over.oldestUnscrubbedMs! < test.clock.nowMs);
    await test.close();
  });

  it('says of what it has not read yet since when it is there', async () => {
    const test = await createTestEngine({ limits: { packObjectBytes: 0 } });
    assert.equal((await test.upkeep.readScrubProgress()).oldestUnscrubbedMs, undefined);
    await put(test, 'key', patternBytes(100));
    const writtenMs = test.clock.nowMs;
    test.clock.nowMs += 5 * dayMs;
    await put(test, 'later', patternBytes(100));
    assert.equal((await test.upkeep.readScrubProgress()).oldestUnscrubbedMs, writtenMs);
    await test.upkeep.scrub(never);
    assert.equal((await test.upkeep.readScrubProgress()).oldestUnscrubbedMs, test.clock.nowMs);
    await test.close();
  });
});
