import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../core/model.ts';
import { type MetadataStore, type NewStripe, systemProfileName } from '../../metadata/metadata-store.ts';
import { countPlacements, withoutIds } from './count-placements.ts';
import {
  bucketName,
  createBucket,
  createClock,
  extentsOf,
  type MakeStore,
  newStripe,
  ownerId,
  placeShard,
  providerRecord,
  putRequest,
  spansOf,
  withStore,
} from './metadata-fixtures.ts';

const remove = (key: string) => ({ bucket: bucketName, key, ownerId, nowMs: 1 });
const idOf = (name: string) => name as ProviderId;

async function putStripes(store: MetadataStore, stripes: readonly NewStripe[]): Promise<void> {
  await Promise.all(stripes.map((stripe) => store.putVersion(putRequest(stripe.id, { stripes: [stripe] }))));
}

async function findStripe(store: MetadataStore, id: StripeId): Promise<Stripe> {
  return (await store.findStripes([id])).get(id)!;
}

function assertInUse(call: Promise<void>): Promise<void> {
  return assert.rejects(call, (error) => isFailure(error, 'provider-in-use'));
}

/** A stripe whose shard of index 0 lies at this provider. */
function stripeAt(name: string): NewStripe {
  const stripe = newStripe();
  return { ...stripe, shards: [placeShard(stripe.id, 0, name), ...stripe.shards.slice(1)] };
}

export function testFleet(make: MakeStore): void {
  describe('the fleet', () => {
    testProviders(make);
    testPlacements(make);
    testLostShards(make);
  });
}

function testProviders(make: MakeStore): void {
  it(
    'is listed in order of id, each provider as it was put last',
    withStore(make, async (store) => {
      assert.deepEqual(await store.listProviders(), []);
      const [b, a] = [providerRecord('b', { capacityBytes: 5 }), providerRecord('a')];
      await store.putProvider(b);
      await store.putProvider(a);
      assert.deepEqual(await store.listProviders(), [a, b]);
      const draining = { ...a, state: 'draining', stateSinceMs: 7 } as const;
      await store.putProvider(draining);
      assert.deepEqual(await store.listProviders(), [draining, b]);
      await store.forgetProvider(a.id);
      await store.forgetProvider(a.id);
      assert.deepEqual(await store.listProviders(), [b]);
    }),
  );

  it(
    'is among the records, and is imported with them',
    withStore(make, async (store, clock) => {
      for (const name of ['a', 'b', 'c']) await store.putProvider(providerRecord(name));
      const { mark } = await store.readChanges();
      await store.forgetChanges(mark);
      await store.putProvider(providerRecord('b', { weight: 3 }));
      await store.forgetProvider(idOf('c'));
      const named = (await store.readChanges()).records.filter(({ kind }) => kind === 'provider');
      assert.deepEqual(named, [
        { kind: 'provider', key: 'b', value: providerRecord('b', { weight: 3 }) },
        { kind: 'provider', key: 'c', value: null },
      ]);
      const other = await make({ clock });
      await other.store.importRecords((await store.readRecords(undefined, 100)).records);
      await other.store.importRecords([{ kind: 'provider', key: 'a', value: null }]);
      await other.store.finishImport();
      assert.deepEqual(await other.store.listProviders(), [providerRecord('b', { weight: 3 })]);
      await other.cleanUp();
    }),
  );

  it(
    'keeps a provider while a stripe has a shard there, good or lost, live or freed',
    withStore(make, async (store) => {
      await createBucket(store);
      for (const name of ['live', 'lost', 'freed', 'moved', 'p']) await store.putProvider(providerRecord(name));
      const [live, lost, freed, moved] = ['live', 'lost', 'freed', 'moved'].map(stripeAt);
      await putStripes(store, [live!, lost!, freed!, moved!]);
      for (const name of ['live', 'lost', 'freed', 'moved']) await assertInUse(store.forgetProvider(idOf(name)));

      await store.deleteVersion(remove(freed!.id));
      await store.loseShard(lost!.id, lost!.shards[0]!);
      for (const name of ['live', 'lost', 'freed']) await assertInUse(store.forgetProvider(idOf(name)));
      await store.recordShard(moved!.id, placeShard(moved!.id, 0, 'live'));
      await store.recordShard(lost!.id, placeShard(lost!.id, 0, 'live'));
      await store.forgetStripe(freed!.id);
      for (const name of ['lost', 'freed', 'moved', 'p']) await store.forgetProvider(idOf(name));
      await assertInUse(store.forgetProvider(idOf('live')));
      assert.deepEqual(
        (await store.listProviders()).map(({ id }) => id),
        ['live'],
      );
    }),
  );

  it(
    'counts no leftovers of a write that was refused after it had freed a stripe',
    withStore(make, async (store) => {
      await createBucket(store);
      await store.putProvider(providerRecord('mine'));
      const stripe = stripeAt('mine');
      await store.putVersion(putRequest('key', { stripes: [stripe], number: 5001 }));
      // A number that is taken is found out last of all.
      const taken = putRequest('key', { number: 5002 });
      await store.putVersion(putRequest('other', { number: 5002 }));
      const outcomes = await Promise.allSettled([store.putVersion(taken), store.putSetting('colour', 'green')]);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['rejected', 'fulfilled'],
      );
      await assert.rejects(store.putVersion(taken));
      assert.deepEqual(withoutIds(await store.listPlacements()), countPlacements([stripe]));
      await store.recordShard(stripe.id, placeShard(stripe.id, 0, 'another'));
      await store.forgetProvider(idOf('mine'));
      assert.deepEqual(await store.listProviders(), []);
    }),
  );

  it(
    'keeps a provider also where its last shard comes in the same moment, and not where it goes',
    withStore(make, async (store) => {
      await createBucket(store);
      for (const name of ['comes', 'goes']) await store.putProvider(providerRecord(name));
      const [comes, goes] = ['comes', 'goes'].map(stripeAt);
      await putStripes(store, [goes!]);
      const outcomes = await Promise.allSettled([
        store.putVersion(putRequest('comes', { stripes: [comes!] })),
        store.forgetProvider(idOf('comes')),
        store.deleteVersion(remove(goes!.id)),
        store.forgetProvider(idOf('goes')),
        store.forgetStripe(goes!.id),
        store.forgetProvider(idOf('goes')),
      ]);
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
      );
    }),
  );
}

function testPlacements(make: MakeStore): void {
  it(
    'counts live stripes by shape and by who holds their shards, those of system objects too',
    withStore(make, async (store) => {
      await createBucket(store);
      const same = [newStripe(), newStripe(), newStripe({ storedBytes: 9000 })];
      // The same providers in another order, and one that holds two shards.
      const turned = newStripe();
      const shuffled = { ...turned, shards: turned.shards.map((shard) => at(shard, `p${5 - shard.index}`)) };
      const double = { ...turned, id: newStripe().id, shards: turned.shards.map((shard) => at(shard, 'p0')) };
      const short = { ...newStripe({ placed: 3 }), shardCount: 3 };
      const all = [...same, shuffled, double, short, newStripe({ placed: 5 }), newStripe({ placed: 0 })];
      await putStripes(store, all);
      const system = { ...newStripe(), profileName: systemProfileName };
      const content = { sizeBytes: 4096, spans: spansOf(extentsOf([system])) };
      await store.putSystemObject({ name: 'x', number: store.drawNumber(), ...content, stripes: [system] });
      const placements = await store.listPlacements();
      assert.deepEqual(withoutIds(placements), countPlacements([...all, system]));
      assert.equal(placements.length, 6);
      assert.equal(new Set(placements.map(({ id }) => id)).size, 6);
    }),
  );

  it(
    'names each profile of which there are live stripes once',
    withStore(make, async (store) => {
      await createBucket(store);
      assert.deepEqual(await store.listUsedProfiles(), []);
      const ofProfile = (profileName: string) => ({ ...newStripe(), profileName });
      const [first, other, ...more] = ['STANDARD', 'GLACIER_IR', 'STANDARD_IA', 'STANDARD'].map(ofProfile);
      // Of other shards than the others, so that profiles have several placements.
      const double = { ...ofProfile('GLACIER_IR'), shards: first!.shards.map((shard) => at(shard, 'p0')) };
      await putStripes(store, [first!, other!, double, ...more]);
      assert.deepEqual((await store.listUsedProfiles()).sort(), ['GLACIER_IR', 'STANDARD', 'STANDARD_IA']);
      for (const { id } of [other!, double]) await store.deleteVersion(remove(id));
      assert.deepEqual((await store.listUsedProfiles()).sort(), ['STANDARD', 'STANDARD_IA']);
    }),
  );

  it(
    'counts nothing of what was refused or taken back in the same batch, and keeps no placement without stripes',
    withStore(make, async (store) => {
      await createBucket(store);
      const kept = newStripe();
      await putStripes(store, [kept]);
      const [one, two, three] = ['new-1', 'new-2', 'new-3'].map(stripeAt);
      const condition = { kind: 'etag', etag: '*' } as const;
      const freed = newStripe();
      await putStripes(store, [freed]);
      await store.deleteVersion(remove(freed.id));
      await Promise.allSettled([
        store.putVersion(putRequest('a', { stripes: [one!, freed] })),
        store.putVersion(putRequest('b', { stripes: [two!] })),
        store.putVersion(putRequest('c', { stripes: [three!], condition })),
        store.deleteVersion(remove('b')),
      ]);
      await assert.rejects(store.putVersion(putRequest('a', { stripes: [one!, freed] })));
      assert.deepEqual(withoutIds(await store.listPlacements()), countPlacements([kept]));
      await putStripes(store, [one!]);
      assert.deepEqual(withoutIds(await store.listPlacements()), countPlacements([kept, one!]));
    }),
  );

  it(
    'tells which placements changed since a mark, and lists those that are wanted',
    withStore(make, async (store) => {
      await createBucket(store);
      const [a, b, c] = ['a', 'b', 'c'].map(stripeAt);
      await putStripes(store, [a!, b!]);
      const begun = await store.readPlacementChanges(undefined);
      assert.deepEqual([begun?.placements, begun?.goneIds], [[], []]);
      assert.deepEqual(await store.readPlacementChanges(begun?.mark), begun);
      const idAt = async (holder: string) =>
        (await store.listPlacements((each) => each.providers.includes(idOf(holder)))).map(({ id }) => id);
      const [goneIds, keptIds] = [await idAt('a'), await idAt('b')];
      assert.deepEqual([goneIds.length, keptIds.length], [1, 1]);
      await store.deleteVersion(remove(a!.id));
      await putStripes(store, [c!]);
      await store.loseShard(b!.id, b!.shards[1]!);
      const changes = await store.readPlacementChanges(begun?.mark);
      const degraded = { ...b!, shards: b!.shards.filter(({ index }) => index !== 1) };
      assert.deepEqual(withoutIds(changes!.placements), countPlacements([degraded, c!]));
      assert.deepEqual([...changes!.goneIds].sort(), [...goneIds, ...keptIds].sort());
      const later = await store.readPlacementChanges(changes?.mark);
      assert.deepEqual([later?.placements, later?.goneIds], [[], []]);
    }),
  );

  it(
    'gives a placement another id once it was empty',
    withStore(make, async (store) => {
      await createBucket(store);
      const stripes = [stripeAt('a'), stripeAt('b')];
      const idOfOnly = async () => (await store.listPlacements())[0]!.id;
      await putStripes(store, [stripes[0]!]);
      const first = await idOfOnly();
      await store.deleteVersion(remove(stripes[0]!.id));
      assert.deepEqual(await store.listPlacements(), []);
      await putStripes(store, [stripes[1]!]);
      assert.notEqual(await idOfOnly(), first);
      assert.deepEqual(await store.listPlacedStripes(first, undefined, 10), []);
    }),
  );

  it(
    'lists live stripes in order of id, all of them and those of one placement, page by page',
    withStore(make, async (store) => {
      await createBucket(store);
      const stripes = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => (n % 2 === 0 ? newStripe() : stripeAt('other')));
      await putStripes(store, stripes);
      await store.deleteVersion(remove(stripes[0]!.id));
      await store.deleteVersion(remove(stripes[1]!.id));
      const live = stripes.slice(2).toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const ids = (found: readonly Stripe[]) => found.map(({ id }) => id);
      assert.deepEqual(ids(await store.listStripes(undefined, 100)), ids(live));
      assert.deepEqual(ids(await store.listStripes(undefined, 2)), ids(live.slice(0, 2)));
      assert.deepEqual(ids(await store.listStripes(live[1]!.id, 3)), ids(live.slice(2, 5)));
      assert.deepEqual(await store.listStripes(live[5]!.id, 3), []);
      const placements = await store.listPlacements();
      const { id } = placements.find(({ providers }) => providers.includes(idOf('other')))!;
      const others = live.filter(({ shards }) => shards[0]!.providerId === 'other');
      assert.deepEqual(ids(await store.listPlacedStripes(id, undefined, 100)), ids(others));
      assert.deepEqual(ids(await store.listPlacedStripes(id, others[0]!.id, 1)), ids(others.slice(1, 2)));
      assert.deepEqual(await store.listPlacedStripes(987_654, undefined, 10), []);
    }),
  );

  it(
    'passes over any number of freed stripes',
    withStore(make, async (store) => {
      await createBucket(store);
      const numbered = (number: number) => {
        const id = number.toString(16).padStart(32, '0') as StripeId;
        return { ...newStripe(), id, shards: [placeShard(id, 0, 'p')] };
      };
      const freed = Array.from({ length: 500 }, (_, number) => numbered(number));
      await store.putVersion(putRequest('freed', { stripes: freed }));
      await store.deleteVersion(remove('freed'));
      await store.putVersion(putRequest('live', { stripes: [numbered(5000)] }));
      assert.deepEqual(
        (await store.listStripes(undefined, 2)).map(({ id }) => id),
        [numbered(5000).id],
      );
    }),
  );

  it(
    'is counted at one moment, though writes go on meanwhile',
    withStore(make, async (store) => {
      await createBucket(store);
      const count = 1500;
      const stripes = Array.from({ length: count }, (_, number) => ({
        ...newStripe({ placed: 1 }),
        shards: [placeShard(newStripe().id, 0, `p${number}`)],
      }));
      await store.putVersion(putRequest('many', { stripes }));
      let isListed = false;
      const listing = store.listPlacements().finally(() => {
        isListed = true;
      });
      let moved = 0;
      for (; !isListed; moved++) {
        await Promise.all([
          store.recordShard(stripes[moved]!.id, placeShard(stripes[moved]!.id, 0, `p${count - 1 - moved}`)),
          store.recordShard(stripes[count - 1 - moved]!.id, placeShard(stripes[moved]!.id, 0, `new-${moved}`)),
        ]);
      }
      assert.ok(moved > 0);
      const total = (await listing).reduce((sum, placement) => sum + placement.stripes, 0);
      assert.equal(total, count);
    }),
  );
}

function testLostShards(make: MakeStore): void {
  it(
    'keeps a shard that was lost until one of its index is recorded, and counts the stripe as degraded',
    withStore(make, async (store, clock) => {
      await createBucket(store);
      const stripe = newStripe();
      const { id, shards } = stripe;
      await putStripes(store, [stripe]);
      const [third, fifth] = [shards[2]!, shards[4]!];
      clock.nowMs += 5000;
      const lostAtMs = clock.nowMs;
      await store.loseShard(id, fifth);
      clock.nowMs += 5000;
      await store.loseShard(id, third);
      const isLeft = (shard: PlacedShard) => shard !== third && shard !== fifth;
      const found = await findStripe(store, id);
      assert.deepEqual([found.shards, found.lostShards], [shards.filter(isLeft), [third, fifth]]);
      assert.deepEqual(await store.listDegradedStripes(10), [found]);
      assert.equal((await store.countUsage()).degradedStripes, 1);
      assert.equal(await store.findOldestDegradedMs(), lostAtMs);
      assert.deepEqual(await store.knownShards([third.cid]), new Set([third.cid]));

      await store.recordShard(id, placeShard(id, 4, 'p9'));
      assert.deepEqual((await findStripe(store, id)).lostShards, [third]);
      assert.equal(await store.findOldestDegradedMs(), lostAtMs);
      await store.recordShard(id, third);
      const repaired = await findStripe(store, id);
      assert.deepEqual(
        repaired.shards.map(({ providerId }) => providerId),
        ['p0', 'p1', 'p2', 'p3', 'p9', 'p5'],
      );
      assert.equal('lostShards' in repaired, false);
      assert.equal(await store.findOldestDegradedMs(), undefined);
      assert.deepEqual(await store.listDegradedStripes(10), []);
      assert.equal((await store.countUsage()).degradedStripes, 0);
    }),
  );

  it(
    'loses nothing that is not recorded so',
    withStore(make, async (store) => {
      await createBucket(store);
      const stripe = newStripe();
      await putStripes(store, [stripe]);
      const shard = stripe.shards[1]!;
      await store.loseShard('f'.repeat(32) as StripeId, shard);
      await store.loseShard(stripe.id, { ...shard, providerId: idOf('p7') });
      await store.loseShard(stripe.id, { ...shard, cid: stripe.shards[2]!.cid });
      await store.loseShard(stripe.id, { ...shard, index: 2 });
      assert.deepEqual((await findStripe(store, stripe.id)).shards, stripe.shards);
      await store.loseShard(stripe.id, shard);
      await store.loseShard(stripe.id, shard);
      assert.deepEqual((await findStripe(store, stripe.id)).lostShards, [shard]);
    }),
  );

  it(
    'knows since when a stripe was degraded that came so, and forgets it when it is freed',
    withStore(make, async (store, clock) => {
      await createBucket(store);
      const [older, newer] = [newStripe({ placed: 5 }), newStripe({ placed: 5 })];
      const [olderMs, newerMs] = [clock.nowMs, clock.nowMs + 1000];
      await putStripes(store, [older]);
      clock.nowMs = newerMs;
      await putStripes(store, [newer]);
      assert.equal(await store.findOldestDegradedMs(), olderMs);
      await store.deleteVersion(remove(older.id));
      assert.equal(await store.findOldestDegradedMs(), newerMs);
      await store.deleteVersion(remove(newer.id));
      assert.equal(await store.findOldestDegradedMs(), undefined);
    }),
  );

  it(
    'carries lost shards, and since when they are, among the records',
    withStore(make, async (store, clock) => {
      await createBucket(store);
      const stripe = newStripe();
      await putStripes(store, [stripe]);
      const lostAtMs = clock.nowMs;
      await store.loseShard(stripe.id, stripe.shards[3]!);
      const into = await make({ clock: createClock(clock.nowMs + 60_000) });
      await into.store.importRecords((await store.readRecords(undefined, 100)).records);
      await into.store.finishImport();
      assert.deepEqual(await findStripe(into.store, stripe.id), await findStripe(store, stripe.id));
      assert.equal(await into.store.findOldestDegradedMs(), lostAtMs);
      await into.store.putProvider(providerRecord('p3'));
      await assertInUse(into.store.forgetProvider(idOf('p3')));
      await into.cleanUp();
    }),
  );

  it(
    'tells what is recorded at one provider from what another has',
    withStore(make, async (store) => {
      await createBucket(store);
      const [stripe, freed] = [newStripe(), newStripe()];
      await putStripes(store, [stripe, freed]);
      await store.deleteVersion(remove(freed.id));
      await store.loseShard(stripe.id, stripe.shards[1]!);
      const cids = [...stripe.shards, ...freed.shards].map(({ cid }) => cid);
      for (const index of [0, 1]) {
        const there = [stripe.shards[index]!.cid, freed.shards[index]!.cid];
        assert.deepEqual(await store.knownShards(cids, idOf(`p${index}`)), new Set(there));
      }
      await store.recordShard(stripe.id, placeShard(stripe.id, 1, 'p9'));
      const { cid } = stripe.shards[1]!;
      assert.deepEqual(await store.knownShards([cid], idOf('p1')), new Set());
      assert.deepEqual(await store.knownShards([cid], idOf('p9')), new Set([cid]));
      assert.deepEqual(await store.knownShards([cid], idOf('stranger')), new Set());
    }),
  );
}

function at(shard: PlacedShard, name: string): PlacedShard {
  return { ...shard, providerId: idOf(name) };
}
