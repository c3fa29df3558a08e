import type { ProviderId, Stripe } from '../../core/model.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { Standing } from '../../placement/fleet.ts';

/** How providers stand, for as long as somebody counts. */
export type StandingOf = (id: ProviderId) => Standing;

/** What can be said of a stripe, or of all that lie alike. */
export interface Redundancy {
  /** How many further shards it can lose now, where those at providers that are down count as lost; below 0 it cannot be read now. */
  readonly margin: number;
  /** The same once every provider that is expected back is back; below 0 it is lost. */
  readonly finalMargin: number;
  /** Shards that are to be rebuilt: those that no provider holds from which they can be expected. */
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
  let up = 0;
  let down = 0;
  for (const id of holders) {
    const standing = standingOf(id);
    if (standing === 'up') up += 1;
    else if (standing === 'down') down += 1;
  }
  const needed = shardCount - m;
  return { margin: up - needed, finalMargin: up + down - needed, lacking: shardCount - up - down };
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
