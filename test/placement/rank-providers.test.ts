import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderId, StripeId } from '../../core/model.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { type FleetMember, rankProviders } from '../../placement/rank-providers.ts';

const stripeCount = 20_000;
/** Ids with the same time, as a busy millisecond makes them. */
const stripeIds = Array.from({ length: stripeCount }, (_, i) => {
  return `0193a1b2c3d4${createHash('sha256').update(String(i)).digest('hex').slice(0, 20)}` as StripeId;
});

function makeMembers(weights: readonly number[]): FleetMember[] {
  return weights.map((weight, i) => ({ provider: createMemoryProvider({ id: `p${i + 1}` as ProviderId }), weight }));
}

/** How often each member is among the first `places`. */
function countPlaces(members: readonly FleetMember[], places: number): Map<ProviderId, number> {
  const counts = new Map<ProviderId, number>(members.map((member) => [member.provider.id, 0]));
  for (const stripeId of stripeIds) {
    for (const { provider } of rankProviders(stripeId, members).slice(0, places)) {
      counts.set(provider.id, counts.get(provider.id)! + 1);
    }
  }
  return counts;
}

const someMembers = fc
  .array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 12 })
  .map((weights) => makeMembers(weights));
const someStripe = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex') as StripeId);

describe('ranking of providers', () => {
  it('gives each provider first place within 5 % of its weight', () => {
    for (const weights of [
      [1, 1, 1, 1, 1, 1],
      [1, 1, 2, 4],
      [3, 1],
      [2.5, 5, 2.5],
    ]) {
      const members = makeMembers(weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const counts = countPlaces(members, 1);
      for (const { provider, weight } of members) {
        const share = counts.get(provider.id)! / ((stripeCount * weight) / total);
        assert.ok(Math.abs(share - 1) < 0.05, `${provider.id} of ${weights} took ${share} of its share`);
      }
    }
  });

  it('spreads the shards of 4+2 evenly over ten equal providers', () => {
    const counts = countPlaces(makeMembers(Array(10).fill(1)), 6);
    for (const [id, count] of counts) {
      assert.ok(Math.abs(count / (stripeCount * 0.6) - 1) < 0.05, `${id} took ${count}`);
    }
  });

  it('ranks every member once, and the same for everybody', () => {
    fc.assert(
      fc.property(someStripe, someMembers, fc.nat(), (stripeId, members, turn) => {
        const ranked = rankProviders(stripeId, members).map((member) => member.provider.id);
        assert.equal(new Set(ranked).size, members.length);
        const turned = [...members.slice(turn % members.length), ...members.slice(0, turn % members.length)];
        // Other objects with the same ids, as another gateway has them.
        const elsewhere = turned.map(({ provider, weight }) => ({
          provider: createMemoryProvider({ id: provider.id }),
          weight,
        }));
        assert.deepEqual(
          rankProviders(stripeId, elsewhere).map((member) => member.provider.id),
          ranked,
        );
      }),
    );
  });

  it('keeps the order of the others when a member joins, leaves or changes its weight', () => {
    fc.assert(
      fc.property(someStripe, someMembers, fc.integer({ min: 1, max: 100 }), (stripeId, members, weight) => {
        const before = rankProviders(stripeId, members);
        const joined = { provider: createMemoryProvider({ id: 'new' as ProviderId }), weight };
        const after = rankProviders(stripeId, [...members, joined]);
        assert.deepEqual(
          after.filter((member) => member !== joined),
          before,
        );
      }),
    );
  });

  it('moves only what the new member takes', () => {
    const members = makeMembers([1, 1, 1, 1, 1]);
    const joined = { provider: createMemoryProvider({ id: 'p6' as ProviderId }), weight: 1 };
    let moved = 0;
    for (const stripeId of stripeIds) {
      const before = rankProviders(stripeId, members)[0]!;
      const after = rankProviders(stripeId, [...members, joined])[0]!;
      if (after === before) continue;
      assert.equal(after, joined);
      moved += 1;
    }
    assert.ok(Math.abs(moved / (stripeCount / 6) - 1) < 0.05, `${moved} moved`);
  });

  it('refuses a weight that is not above 0', () => {
    for (const weight of [0, -1, Number.NaN]) {
      assert.throws(() => rankProviders(stripeIds[0]!, makeMembers([weight])), RangeError);
    }
  });
});
