import { inclusionRates } from './inclusion-rates.ts';
import { type HashWords, mixWord } from './rendezvous.ts';
import type { SpreadGroups } from './spread-groups.ts';

/** What depends on the shape of a stripe and on nothing else of it. */
export interface StripeShape {
  /** How many shards a stripe has. */
  readonly shardCount: number;
  /** How many of them one operator, country or zone should hold at most. */
  readonly cap: number;
}

/** Members that are always taken draw so fast that nobody comes before them; the other way round for those that never are. */
const certainRate = 1e12;
const certainShare = 1 - 1e-6;
const negligibleShare = 1e-9;

/**
 * At which rate each member has to draw to get its share: exact where no group is so large that the spread rule binds,
 * and near where one is.
 *
 * @param shares by member, from `targetShares`; 0 for members that take nothing, and get the rate 0
 * @param takers members that take new shards
 */
export function firstRates(
  shares: Float64Array,
  takers: readonly number[],
  groups: SpreadGroups,
  { shardCount, cap }: StripeShape,
): Float64Array {
  const rates = new Float64Array(shares.length);
  const uncertain: number[] = [];
  let certain = 0;
  for (const member of takers) {
    const share = shares[member]!;
    if (share >= certainShare) certain += 1;
    else if (share > negligibleShare) uncertain.push(member);
    rates[member] = share >= certainShare ? certainRate : 1 / certainRate;
  }
  setRates(rates, shares, uncertain, shardCount - certain);
  const done = new Set<number>();
  for (const group of bindingGroups(takers, groups, cap)) {
    const members = uncertain.filter((member) => groups.isIn(member, group) && !done.has(member));
    const count = members.reduce((sum, member) => sum + shares[member]!, 0);
    const others = takers.filter((member) => groups.isIn(member, group) && shares[member]! >= certainShare).length;
    // Its fill is drawn within the group, as if there were no others.
    if (Math.abs(count + others - cap) > 1e-6 || Math.round(count) < 1) continue;
    setRates(rates, shares, members, Math.round(count));
    for (const member of members) done.add(member);
  }
  return rates;
}

function setRates(rates: Float64Array, shares: Float64Array, members: readonly number[], count: number): void {
  if (members.length <= count) return;
  const own = members.map((member) => shares[member]!);
  inclusionRates(own, count).forEach((rate, at) => {
    rates[members[at]!] = rate;
  });
}

/** Groups with more members than shards are allowed: only there can the spread rule pass over a member. */
export function bindingGroups(takers: readonly number[], groups: SpreadGroups, cap: number): number[] {
  const counts = new Int16Array(groups.count);
  for (const member of takers) groups.add(counts, member, 1);
  return Array.from(counts.keys()).filter((group) => counts[group]! > cap);
}

const correctionRounds = 5;
/** Members looked at in the trials of one round, about: enough for a small fleet to be right within a percent or two. */
const trialBudget = 2 ** 18;
const maxTrialBits = 13;
const trialsPerStep = 256;
const correctionGain = 0.8;
/** Of the deviation that chance would bring about: so much is left as it is, so that nothing moves for it. */
const ignoredNoise = 0.5;

/**
 * Corrects rates where the spread rule binds: places stripes for trial, and lets those draw faster that got too few.
 * The trials are always the same, so the outcome is too. Each step takes a few milliseconds at most.
 *
 * @param tryPlace fills in the members that a trial stripe is given, when each has drawn the number that `draw` says
 */
export function* correctRates(
  rates: Float64Array,
  shares: Float64Array,
  hashes: readonly HashWords[],
  tryPlace: (rates: Float64Array, draw: (member: number) => number) => readonly number[],
): Generator<void> {
  const bits = Math.min(maxTrialBits, Math.floor(Math.log2(trialBudget / rates.length)));
  const trials = 2 ** bits;
  for (let round = 0; round < correctionRounds; round++) {
    const taken = new Float64Array(rates.length);
    for (let trial = 0; trial < trials; trial++) {
      const draw = (member: number): number => (shuffle(trial, hashes[member]!, bits) + 0.5) / trials;
      for (const member of tryPlace(rates, draw)) taken[member]! += 1;
      if (trial % trialsPerStep === trialsPerStep - 1) yield;
    }
    for (let member = 0; member < rates.length; member++) {
      const target = shares[member]!;
      if (target <= negligibleShare || target >= certainShare) continue;
      const found = (taken[member]! + 0.1) / trials;
      const noise = ignoredNoise * Math.sqrt((target * (1 - target)) / trials);
      const excess = Math.sign(found - target) * Math.max(0, Math.abs(found - target) - noise);
      rates[member]! *= clamp((target / (target + excess)) ** correctionGain, 1 / 8, 8);
    }
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}

/**
 * One of the orders of the numbers below 2^bits, by the member: over all trials each member draws every number once,
 * which leaves less to chance than drawing at random (Latin hypercube sampling: McKay, Beckman and Conover, 1979).
 */
function shuffle(number: number, key: HashWords, bits: number): number {
  const mask = 2 ** bits - 1;
  const half = (bits + 1) >> 1;
  let h = number;
  for (let round = 0; round < 4; round++) {
    const word = mixWord(key[round & 1]! + round);
    h = Math.imul(h ^ (word & mask), (word >>> 8) | 1) & mask;
    h ^= h >> half;
  }
  return h;
}
