import type { ProviderId, Stripe } from '../../core/model.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { Standing } from '../../placement/fleet.ts';

/** How providers stand, for as long as somebody counts. */
export type StandingOf = (id: ProviderId) => Standing;

/** What can be said of a stripe, or of all that lie alike. */
export interface Redundancy {
  /**
   * How many further providers it can lose now, whichever they are, where those that are down count as lost; below 0 it cannot be
   * read now. That is how many shards it can lose, as long as no two lie at one provider.
   */
  readonly margin: number;
  /** The same once every provider that is expected back is back; below 0 it is lost. */
  readonly finalMargin: number;
  /** Shards that are to be rebuilt: those that no provider holds from which they can be expected, and all but one of those at one provider. */
  readonly lacking: number;
}

/**
 * Where a stripe stands: how many further shards it can lose; `unavailable` where it cannot be read until a provider that is
 * down comes back, `lost` where that would not help.
 */
export type Margin = number | 'unavailable' | 'lost';

export interface MarginCount {
  readonly margin: Margin;
  readonly stripes: number;
  /** What their shards take at the providers, those that are lost included. */
  readonly storedBytes: number;
}

export function judgePlacement(placement: Placement, standingOf: StandingOf): Redundancy {
  return judge(placement, placement.providers, standingOf);
}

export function judgeStripe(stripe: Stripe, standingOf: StandingOf): Redundancy {
  const holders = stripe.shards.map(({ providerId }) => providerId);
  return judge({ m: stripe.m, shardCount: storedShardCount(stripe) }, holders, standingOf);
}

function judge(
  { m, shardCount }: Pick<Placement, 'm' | 'shardCount'>,
  holders: readonly ProviderId[],
  standingOf: StandingOf,
): Redundancy {
  const up: ProviderId[] = [];
  const expected: ProviderId[] = [];
  for (const id of holders) {
    const standing = standingOf(id);
    if (standing === 'up') up.push(id);
    if (standing !== 'lost') expected.push(id);
  }
  const needed = shardCount - m;
  // Hardly ever any, and all placements are judged whenever a provider comes or goes.
  const doubled = expected.reduce((count, id, at) => count + Number(expected.indexOf(id) < at), 0);
  if (doubled === 0) {
    const lacking = shardCount - expected.length;
    return { margin: up.length - needed, finalMargin: expected.length - needed, lacking };
  }
  return {
    margin: countBearable(up, needed),
    finalMargin: countBearable(expected, needed),
    lacking: shardCount - expected.length + doubled,
  };
}

/**
 * How many providers can be lost, whichever they are, until fewer than `needed` shards are left.
 *
 * @param holders a provider for each shard
 * @returns below 0 where there are fewer already: minus how many are lacking
 */
export function countBearable(holders: readonly ProviderId[], needed: number): number {
  let left = holders.length - needed;
  if (left < 0) return left;
  const held = Array.from(Map.groupBy(holders, (id) => id).values(), ({ length }) => length);
  let bearable = 0;
  for (const shards of held.sort((a, b) => b - a)) {
    left -= shards;
    if (left < 0) break;
    bearable += 1;
  }
  return bearable;
}

export function nameMargin({ margin, finalMargin }: Redundancy): Margin {
  if (finalMargin < 0) return 'lost';
  return margin < 0 ? 'unavailable' : margin;
}

/** Sorts margins: the best first, lost last. */
export function compareMargins(a: Margin, b: Margin): number {
  return rank(b) - rank(a);
}

function rank(margin: Margin): number {
  if (margin === 'lost') return -2;
  return margin === 'unavailable' ? -1 : margin;
}

/**
 * How many stripes and bytes stand at each margin: every one from the highest to 0, unavailable, lost, also where there are none.
 *
 * @param maxMargin the highest m of all profiles; placements of a higher one add to it
 */
export function countMargins(
  placements: readonly Placement[],
  standingOf: StandingOf,
  maxMargin: number,
): MarginCount[] {
  const counts = new Map<Margin, { stripes: number; storedBytes: number }>();
  const highest = placements.reduce((most, { m }) => Math.max(most, m), maxMargin);
  const margins: Margin[] = [...Array.from({ length: highest + 1 }, (_, at) => highest - at), 'unavailable', 'lost'];
  for (const margin of margins) counts.set(margin, { stripes: 0, storedBytes: 0 });
  for (const placement of placements) {
    const count = counts.get(nameMargin(judgePlacement(placement, standingOf)))!;
    count.stripes += placement.stripes;
    count.storedBytes += placement.storedBytes;
  }
  return margins.map((margin) => ({ margin, ...counts.get(margin)! }));
}

/** Standings as they are now, looked up once each, so that one count does not change in the middle. */
export function freezeStandings(standingOf: StandingOf): StandingOf {
  const known = new Map<ProviderId, Standing>();
  return (id) => {
    const standing = known.get(id) ?? standingOf(id);
    known.set(id, standing);
    return standing;
  };
}
