import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ShardCid, Stripe, StripeId } from '../../core/model.ts';
import type { NewStripe } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  cidOf,
  cidOfDigest,
  createBucket,
  extentsOf,
  freedStripes,
  type MakeStore,
  newStripe,
  ownerId,
  placeShard,
  putRequest,
  withStore,
} from './metadata-fixtures.ts';

/** A stripe as it is found again. */
function asFound({ shardCount: _, storedBytes: __, ...stripe }: NewStripe): Stripe {
  return stripe;
}

const unknownId = 'f'.repeat(32) as StripeId;
const remove = (key: string) => ({ bucket: bucketName, key, ownerId, nowMs: 1 });

export function testStripes(make: MakeStore): void {
  describe('stripes', () => {
    it(
      'finds stripes as they were written and leaves out unknown ones',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripes = [newStripe(), newStripe({ placed: 4, dataBytes: 2 ** 40 })];
        await store.putVersion(putRequest('key', { stripes }));
        const ids = [unknownId, stripes[1]!.id, stripes[0]!.id, 'no id' as StripeId];
        const found = await store.findStripes(ids);
        assert.deepEqual([...found.keys()].sort(), stripes.map(({ id }) => id).sort());
        for (const stripe of stripes) assert.deepEqual(found.get(stripe.id), asFound(stripe));
        assert.equal((await store.findStripes([])).size, 0);
      }),
    );

    it(
      'lists stripes that lack shards, those in most danger first, until the shards are recorded',
      withStore(make, async (store) => {
        await createBucket(store);
        const [full, one, two] = [newStripe(), newStripe({ placed: 5 }), newStripe({ placed: 4 })];
        // One block of data: its shard and two of parity are all that should exist, so it can bear one loss more.
        const small: NewStripe = {
          ...newStripe(),
          shardCount: 3,
          shards: [0, 4].map((i) => placeShard(unknownId, i, 'p')),
        };
        await store.putVersion(putRequest('key', { stripes: [full, one, two, small] }));
        const degraded = (await store.listDegradedStripes(10)).map(({ id }) => id);
        assert.equal(degraded[0], two.id);
        assert.deepEqual(degraded.slice(1).sort(), [one.id, small.id].sort());
        assert.equal((await store.listDegradedStripes(1)).length, 1);
        assert.equal((await store.countUsage()).degradedStripes, 3);

        await store.recordShard(two.id, placeShard(two.id, 5, 'p9'));
        await store.recordShard(one.id, placeShard(one.id, 5, 'p9'));
        const left = await store.listDegradedStripes(10);
        assert.deepEqual(left.map(({ id }) => id).sort(), [two.id, small.id].sort());
        const repaired = left.find(({ id }) => id === two.id)!;
        assert.deepEqual(repaired.shards, [...two.shards, placeShard(two.id, 5, 'p9')]);
        assert.equal((await store.countUsage()).degradedStripes, 2);
      }),
    );

    it(
      'records a shard in place of what was known of its index',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        await store.putVersion(putRequest('key', { stripes: [stripe] }));
        const moved = { ...placeShard(stripe.id, 2, 'elsewhere'), cid: cidOf('rewritten') };
        assert.deepEqual((await store.findStripes([stripe.id])).get(stripe.id)?.shards, stripe.shards);
        await store.recordShard(stripe.id, moved);
        const { shards } = (await store.findStripes([stripe.id])).get(stripe.id)!;
        assert.deepEqual(
          shards,
          stripe.shards.map((shard) => (shard.index === 2 ? moved : shard)),
        );
        const asked = [stripe.shards[2]!.cid, moved.cid, stripe.shards[1]!.cid];
        assert.deepEqual(await store.knownShards(asked), new Set(asked.slice(1)));
        const call = store.recordShard(unknownId, moved);
        await assert.rejects(call, (error) => isFailure(error, 'stripe-missing'));
      }),
    );

    it(
      'knows the shards of live and freed stripes, and no others',
      withStore(make, async (store) => {
        await createBucket(store);
        const [live, freed, forgotten] = [newStripe(), newStripe(), newStripe()];
        for (const stripe of [live, freed, forgotten]) {
          await store.putVersion(putRequest(stripe.id, { stripes: [stripe] }));
        }
        await store.deleteVersion(remove(freed.id));
        await store.deleteVersion(remove(forgotten.id));
        await store.forgetStripe(forgotten.id);
        const known = [live, freed].flatMap(({ shards }) => shards.map(({ cid }) => cid));
        const strange = ['', 'bafkrei', `${known[0]}a`, known[0]!.toUpperCase(), `bafybei${known[0]!.slice(7)}`];
        const unknown = [...forgotten.shards.map(({ cid }) => cid), cidOf('orphan'), ...(strange as ShardCid[])];
        assert.deepEqual(await store.knownShards([...unknown, ...known]), new Set(known));
      }),
    );

    it(
      'tells shards apart whose CIDs begin alike',
      withStore(make, async (store) => {
        await createBucket(store);
        const cids = [1, 2, 3].map((last) => cidOfDigest(Buffer.alloc(32).fill(last, 31)));
        const [one, two] = [newStripe(), newStripe()].map((stripe, index) => ({
          ...stripe,
          shards: stripe.shards.map((shard) => (shard.index === 0 ? { ...shard, cid: cids[index]! } : shard)),
        }));
        await store.putVersion(putRequest('key', { stripes: [one!, two!] }));
        assert.deepEqual(await store.knownShards(cids), new Set(cids.slice(0, 2)));
      }),
    );

    it(
      'lists freed stripes by age, those before a time only',
      withStore(make, async (store, clock) => {
        await createBucket(store);
        const stripes = [newStripe(), newStripe({ placed: 5 }), newStripe()];
        for (const [index, stripe] of stripes.entries()) {
          await store.putVersion(putRequest(`${index}`, { stripes: [stripe] }));
        }
        const startMs = clock.nowMs;
        for (const index of [2, 0, 1]) {
          clock.nowMs += 1000;
          await store.deleteVersion(remove(`${index}`));
        }
        const list = async (beforeMs: number, limit: number) =>
          (await store.listFreedStripes(beforeMs, limit)).map(({ id }) => stripes.findIndex((each) => each.id === id));
        assert.deepEqual(await list(startMs + 10_000, 10), [2, 0, 1]);
        assert.deepEqual(await list(startMs + 10_000, 2), [2, 0]);
        assert.deepEqual(await list(startMs + 3000, 10), [2, 0]);
        assert.deepEqual(await list(startMs + 1000, 10), []);
        assert.deepEqual((await store.listFreedStripes(startMs + 1001, 1))[0], asFound(stripes[2]!));
        assert.deepEqual(await store.listDegradedStripes(10), []);
        assert.equal((await store.findStripes([stripes[2]!.id])).size, 1);
        await store.forgetStripe(stripes[2]!.id);
        assert.equal((await store.findStripes([stripes[2]!.id])).size, 0);
        assert.deepEqual(await list(startMs + 10_000, 10), [0, 1]);
      }),
    );

    it(
      'forgets neither a live stripe nor an unknown one',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        await store.putVersion(putRequest('key', { stripes: [stripe] }));
        await store.forgetStripe(stripe.id);
        await store.forgetStripe(unknownId);
        assert.equal((await store.findStripes([stripe.id])).size, 1);
      }),
    );

    it(
      'frees nothing during work that must not lose a stripe, and after it what nothing refers to',
      withStore(make, async (store) => {
        await createBucket(store);
        const [pack, other] = [newStripe(), newStripe()];
        const before = await store.countUsage();
        const late = new Error('the work fails');
        const work = store.withoutFreeing(async () => {
          await store.putVersion(putRequest('a', { stripes: [pack] }));
          await store.putVersion(putRequest('a', { stripes: [other] }));
          await store.putVersion(putRequest('b', { stripes: [pack] }));
          await store.deleteVersion(remove('a'));
          assert.deepEqual(await freedStripes(store), []);
          throw late;
        });
        await assert.rejects(work, late);
        assert.deepEqual(await freedStripes(store), [other.id]);
        await store.deleteVersion(remove('b'));
        assert.deepEqual(await freedStripes(store), [pack.id, other.id].sort());
        assert.deepEqual(await store.countUsage(), { ...before, freedStripes: 2 });
      }),
    );

    it(
      'counts right what is freed and forgotten in one go, and finds it no more',
      withStore(make, async (store) => {
        await createBucket(store);
        const [gone, kept] = [newStripe(), newStripe()];
        await store.putVersion(putRequest('gone', { stripes: [gone] }));
        await store.putVersion(putRequest('kept', { stripes: [kept] }));
        assert.equal((await store.findStripes([gone.id])).size, 1);
        await Promise.all([store.deleteVersion(remove('gone')), store.forgetStripe(gone.id)]);
        assert.equal((await store.findStripes([gone.id])).size, 0);
        const { storedBytes, neededBytes, freedStripes: freed } = await store.countUsage();
        assert.deepEqual([storedBytes, neededBytes, freed], [kept.storedBytes, 6144, 0]);
      }),
    );

    it(
      'registers a stripe with the second of two writes that bring it when the first is refused',
      withStore(make, async (store) => {
        await createBucket(store);
        const [pack, freed] = [newStripe(), newStripe()];
        await store.putVersion(putRequest('key', { stripes: [freed] }));
        await store.deleteVersion(remove('key'));
        const [first, second] = await Promise.allSettled([
          store.putVersion(putRequest('a', { stripes: [pack, freed] })),
          store.putVersion(putRequest('b', { stripes: [pack] })),
        ]);
        assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
        assert.deepEqual((await store.findStripes([pack.id])).get(pack.id), asFound(pack));
        assert.equal((await store.countUsage()).liveStripes, 1);
      }),
    );

    it(
      'writes and deletes in one go what comes with a write that is refused, and counts each once',
      withStore(make, async (store) => {
        await createBucket(store);
        const [old, freed] = [newStripe(), newStripe()];
        const [one, two, three] = [newStripe(), newStripe({ dataBytes: 5000 }), newStripe({ dataBytes: 6000 })];
        await store.putVersion(putRequest('old', { stripes: [old] }));
        await store.putVersion(putRequest('freed', { stripes: [freed] }));
        await store.deleteVersion(remove('freed'));
        const outcomes = await Promise.allSettled([
          store.putVersion(putRequest('one', { stripes: [one] })),
          store.putVersion(putRequest('two', { stripes: [two] })),
          store.deleteVersion(remove('old')),
          store.putVersion(putRequest('refused', { stripes: [newStripe(), freed] })),
          store.putVersion(putRequest('three', { stripes: [three] })),
        ]);
        assert.deepEqual(
          outcomes.map(({ status }) => status),
          ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
        );
        assert.equal((await store.findStripes([one.id, two.id, three.id])).size, 3);
        assert.deepEqual(new Set(await freedStripes(store)), new Set([freed.id, old.id]));
        const { versions, liveStripes, storedBytes } = await store.countUsage();
        const storedBytesOfAll = one.storedBytes + two.storedBytes + three.storedBytes;
        assert.deepEqual([versions, liveStripes, storedBytes], [3, 3, storedBytesOfAll]);
        const placements = await store.listPlacements();
        assert.deepEqual(
          placements.map(({ stripes }) => stripes),
          [3],
        );
      }),
    );

    it(
      'takes a stripe as freed in which nothing lies',
      withStore(make, async (store) => {
        await createBucket(store);
        const [used, unused] = [newStripe(), newStripe({ placed: 5 })];
        await store.putVersion(putRequest('key', { stripes: [used, unused], extents: extentsOf([used]) }));
        assert.deepEqual(await freedStripes(store), [unused.id]);
        const usage = await store.countUsage();
        assert.deepEqual(usage, {
          buckets: 1,
          versions: 1,
          liveStripes: 1,
          freedStripes: 1,
          degradedStripes: 0,
          storedBytes: used.storedBytes,
          neededBytes: 6144,
        });
      }),
    );

    it(
      'keeps nothing of a write that it refuses half-way',
      withStore(make, async (store) => {
        await createBucket(store);
        const freed = newStripe();
        await store.putVersion(putRequest('key', { stripes: [freed] }));
        await store.deleteVersion(remove('key'));
        const before = await store.countUsage();
        const [first, second] = ['FIRST', 'SECOND'].map((profileName) => ({ ...newStripe(), profileName }));
        const refused = store.putVersion(putRequest('key', { stripes: [first!, freed] }));
        await assert.rejects(refused, (error) => isFailure(error, 'stripe-missing'));
        assert.deepEqual(await store.countUsage(), before);
        assert.deepEqual(await store.knownShards([first!.shards[0]!.cid]), new Set());
        await store.putVersion(putRequest('key', { stripes: [second!] }));
        await store.putVersion(putRequest('other', { stripes: [first!] }));
        const found = await store.findStripes([first!.id, second!.id]);
        assert.deepEqual(
          [...found.values()].map(({ profileName }) => profileName),
          ['FIRST', 'SECOND'],
        );
      }),
    );

    it(
      'registers a stripe once that several objects bring along, and keeps it for those that remain',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        const refused = { kind: 'etag', etag: '*' } as const;
        const outcomes = await Promise.allSettled([
          store.putVersion(putRequest('refused', { stripes: [stripe], condition: refused })),
          store.putVersion(putRequest('a', { stripes: [stripe] })),
          store.putVersion(putRequest('b', { stripes: [stripe] })),
        ]);
        assert.deepEqual(
          outcomes.map(({ status }) => status),
          ['rejected', 'fulfilled', 'fulfilled'],
        );
        assert.equal((await store.countUsage()).liveStripes, 1);
        await store.deleteVersion(remove('a'));
        assert.deepEqual(await freedStripes(store), []);
        await store.deleteVersion(remove('b'));
        assert.deepEqual(await freedStripes(store), [stripe.id]);
        const late = store.putVersion(putRequest('c', { stripes: [stripe] }));
        await assert.rejects(late, (error) => isFailure(error, 'stripe-missing'));
        assert.equal(await store.findVersion(bucketName, 'c'), undefined);
        assert.deepEqual(await freedStripes(store), [stripe.id]);
      }),
    );
  });
}
