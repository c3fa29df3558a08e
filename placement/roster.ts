import type { ProviderId, StripeId } from '../core/model.ts';
import { chooseSpread, countExcess } from './choose-spread.ts';
import { bindingGroups, correctRates, firstRates, type StripeShape } from './draw-rates.ts';
import { drawNumber, type HashWords, hashWords, mixWord, stripeWords } from './rendezvous.ts';
import { SpreadGroups, type SpreadLabels } from './spread-groups.ts';
import { targetShares } from './target-shares.ts';

/** A provider as placement sees it. */
export interface RosterMember extends SpreadLabels {
  /** How much new data it should take, relative to the others; 0 for one that takes none, whose shards count all the same. */
  readonly weight: number;
}

/** What places are wanted for. */
export interface PlacesWanted extends StripeShape {
  readonly id: StripeId;
  /** Who holds shards of the stripe already: not to be chosen, but counted by the spread rule. */
  readonly holders: readonly ProviderId[];
  /** Others that are not to be chosen. */
  readonly excluded?: ReadonlySet<ProviderId>;
  /** How many; there may be fewer. */
  readonly count: number;
}

export interface ChosenPlaces {
  /** Indexes of members, in the order in which they are to be asked. */
  readonly members: readonly number[];
  /** By level of the spread rule: how many shards there are beyond the cap in groups that this choice adds to. */
  readonly excess: readonly number[];
}

/**
 * The members of a fleet at one moment, made ready for placing stripes on them. Which members a stripe is given follows
 * from its id and from the members' ids, weights and labels, and from nothing else, but for the tiers that the caller
 * names (who is not well at the moment).
 *
 * Each member gets its share of all stripes (`targetShares`), and when one joins, leaves or changes, hardly more moves than
 * has to: every member draws a number for the stripe by itself, at a rate that follows from its share (`inclusionRates`).
 * The first ones are taken, but those passed over whose operator, country or zone has its fill. Where that leads into a
 * corner, the best way out is computed (`chooseSpread`).
 */
export class Roster {
  readonly members: readonly RosterMember[];
  readonly #groups: SpreadGroups;
  readonly #hashes: readonly HashWords[];
  /** Members that take new shards. */
  readonly #takers: readonly number[];
  readonly #shapes = new Map<
    string,
    { readonly rates: Float64Array; readonly correction: Iterator<void> | undefined }
  >();
  #isSettled = true;
  /** When each member comes for the stripe at hand. */
  readonly #times: Float64Array;

  /** @throws RangeError for a weight that is below 0 or no number */
  constructor(members: readonly RosterMember[]) {
    for (const { id, weight } of members) {
      if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) {
        throw new RangeError(`provider ${id} has the weight ${weight}`);
      }
    }
    this.members = members;
    this.#groups = new SpreadGroups(members);
    this.#hashes = members.map(({ id }) => hashWords(id));
    this.#takers = members.flatMap(({ weight }, member) => (weight > 0 ? [member] : []));
    this.#times = new Float64Array(members.length);
  }

  /**
   * Chooses members for shards of a stripe.
   *
   * @param tierOf 0 for a member that is well; those of higher tiers are taken only when there are too few of the lower
   */
  choose(wanted: PlacesWanted, tierOf: (member: number) => number): ChosenPlaces {
    const { rates } = this.#shapeOf(wanted);
    const stripe = stripeWords(wanted.id);
    this.#draw(rates, (member) => drawNumber(stripe, this.#hashes[member]!));
    return this.#chooseByTimes(wanted, stripe[1], tierOf);
  }

  /** Of how many of all stripes of this shape each member should hold a shard, by the member's index. */
  sharesOf({ shardCount, cap }: StripeShape): Float64Array {
    const takers = this.#takers.map((member) => this.members[member]!);
    const groups = new SpreadGroups(takers);
    const weights = takers.map(({ weight }) => weight);
    const shares = new Float64Array(this.members.length);
    targetShares(weights, { count: shardCount, cap, groups }).forEach((share, at) => {
      shares[this.#takers[at]!] = share;
    });
    return shares;
  }

  /** Whether nothing is left to do for the shapes that were asked for; see `settleStep`. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /**
   * Where the spread rule binds, shares are only near what they should be until they were corrected by trials, which
   * takes longer than a write should wait. Does a piece of that, for a shape that was asked for.
   *
   * @returns whether there was something to do
   */
  settleStep(): boolean {
    for (const { correction } of this.#shapes.values()) if (correction?.next().done === false) return true;
    this.#isSettled = true;
    return false;
  }

  #shapeOf(shape: StripeShape): { readonly rates: Float64Array; readonly correction: Iterator<void> | undefined } {
    const name = `${shape.shardCount} ${shape.cap}`;
    const known = this.#shapes.get(name);
    if (known !== undefined) return known;
    const shares = this.sharesOf(shape);
    const rates = firstRates(shares, this.#takers, this.#groups, shape);
    const isBound = bindingGroups(this.#takers, this.#groups, shape.cap).length > 0;
    const correction =
      isBound && this.#takers.length > shape.shardCount ? this.#correct(rates, shares, shape) : undefined;
    const made = { rates, correction };
    this.#shapes.set(name, made);
    if (correction !== undefined) this.#isSettled = false;
    return made;
  }

  *#correct(rates: Float64Array, shares: Float64Array, shape: StripeShape): Generator<void> {
    const corrected = rates.slice();
    const wanted = { ...shape, holders: [], count: shape.shardCount };
    yield* correctRates(corrected, shares, this.#hashes, (trialRates, draw) => {
      this.#draw(trialRates, draw);
      return this.#chooseByTimes(wanted, 0, noTier).members;
    });
    rates.set(corrected);
  }

  #draw(rates: Float64Array, draw: (member: number) => number): void {
    for (const member of this.#takers) this.#times[member] = draw(member) / rates[member]!;
  }

  #chooseByTimes(
    { holders, excluded, count, cap }: Omit<PlacesWanted, 'id'>,
    salt: number,
    tierOf: (member: number) => number,
  ): ChosenPlaces {
    const groups = this.#groups;
    const counts = groups.countHolders(holders);
    const left: number[] = [];
    const tiers: number[] = [];
    for (const member of this.#takers) {
      const { id } = this.members[member]!;
      if (holders.includes(id) || excluded?.has(id)) continue;
      left.push(member);
      tiers[member] = tierOf(member);
    }
    const places = Math.min(count, left.length);
    let chosen =
      places === left.length
        ? this.#takeAll(left, counts)
        : this.#takeFirst(left.slice(), tiers, counts, { cap, places });
    if (chosen.length < places) {
      for (const member of chosen) groups.add(counts, member, -1);
      const ranked = left.sort((a, b) => (this.#isBefore(a, b, tiers) ? -1 : 1));
      const ranks = ranked.map((member) => tiers[member]!);
      chosen = chooseSpread({ groups, counts, cap, ranked, tiers: ranks, count: places });
      for (const member of chosen) groups.add(counts, member, 1);
    }
    // Which shard a member gets must not depend on its weight: reads ask for the first ones.
    const orderOf = (member: number): number => mixWord(salt ^ this.#hashes[member]![0]);
    return {
      members: chosen.sort((a, b) => tiers[a]! - tiers[b]! || orderOf(a) - orderOf(b)),
      excess: countExcess({ groups, counts, cap }, chosen),
    };
  }

  #takeAll(left: readonly number[], counts: Int16Array): number[] {
    for (const member of left) this.#groups.add(counts, member, 1);
    return left.slice();
  }

  /**
   * Takes one after the other the first of those whose groups have room, and counts them. Stops early where somebody of
   * a higher tier would come although one of a lower was passed over: that may not be the best.
   *
   * @param open members to take from; used up
   */
  #takeFirst(
    open: number[],
    tiers: readonly number[],
    counts: Int16Array,
    { cap, places }: { cap: number; places: number },
  ): number[] {
    const chosen: number[] = [];
    let passedTier = Number.POSITIVE_INFINITY;
    while (chosen.length < places && open.length > 0) {
      let first = 0;
      for (let at = 1; at < open.length; at++) if (this.#isBefore(open[at]!, open[first]!, tiers)) first = at;
      const member = open[first]!;
      open[first] = open[open.length - 1]!;
      open.pop();
      if (tiers[member]! > passedTier) break;
      if (this.#groups.allows(counts, member, cap)) {
        chosen.push(member);
        this.#groups.add(counts, member, 1);
      } else passedTier = Math.min(passedTier, tiers[member]!);
    }
    return chosen;
  }

  #isBefore(a: number, b: number, tiers: readonly number[]): boolean {
    if (tiers[a] !== tiers[b]) return tiers[a]! < tiers[b]!;
    const order = this.#times[a]! - this.#times[b]!;
    return order < 0 || (order === 0 && this.members[a]!.id < this.members[b]!.id);
  }
}

function noTier(): number {
  return 0;
}
