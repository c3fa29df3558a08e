import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import { shardBytes } from '../../../erasure/shard-format.ts';
import type { Placement } from '../../../metadata/fleet-store.ts';
import type { EngineParts } from '../../engine-parts.ts';
import type { Throttle } from '../throttle.ts';
import { moveCost, moveShard } from './move-shard.ts';
import type { OldCopies } from './old-copies.ts';
import { Balance, SpreadCheck } from './plan-rebalance.ts';

const pageStripes = 64;
const width = 4;
/** Once begun it goes on until the skew is this part of what began it. */
const settledPart = 0.5;
/** Placements that could not be improved are looked at again after this. */
const retryMs = 3_600_000;

export interface RebalanceProgress {
  readonly isBalancing: boolean;
  /** The greatest distance of a provider from what it should hold, against what they should hold on average: 0.1 is 10 %. */
  readonly skew: number;
  /** Live stripes with more than m shards in one operator, country or zone. */
  readonly stripesAgainstSpread: number;
  readonly shardsMoved: number;
  readonly bytesMoved: number;
}

/**
 * Moves shards so that stripes keep to the spread rule where they could not when they were written, and from providers that hold
 * more than they should to those that hold less. A move for balance makes both of them better off, and no stripe's spread worse; so
 * it comes to an end.
 */
export class Rebalancer {
  readonly #parts: EngineParts;
  readonly #throttle: Throttle;
  readonly #oldCopies: OldCopies;
  /** Placements that nothing could be done for, and where the walk through the others stands. */
  readonly #hopeless = new Map<number, number>();
  readonly #cursors = new Map<string, StripeId>();
  #progress: RebalanceProgress = {
    isBalancing: false,
    skew: 0,
    stripesAgainstSpread: 0,
    shardsMoved: 0,
    bytesMoved: 0,
  };

  constructor(parts: EngineParts, others: { throttle: Throttle; oldCopies: OldCopies }) {
    this.#parts = parts;
    this.#throttle = others.throttle;
    this.#oldCopies = others.oldCopies;
  }

  get progress(): RebalanceProgress {
    return this.#progress;
  }

  /**
   * Moves a page of shards, where there is something to win.
   *
   * @param isThrottled false to do it as fast as it can be done
   * @returns how many were moved
   */
  async rebalancePage(isThrottled: boolean, signal: AbortSignal): Promise<number> {
    const { metadata, fleet, limits, metrics } = this.#parts;
    if (limits.rebalanceSkew === 0) return 0;
    const placements = await metadata.listPlacements();
    const spread = new SpreadCheck(fleet.records);
    const against = placements.filter((placement) => spread.excessOf(placement, placement.providers) > 0);
    const balance = new Balance(placements, (shape) => fleet.targetShares(shape));
    const skew = balance.skew();
    const { isBalancing } = this.#progress;
    this.#progress = {
      ...this.#progress,
      skew,
      stripesAgainstSpread: against.reduce((sum, { stripes }) => sum + stripes, 0),
      isBalancing: skew > limits.rebalanceSkew * (isBalancing ? settledPart : 1),
    };
    metrics.fleetSkew.set(skew);
    metrics.stripesAgainstSpread.set(this.#progress.stripesAgainstSpread);
    for (const placement of against) {
      const moved = await this.#mendSpread(placement, spread, isThrottled, signal);
      if (moved > 0) return moved;
    }
    return this.#progress.isBalancing ? this.#even(placements, balance, spread, isThrottled, signal) : 0;
  }

  /** Moves shards of a placement out of the operator, country or zone that has too many. */
  async #mendSpread(
    placement: Placement,
    spread: SpreadCheck,
    isThrottled: boolean,
    signal: AbortSignal,
  ): Promise<number> {
    const { fleet } = this.#parts;
    const { providers } = placement;
    if (this.#isHopeless(placement.id)) return 0;
    const before = spread.excessOf(placement, providers);
    // The one whose leaving helps most; where it goes must not undo that.
    const [worst] = providers
      .filter((id) => fleet.standingOf(id) === 'up')
      .map((id) => ({
        id,
        left: spread.excessOf(
          placement,
          providers.filter((other) => other !== id),
        ),
      }))
      .sort((a, b) => a.left - b.left);
    const from = worst?.id;
    if (from === undefined || worst!.left >= before) return this.#giveUp(placement.id);
    const accepts = (to: ProviderId): boolean => spread.excessAfter(placement, providers, { from, to }) < before;
    const moved = await this.#movePage(placement, from, accepts, () => {}, isThrottled, signal);
    return moved > 0 ? moved : this.#giveUp(placement.id);
  }

  /** Moves shards from the fullest provider to those that should hold more. */
  async #even(
    placements: readonly Placement[],
    balance: Balance,
    spread: SpreadCheck,
    isThrottled: boolean,
    signal: AbortSignal,
  ): Promise<number> {
    const { fleet } = this.#parts;
    const failed = new Set<ProviderId>();
    for (;;) {
      const fullest = balance.fullest((id) => !failed.has(id) && fleet.standingOf(id) === 'up');
      if (fullest === undefined) return 0;
      const { id: from } = fullest;
      const rich = placements.filter(({ providers, id }) => providers.includes(from) && !this.#isHopeless(id));
      for (const placement of rich.sort((a, b) => b.storedBytes - a.storedBytes)) {
        const before = spread.excessOf(placement, placement.providers);
        const accepts = (to: ProviderId, stripe: Stripe): boolean => {
          const bytes = lengthAt(stripe, from);
          const isNoWorse = spread.excessAfter(placement, placement.providers, { from, to }) <= before;
          return isNoWorse && balance.isImprovedBy(from, to, bytes);
        };
        const noteMove = (to: ProviderId, bytes: number): void => balance.noteMove(from, to, bytes);
        const moved = await this.#movePage(placement, from, accepts, noteMove, isThrottled, signal);
        if (moved > 0) return moved;
        signal.throwIfAborted();
      }
      failed.add(from);
    }
  }

  /** The next page of a placement's stripes, from its beginning again where it was at the end. */
  async #movePage(
    placement: Placement,
    from: ProviderId,
    accepts: (to: ProviderId, stripe: Stripe) => boolean,
    noteMove: (to: ProviderId, bytes: number) => void,
    isThrottled: boolean,
    signal: AbortSignal,
  ): Promise<number> {
    const { metadata } = this.#parts;
    const walk = `${placement.id} ${from}`;
    const after = this.#cursors.get(walk);
    const stripes = await metadata.listPlacedStripes(placement.id, after, pageStripes);
    const last = stripes.at(-1);
    if (last === undefined || stripes.length < pageStripes) this.#cursors.delete(walk);
    else this.#cursors.set(walk, last.id);
    let moved = 0;
    await forEachBounded(stripes, width, async (stripe) => {
      signal.throwIfAborted();
      const index = stripe.shards.find(({ providerId }) => providerId === from)?.index;
      if (index === undefined) return;
      if (isThrottled) await this.#throttle.take(moveCost(stripe, index), signal);
      const move = { stripeId: stripe.id, from, accepts, oldCopies: this.#oldCopies };
      const { outcome, to, bytes } = await moveShard(this.#parts, move, signal);
      if (outcome !== 'moved' || to === undefined) return;
      noteMove(to, bytes);
      moved += 1;
      const { shardsMoved, bytesMoved } = this.#progress;
      this.#progress = { ...this.#progress, shardsMoved: shardsMoved + 1, bytesMoved: bytesMoved + bytes };
    });
    return moved;
  }

  #isHopeless(placementId: number): boolean {
    return this.#parts.clock.now() - (this.#hopeless.get(placementId) ?? Number.NEGATIVE_INFINITY) < retryMs;
  }

  #giveUp(placementId: number): number {
    if (this.#hopeless.size > 10_000) this.#hopeless.clear();
    this.#hopeless.set(placementId, this.#parts.clock.now());
    return 0;
  }
}

function lengthAt(stripe: Stripe, id: ProviderId): number {
  const index = stripe.shards.find(({ providerId }) => providerId === id)?.index;
  return index === undefined ? 0 : shardBytes(stripe, index);
}
