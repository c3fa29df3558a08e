import { setImmediate as nextTurn } from 'node:timers/promises';
import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import type { Placement } from '../../../metadata/fleet-store.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { countHeld } from '../../fleet/count-held.ts';
import type { Throttle } from '../throttle.ts';
import { HeldSpace } from './held-space.ts';
import { MoveBound } from './move-bound.ts';
import { type MoveSetting, moveCost, moveShard } from './move-shard.ts';
import type { PlacementList } from './placement-list.ts';
import { accountedBytes, Balance, SpreadCheck } from './plan-rebalance.ts';

const pageStripes = 64;
const width = 4;
/** Once begun it goes on until the skew is this part of what began it. */
const settledPart = 0.5;
/** After a plan that led to nothing, and after one that had nothing to do; a change of the fleet ends the rest. */
const retryMs = 600_000;
const idleMs = 60_000;
/** And at least so many times as long as it took to make it. */
const idleCost = 50;
/** Placements looked at in one turn. */
const maxLooks = 500;
/** The event loop has a turn after so many placements. */
const placementsAtOnce = 5_000;
/** The least weight: one that has no room still counts. */
const minRatio = 1e-6;

/** The skew is small, so little is stored that it does not matter, or it is turned off. */
export type RestCause = 'even' | 'too-little' | 'off';

export interface RebalanceProgress {
  readonly isBalancing: boolean;
  /** Why it rests; absent while it does not, and before the fleet was looked at. */
  readonly restCause?: RestCause;
  /** The greatest distance of a provider from what it should hold, against what they should hold on average: 0.1 is 10 %. */
  readonly skew: number;
  /** Live stripes with more than m shards in one operator, country or zone. */
  readonly stripesAgainstSpread: number;
  /** Since this process started. */
  readonly shardsMoved: number;
  readonly bytesMoved: number;
}

export interface RebalancePass {
  readonly moved: number;
  /** Whether there may be more to do at once. */
  readonly isMore: boolean;
}

/** What is to be moved, by what was known of the fleet when it was made. */
interface Plan {
  readonly listing: number;
  readonly fleetKey: string;
  readonly balance: Balance;
  readonly spread: SpreadCheck;
  readonly makingMs: number;
  /** Those that lack shards are left to repair. */
  readonly whole: readonly Placement[];
  readonly against: readonly Placement[];
  readonly mending: Walk;
  /** A walk through `whole` for each provider that shards are moved from. */
  readonly walks: Map<ProviderId, Walk>;
  readonly exhausted: Set<ProviderId>;
  moved: number;
}

interface Walk {
  at: number;
  after: StripeId | undefined;
}

interface PageMove {
  readonly from: ProviderId;
  readonly accepts: (to: ProviderId, stripe: Stripe) => boolean;
  readonly isThrottled: boolean;
}

/**
 * Moves shards so that stripes keep to the spread rule where they could not when they were written, and from providers that hold
 * more than they should to those that hold less. It comes to an end (decisions/0024): a move to mend the spread lowers the number of shards
 * that are too many in one place; a move for balance does not raise it, and lowers the sum of the squares of all distances.
 */
export class Rebalancer {
  readonly #parts: EngineParts;
  readonly #throttle: Throttle;
  readonly #setting: MoveSetting;
  readonly #list: PlacementList;
  readonly #space = new HeldSpace();
  #plan: Plan | undefined;
  readonly #bound = new MoveBound();
  /** Until when there is nothing to do, as long as the fleet is as it was. */
  #rest: { readonly untilMs: number; readonly fleetKey: string } | undefined;
  #progress: RebalanceProgress = {
    isBalancing: false,
    skew: 0,
    stripesAgainstSpread: 0,
    shardsMoved: 0,
    bytesMoved: 0,
  };

  constructor(parts: EngineParts, others: { throttle: Throttle; setting: MoveSetting; list: PlacementList }) {
    this.#parts = parts;
    this.#throttle = others.throttle;
    this.#setting = others.setting;
    this.#list = others.list;
  }

  get progress(): RebalanceProgress {
    return this.#progress;
  }

  /** Plans anew, whatever has just been found. */
  restart(): void {
    this.#plan = undefined;
    this.#bound.restart();
    this.#rest = undefined;
  }

  /**
   * Moves a page of shards, where there is something to win.
   *
   * @param isThrottled false to do it as fast as it can be done
   */
  async rebalancePage(isThrottled: boolean, signal: AbortSignal): Promise<RebalancePass> {
    const { clock, limits } = this.#parts;
    const fleetKey = this.#fleetKey();
    if (this.#rest?.fleetKey === fleetKey && clock.now() < this.#rest.untilMs) return { moved: 0, isMore: false };
    const plan = await this.#refreshPlan(fleetKey);
    if (this.#bound.isUsedUp(fleetKey, plan.balance)) {
      this.#parts.log.warn(
        { movedBytes: this.#bound.movedBytes },
        'rebalance moved far more than it should have to: it rests',
      );
      return this.#beginRest(plan, retryMs);
    }
    const isOff = limits.rebalanceSkew === 0;
    const pass = isOff ? undefined : await this.#follow(plan, isThrottled, signal);
    if (pass !== undefined) {
      plan.moved += pass.moved;
      return pass;
    }
    this.#plan = undefined;
    if (plan.moved > 0) {
      // What was moved lies in other placements now.
      if (!isThrottled) this.#list.expire();
      return { moved: 0, isMore: !isThrottled };
    }
    const isIdle = isOff || (plan.against.length === 0 && !this.#progress.isBalancing);
    return this.#beginRest(plan, isIdle ? idleMs : retryMs);
  }

  #beginRest({ makingMs, fleetKey }: Plan, leastMs: number): RebalancePass {
    this.#plan = undefined;
    this.#bound.restart();
    this.#rest = { untilMs: this.#parts.clock.now() + Math.max(leastMs, idleCost * makingMs), fleetKey };
    return { moved: 0, isMore: false };
  }

  /** What a plan depends on. */
  #fleetKey(): string {
    const { fleet } = this.#parts;
    const rows = fleet.records.map(({ id, state, operator, country, zone, weight }) => {
      return [id, state, operator, country, zone, weight, fleet.standingOf(id) === 'up'];
    });
    return JSON.stringify(rows);
  }

  async #refreshPlan(fleetKey: string): Promise<Plan> {
    const { metrics } = this.#parts;
    const { placements, number } = await this.#list.read();
    const known = this.#plan;
    const plan = known?.listing === number && known.fleetKey === fleetKey ? known : undefined;
    this.#plan = plan ?? (await this.#makePlan(placements, number, fleetKey));
    const skew = this.#plan.balance.skew();
    const restCause = this.#findRestCause(skew, this.#plan.balance.furthestBytes());
    const stripesAgainstSpread = this.#plan.against.reduce((sum, { stripes }) => sum + stripes, 0);
    const { shardsMoved, bytesMoved } = this.#progress;
    this.#progress = {
      isBalancing: restCause === undefined,
      ...(restCause !== undefined && { restCause }),
      skew,
      stripesAgainstSpread,
      shardsMoved,
      bytesMoved,
    };
    metrics.fleetSkew.set(skew);
    metrics.stripesAgainstSpread.set(stripesAgainstSpread);
    return this.#plan;
  }

  #findRestCause(skew: number, furthestBytes: number): RestCause | undefined {
    const { limits } = this.#parts;
    if (limits.rebalanceSkew === 0) return 'off';
    const part = this.#progress.isBalancing ? settledPart : 1;
    if (skew <= limits.rebalanceSkew * part) return 'even';
    // Where little is stored, what falls where is chance, and does not matter.
    return furthestBytes > limits.rebalanceBytes * part ? undefined : 'too-little';
  }

  async #makePlan(placements: readonly Placement[], listing: number, fleetKey: string): Promise<Plan> {
    const { fleet, clock } = this.#parts;
    const startedAtMs = performance.now();
    const takers = fleet.records.filter(
      ({ id, state, weight }) => state === 'active' && weight > 0 && fleet.standingOf(id) === 'up',
    );
    this.#space.measure(
      takers.map(({ id }) => id),
      {
        capacityOf: (id) => fleet.capacityOf(id),
        held: countHeld(placements),
        lastMoveMs: this.#setting.oldCopies.lastChangeMs,
        nowMs: clock.now(),
      },
    );
    const members = takers.map((record) => ({
      ...record,
      weight: record.weight * Math.max(this.#space.ratioOf(record.id), minRatio),
    }));
    const balance = new Balance(members);
    const spread = new SpreadCheck(fleet.records);
    const whole: Placement[] = [];
    const against: Placement[] = [];
    for (const [at, placement] of placements.entries()) {
      balance.add(placement);
      if (spread.excessOf(placement, placement.providers) > 0) against.push(placement);
      if (placement.providers.length >= placement.shardCount) whole.push(placement);
      if (at % placementsAtOnce === placementsAtOnce - 1) await nextTurn();
    }
    whole.sort((a, b) => b.storedBytes - a.storedBytes);
    return {
      listing,
      fleetKey,
      balance,
      spread,
      makingMs: performance.now() - startedAtMs,
      whole,
      against,
      mending: { at: 0, after: undefined },
      walks: new Map(),
      exhausted: new Set(),
      moved: 0,
    };
  }

  /** Does some of what the plan says; undefined where nothing of it is left. */
  async #follow(plan: Plan, isThrottled: boolean, signal: AbortSignal): Promise<RebalancePass | undefined> {
    const mended = await this.#mendSpread(plan, isThrottled, signal);
    if (mended !== undefined) return mended;
    return this.#progress.isBalancing ? this.#even(plan, isThrottled, signal) : undefined;
  }

  /** Moves shards out of the operator, country or zone that has too many of a stripe. */
  async #mendSpread(plan: Plan, isThrottled: boolean, signal: AbortSignal): Promise<RebalancePass | undefined> {
    const { against, mending, spread } = plan;
    for (let looks = 0; mending.at < against.length; looks++) {
      if (looks === maxLooks) return { moved: 0, isMore: true };
      const placement = against[mending.at]!;
      const from = placement.providers.length >= placement.shardCount ? this.#findWorst(plan, placement) : undefined;
      if (from === undefined) {
        skipPlacement(mending);
        continue;
      }
      const accepts = (to: ProviderId, stripe: Stripe): boolean => {
        const holders = holdersOf(stripe);
        return spread.excessAfter(stripe, holders, { from, to }) < spread.excessOf(stripe, holders);
      };
      const moved = await this.#movePage(plan, placement, mending, { from, accepts, isThrottled }, signal);
      if (moved > 0) return { moved, isMore: true };
      if (mending.after !== undefined) skipPlacement(mending);
    }
    return undefined;
  }

  /** The holder whose leaving helps most, of those that can leave; where it goes must not undo that. */
  #findWorst({ spread, balance }: Plan, placement: Placement): ProviderId | undefined {
    const { fleet } = this.#parts;
    const { providers } = placement;
    const before = spread.excessOf(placement, providers);
    const places = balance.ids.filter((id) => !providers.includes(id));
    const options = providers
      .filter((from) => fleet.standingOf(from) === 'up')
      .map((from) => {
        const left = Math.min(...places.map((to) => spread.excessAfter(placement, providers, { from, to })));
        return { from, left };
      })
      .filter(({ left }) => left < before)
      .sort((a, b) => a.left - b.left || (balance.surplusOf(b.from) ?? 0) - (balance.surplusOf(a.from) ?? 0));
    return options[0]?.from;
  }

  /** Moves shards from the fullest provider to those that should hold more. */
  async #even(plan: Plan, isThrottled: boolean, signal: AbortSignal): Promise<RebalancePass | undefined> {
    const { balance, whole, exhausted, walks } = plan;
    for (let looks = 0; ; looks++) {
      if (looks === maxLooks) return { moved: 0, isMore: true };
      const from = balance.fullest((id) => !exhausted.has(id));
      if (from === undefined) return undefined;
      const walk = walks.get(from) ?? { at: 0, after: undefined };
      walks.set(from, walk);
      const placement = whole[walk.at];
      if (placement === undefined) {
        exhausted.add(from);
        continue;
      }
      const accepts = (to: ProviderId, stripe: Stripe): boolean => {
        const holders = holdersOf(stripe);
        if (!holders.includes(from)) return false;
        return this.#isBetter(plan, stripe, holders, { from, to, bytes: accountedBytes(stripe) });
      };
      const { providers } = placement;
      // Lengths differ within a placement: whether one of them could be moved at all.
      const isHopeful =
        providers.includes(from) &&
        balance.needy().some((to) => this.#isBetter(plan, placement, providers, { from, to, bytes: 1 }));
      if (!isHopeful) {
        skipPlacement(walk);
        continue;
      }
      const moved = await this.#movePage(plan, placement, walk, { from, accepts, isThrottled }, signal);
      if (moved > 0) return { moved, isMore: true };
      if (walk.after !== undefined) skipPlacement(walk);
    }
  }

  #isBetter(
    { balance, spread }: Plan,
    shape: { readonly m: number },
    holders: readonly ProviderId[],
    { from, to, bytes }: { readonly from: ProviderId; readonly to: ProviderId; readonly bytes: number },
  ): boolean {
    if (holders.includes(to) || !balance.isImprovedBy(from, to, bytes)) return false;
    return spread.excessAfter(shape, holders, { from, to }) <= spread.excessOf(shape, holders);
  }

  /** Moves what can be moved of the next page of a placement's stripes. Returns how many were. */
  async #movePage(
    plan: Plan,
    placement: Placement,
    walk: Walk,
    { from, accepts, isThrottled }: PageMove,
    signal: AbortSignal,
  ): Promise<number> {
    const stripes = await this.#parts.metadata.listPlacedStripes(placement.id, walk.after, pageStripes);
    if (stripes.length < pageStripes) skipPlacement(walk);
    else walk.after = stripes.at(-1)?.id;
    let moved = 0;
    await forEachBounded(stripes, width, async (stripe) => {
      signal.throwIfAborted();
      const holders = holdersOf(stripe);
      const index = stripe.shards.find(({ providerId }) => providerId === from)?.index;
      const isMovable = plan.balance.ids.some((to) => !holders.includes(to) && accepts(to, stripe));
      if (index === undefined || !isMovable) return;
      if (isThrottled) await this.#throttle.take(moveCost(stripe, index), signal);
      // Others of the page are moved meanwhile: each is counted before it is.
      const claim: { to?: ProviderId } = {};
      const length = accountedBytes(stripe);
      const move = {
        stripeId: stripe.id,
        from,
        accepts: (to: ProviderId, current: Stripe): boolean => {
          if (claim.to !== undefined) plan.balance.noteMove(claim.to, from, length);
          delete claim.to;
          if (!accepts(to, current)) return false;
          claim.to = to;
          plan.balance.noteMove(from, to, length);
          return true;
        },
      };
      const { outcome, bytes } = await moveShard(this.#parts, move, this.#setting, signal);
      if (outcome !== 'moved') {
        if (claim.to !== undefined) plan.balance.noteMove(claim.to, from, length);
        return;
      }
      moved += 1;
      this.#bound.note(length);
      const { shardsMoved, bytesMoved } = this.#progress;
      this.#progress = { ...this.#progress, shardsMoved: shardsMoved + 1, bytesMoved: bytesMoved + bytes };
    });
    return moved;
  }
}

function holdersOf({ shards }: Stripe): ProviderId[] {
  return shards.map(({ providerId }) => providerId);
}

function skipPlacement(walk: Walk): void {
  walk.at += 1;
  walk.after = undefined;
}
