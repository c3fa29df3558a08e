import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId, ProviderRecord, StripeId } from '../../core/model.ts';
import { Fleet, type FleetEntry } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { memberOf, recordOf } from '../harness/member-of.ts';

const clock = { nowMs: 1_000_000, now: () => clock.nowMs };

function member(id: string, settings: Partial<ProviderRecord> = {}): FleetEntry {
  return memberOf(createMemoryProvider({ id: id as ProviderId }), settings);
}

function createFleet(
  members: readonly FleetEntry[],
  metrics = new Metrics(),
): { fleet: Fleet; health: ProviderHealth } {
  const health = new ProviderHealth({ clock, suspectMs: 10_000 });
  return { fleet: new Fleet({ members, health, clock, metrics, lostAfterMs: 60_000 }), health };
}

let stripes = 0;

function takeAll(fleet: Fleet, shape = { k: 2, m: 1 }, holders: string[] = []): string[] {
  stripes += 1;
  const id = stripes.toString(16).padStart(32, '0') as StripeId;
  const placer = fleet.placeStripe({ id, ...shape, holders: holders as ProviderId[] });
  const taken: string[] = [];
  for (let provider = placer.take(); provider; provider = placer.take()) taken.push(provider.id);
  return taken;
}

describe('a fleet', () => {
  it('calls providers that are active or draining, and no others', () => {
    const states = ['joining', 'active', 'suspended', 'draining', 'gone'] as const;
    const { fleet } = createFleet(states.map((state) => member(state, { state })));
    const found = states.filter((id) => fleet.find(id as string as ProviderId));
    assert.deepEqual(found, ['active', 'draining']);
    assert.deepEqual(
      fleet.members.map(({ provider }) => provider.id as string),
      ['active', 'draining'],
    );
    assert.equal(fleet.records.length, 5);
  });

  it('gives new shards to active providers only', () => {
    const states = ['joining', 'active', 'suspended', 'draining', 'gone'] as const;
    const { fleet } = createFleet(states.map((state) => member(state, { state })));
    assert.deepEqual(takeAll(fleet), ['active']);
  });

  it('says of each provider how it stands', () => {
    const { fleet, health } = createFleet([
      member('up'),
      member('ill'),
      member('out', { state: 'suspended' }),
      member('gone', { state: 'gone' }),
      { record: recordOf('late'), downSinceMs: clock.nowMs - 59_000 },
      { record: recordOf('dead'), downSinceMs: clock.nowMs - 60_000 },
    ]);
    health.recordFailure('ill' as ProviderId, true);
    const standings = ['up', 'ill', 'out', 'gone', 'late', 'dead', 'stranger'].map((id) => {
      return fleet.standingOf(id as ProviderId);
    });
    assert.deepEqual(standings, ['up', 'down', 'down', 'lost', 'down', 'lost', 'lost']);
    clock.nowMs += 60_000;
    assert.equal(fleet.standingOf('ill' as ProviderId), 'lost');
    assert.equal(fleet.standingOf('out' as ProviderId), 'down');
  });

  it('hands out each provider once, those under suspicion and those that are full last', () => {
    const { fleet, health } = createFleet(['a', 'b', 'c', 'd', 'e'].map((id) => member(id)));
    health.recordFailure('a' as ProviderId);
    health.of('b' as ProviderId).refuse();
    const taken = takeAll(fleet);
    assert.deepEqual(taken.toSorted(), ['a', 'b', 'c', 'd', 'e']);
    assert.deepEqual(taken.slice(3), ['b', 'a']);
  });

  it('never hands out a holder, and counts it by the spread rule', () => {
    const { fleet } = createFleet([
      member('a1', { operator: 'a' }),
      member('a2', { operator: 'a' }),
      member('b1', { operator: 'b' }),
      member('c1', { operator: 'c' }),
    ]);
    for (let i = 0; i < 20; i++) {
      const taken = takeAll(fleet, { k: 2, m: 1 }, ['a1']);
      assert.deepEqual(taken.slice(0, 2).toSorted(), ['b1', 'c1']);
      assert.equal(taken[2], 'a2');
    }
  });

  it('has room again in the operator of a provider that was given back', () => {
    const { fleet } = createFleet([
      member('a1', { operator: 'a' }),
      member('a2', { operator: 'a' }),
      member('b1', { operator: 'b' }),
      member('b2', { operator: 'b' }),
    ]);
    for (let i = 0; i < 20; i++) {
      stripes += 1;
      const placer = fleet.placeStripe({ id: stripes.toString(16).padStart(32, '0') as StripeId, k: 1, m: 1 });
      const first = placer.take()!;
      placer.take();
      placer.giveBack(first);
      assert.equal(placer.take()!.id[0], first.id[0]);
    }
  });

  it('counts the stripes for which the spread rule cannot be kept, by level', async () => {
    const metrics = new Metrics();
    const labels = [
      { operator: 'a', country: 'x' },
      { operator: 'a', country: 'y' },
      { operator: 'a', country: 'z' },
    ];
    const { fleet } = createFleet(
      labels.map((label, i) => member(`p${i}`, label)),
      metrics,
    );
    takeAll(fleet);
    takeAll(fleet);
    const { values } = await metrics.spreadViolations.get();
    const counts = Object.fromEntries(values.map(({ labels, value }) => [labels.level, value]));
    assert.deepEqual(counts, { operator: 2, country: 0, zone: 0 });
  });

  it('changes while placers and providers of before are in use', () => {
    const before = ['a', 'b', 'c'].map((id) => member(id));
    const { fleet } = createFleet(before);
    const placer = fleet.placeStripe({ id: '1'.repeat(32) as StripeId, k: 1, m: 1 });
    fleet.apply([member('d')]);
    assert.ok(['a', 'b', 'c'].includes(placer.take()!.id));
    assert.equal(fleet.find('a' as ProviderId), undefined);
    assert.equal(fleet.standingOf('a' as ProviderId), 'lost');
    assert.deepEqual(takeAll(fleet), ['d']);
  });

  it('sends new data where there is space, in steps', () => {
    const { fleet } = createFleet(['a', 'b', 'c', 'd'].map((id) => member(id)));
    const measure = (free: Record<string, number>) =>
      fleet.setCapacities(
        new Map(Object.entries(free).map(([id, freeBytes]) => [id as ProviderId, { totalBytes: 1_000, freeBytes }])),
      );
    measure({ a: 400, b: 200, c: 200, d: 200 });
    const before = firstPlaces(fleet);
    assertShares(before, { a: 0.4, b: 0.2, c: 0.2, d: 0.2 });
    measure({ a: 380, b: 200, c: 200, d: 200 });
    assert.deepEqual(firstPlaces(fleet), before);
    measure({ a: 200, b: 200, c: 200, d: 0 });
    assertShares(firstPlaces(fleet), { a: 1 / 3, b: 1 / 3, c: 1 / 3 });
    assert.equal(takeAll(fleet)[3], 'd');
  });

  it('takes a provider that knows no bound for one as large as the largest', () => {
    const { fleet } = createFleet(['a', 'b', 'c'].map((id) => member(id)));
    fleet.setCapacities(
      new Map([
        ['a' as ProviderId, { totalBytes: 2 ** 50, freeBytes: 2 ** 50 }],
        ['b' as ProviderId, { totalBytes: 400, freeBytes: 200 }],
        ['c' as ProviderId, { totalBytes: 400, freeBytes: 100 }],
      ]),
    );
    assertShares(firstPlaces(fleet), { a: 0.4, b: 0.4, c: 0.2 });
  });
});

/** Where the only shard of each of some stripes goes. */
function firstPlaces(fleet: Fleet): string[] {
  return Array.from({ length: 4_000 }, (_, n) => {
    const id = createHash('sha256').update(String(n)).digest('hex').slice(0, 32) as StripeId;
    return fleet.placeStripe({ id, k: 1, m: 0 }).take()!.id;
  });
}

/** Four times what chance moves them by. */
function assertShares(places: readonly string[], expected: Readonly<Record<string, number>>): void {
  const ids = new Set([...places, ...Object.keys(expected)]);
  for (const id of ids) {
    const share = places.filter((place) => place === id).length / places.length;
    assert.ok(Math.abs(share - (expected[id] ?? 0)) < 0.032, `${id} was given ${share}`);
  }
}
