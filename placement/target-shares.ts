import { noGroup, type SpreadGroups } from './spread-groups.ts';

/**
 * Of how many of all stripes each member should hold a shard: as its weight says, as far as that can be. None can hold
 * two shards of a stripe, and no group more than `cap`; what one cannot take the others share by their weights (max-min
 * fairness by progressive filling: Bertsekas and Gallager, Data Networks, 1992, section 6.5.2). Where the spread rule
 * cannot be kept with so many shards, it is given up for what is left.
 *
 * @param weights above 0
 * @param count shards of a stripe
 * @param groups whose members are these, in this order
 * @returns numbers from 0 to 1, whose sum is `count`, or the number of members where there are fewer
 */
export function targetShares(
  weights: ArrayLike<number>,
  { count, cap, groups }: { count: number; cap: number; groups: SpreadGroups },
): Float64Array {
  const shares = new Float64Array(weights.length);
  const total = Math.min(count, weights.length);
  const left = fill(shares, weights, total, { groups, cap });
  if (left > 1e-9) fill(shares, weights, left, undefined);
  return shares;
}

/** Raises all shares at the same pace, by weight, until each is held by something. Returns what could not be given. */
function fill(
  shares: Float64Array,
  weights: ArrayLike<number>,
  total: number,
  spread: { groups: SpreadGroups; cap: number } | undefined,
): number {
  const active = new Set<number>();
  for (let member = 0; member < shares.length; member++) if (shares[member]! < 1) active.add(member);
  const room = new Float64Array(spread?.groups.count ?? 0).fill(spread?.cap ?? 0);
  let left = total;
  while (left > 1e-12 && active.size > 0) {
    const paces = new Float64Array(room.length);
    let pace = 0;
    let step = Number.POSITIVE_INFINITY;
    for (const member of active) {
      const weight = weights[member]!;
      pace += weight;
      step = Math.min(step, (1 - shares[member]!) / weight);
      for (const group of groupsOf(spread, member)) paces[group]! += weight;
    }
    step = Math.min(step, left / pace);
    for (let group = 0; group < room.length; group++) {
      if (paces[group]! > 0) step = Math.min(step, room[group]! / paces[group]!);
    }
    for (const member of active) shares[member]! += step * weights[member]!;
    for (let group = 0; group < room.length; group++) room[group]! -= step * paces[group]!;
    left -= step * pace;
    for (const member of active) {
      const isHeld = groupsOf(spread, member).some((group) => room[group]! < 1e-9);
      if (isHeld || shares[member]! > 1 - 1e-9) active.delete(member);
    }
  }
  return left;
}

function groupsOf(spread: { groups: SpreadGroups } | undefined, member: number): number[] {
  if (spread === undefined) return [];
  return spread.groups.of.map((groups) => groups[member]!).filter((group) => group !== noGroup);
}
