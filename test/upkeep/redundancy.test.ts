import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderId, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import { countMargins, judgePlacement, judgeStripe, nameMargin } from '../../engine/upkeep/redundancy.ts';
import { RepairOrder } from '../../engine/upkeep/repair-order.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { Standing } from '../../placement/fleet.ts';

const standings = fc.array(fc.constantFrom<Standing>('up', 'down', 'lost'), { minLength: 12, maxLength: 12 });

const placement = fc
  .record({
    k: fc.integer({ min: 1, max: 6 }),
    m: fc.integer({ min: 0, max: 4 }),
    rows: fc.integer({ min: 1, max: 3 }),
    tail: fc.integer({ min: 1, max: 5 * 4096 }),
    holders: fc.shuffledSubarray(Array.from({ length: 12 }, (_, at) => `p${at}` as ProviderId)),
    stripes: fc.integer({ min: 1, max: 1_000 }),
    storedBytes: fc.integer({ min: 1, max: 1e9 }),
  })
  .map(({ k, m, rows, tail, holders, ...counts }): { placement: Placement; stripe: Stripe } => {
    const dataBytes = (rows - 1) * k * 4096 + Math.min(tail, k * 4096);
    const geometry = { k, m, blockBytes: 4096, dataBytes };
    const shardCount = storedShardCount(geometry);
    const providers = holders.slice(0, shardCount);
    const shards = providers.map((providerId, index) => ({ index, providerId, cid: `${index}` as ShardCid }));
    return {
      placement: { id: 0, profileName: 'STANDARD', k, m, shardCount, providers, ...counts },
      stripe: { id: '0'.repeat(32) as StripeId, profileName: 'STANDARD', ...geometry, manifestBytes: 0, shards },
    };
  });

const fleet = fc.tuple(fc.array(placement, { maxLength: 30 }), standings);

function lookUp(all: readonly Standing[]): (id: ProviderId) => Standing {
  return (id) => all[Number(id.slice(1))]!;
}

describe('redundancy', () => {
  it('is told alike of a placement and of a stripe in it, and means what it says', () =>
    fc.assert(
      fc.property(placement, standings, ({ placement: one, stripe }, all) => {
        const standingOf = lookUp(all);
        const redundancy = judgePlacement(one, standingOf);
        assert.deepEqual(judgeStripe(stripe, standingOf), redundancy);
        const up = one.providers.filter((id) => standingOf(id) === 'up').length;
        const down = one.providers.filter((id) => standingOf(id) === 'down').length;
        // It can be read with as many shards as it has less m.
        const needed = one.shardCount - one.m;
        assert.equal(redundancy.margin, up - needed);
        assert.equal(redundancy.lacking, one.shardCount - up - down);
        const margin = nameMargin(redundancy);
        if (margin === 'lost') assert.ok(up + down < needed);
        else if (margin === 'unavailable') assert.ok(up < needed && up + down >= needed);
        else assert.ok(up - margin === needed);
      }),
    ));

  it('is what providers can be lost, also where one of them has several shards', () =>
    fc.assert(
      fc.property(
        placement,
        fc.array(fc.nat({ max: 5 }), { minLength: 10, maxLength: 10 }),
        ({ placement: one }, at) => {
          const providers = one.providers.map((_, shard) => `p${at[shard % at.length]}` as ProviderId);
          const { margin, finalMargin, lacking } = judgePlacement({ ...one, providers }, () => 'up');
          assert.equal(finalMargin, margin);
          const distinct = [...new Set(providers)];
          assert.equal(lacking, one.shardCount - distinct.length);
          const needed = one.shardCount - one.m;
          if (providers.length < needed) return assert.equal(margin, providers.length - needed);
          // The fewest whose loss makes it unreadable, of all subsets.
          let fewest = distinct.length + 1;
          for (let subset = 0; subset < 2 ** distinct.length; subset++) {
            const lost = distinct.filter((_, bit) => (subset >> bit) % 2 === 1);
            const left = providers.filter((id) => !lost.includes(id)).length;
            if (left < needed) fewest = Math.min(fewest, lost.length);
          }
          return assert.equal(margin, fewest - 1);
        },
      ),
    ));

  it('counts every stripe and every byte once, at every margin there can be', () =>
    fc.assert(
      fc.property(fleet, ([all, stands]) => {
        const placements = all.map((each, id) => ({ ...each.placement, id }));
        const counts = countMargins(placements, lookUp(stands), 2);
        const sum = (
          of: (one: { stripes: number; storedBytes: number }) => number,
          from: readonly { stripes: number; storedBytes: number }[],
        ) => from.reduce((total, one) => total + of(one), 0);
        assert.equal(
          sum(({ stripes }) => stripes, counts),
          sum(({ stripes }) => stripes, placements),
        );
        assert.equal(
          sum(({ storedBytes }) => storedBytes, counts),
          sum(({ storedBytes }) => storedBytes, placements),
        );
        const margins = counts.map(({ margin }) => margin);
        assert.deepEqual(margins.slice(-4), [1, 0, 'unavailable', 'lost']);
        assert.equal(new Set(margins).size, margins.length);
      }),
    ));

  it('puts first what can bear the fewest losses, what cannot be read last, and leaves out what lacks nothing', () =>
    fc.assert(
      fc.property(fleet, ([all, stands]) => {
        const placements = all.map((each, id) => ({ ...each.placement, id }));
        const standingOf = lookUp(stands);
        const order = new RepairOrder();
        for (const each of placements) {
          const redundancy = judgePlacement(each, standingOf);
          // One that stood otherwise before, and one that is whole by now.
          order.set(each.id, { placement: each, redundancy: { margin: 1, finalMargin: 1, lacking: 1 } });
          if (redundancy.lacking > 0) order.set(each.id, { placement: each, redundancy });
          else order.delete(each.id);
        }
        const ranked = [...order];
        assert.equal(order.size, ranked.length);
        const lacking = placements.filter((each) => judgePlacement(each, standingOf).lacking > 0);
        assert.deepEqual(new Set(ranked.map((each) => each.placement.id)), new Set(lacking.map(({ id }) => id)));
        const margins = ranked.map(({ redundancy }) => redundancy.margin);
        const readable = margins.filter((margin) => margin >= 0);
        assert.deepEqual(
          margins.slice(0, readable.length),
          readable.toSorted((a, b) => a - b),
        );
      }),
    ));
});
