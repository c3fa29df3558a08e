import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import type { Placement } from '../../../metadata/fleet-store.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { countHeld } from '../../fleet/count-held.ts';
import type { Throttle } from '../throttle.ts';
import { MovePace } from './move-pace.ts';
import { type MoveOutcome, type MoveSetting, moveCost, moveShard } from './move-shard.ts';
import type { PlacementList } from './placement-list.ts';

const pageStripes = 64;
/** Shards of one provider that are moved at once. */
const width = 4;
/** From the end of a walk through what a provider holds to the next one, since what could not be moved then may move now. */
const retryMs = 60_000;
/** The same after a walk that moved something: writes that were under way may have put more there. */
const soonMs = 5_000;

/** Why a drain does not go on by itself. */
export type DrainHindrance = 'no-place' | 'provider-down' | 'failing';

export interface DrainProgress {
  readonly providerId: ProviderId;
  /** Shards of live stripes that still lie there, and about how many bytes they take. */
  readonly shardsLeft: number;
  readonly bytesLeft: number;
  /** Shards moved since this process started. */
  readonly shardsMoved: number;
  /** Shards that were moved and lie there all the same, until nobody can need them there. */
  readonly oldCopies: number;
  readonly bytesPerS?: number;
  readonly leftMs?: number;
  readonly hindrance?: DrainHindrance;
}

export interface DrainPass {
  readonly moved: number;
  /** Whether there may be more to do; what could not be moved is tried again later. */
  readonly isMore: boolean;
}

/** Where a walk through what a provider holds stands. */
interface Walk {
  readonly placements: readonly Placement[];
  at: number;
  /** Within the placement. */
  after: StripeId | undefined;
  bytesLeft: number;
  readonly outcomes: Set<MoveOutcome>;
}

interface Drain {
  readonly pace: MovePace;
  walk: Walk | undefined;
  nextWalkAtMs: number;
  shardsMoved: number;
  hindrance: DrainHindrance | undefined;
}

/** Empties providers in the state `draining`: moves their shards to others, those of one placement after the other. */
export class Drainer {
  readonly #parts: EngineParts;
  readonly #throttle: Throttle;
  readonly #setting: MoveSetting;
  readonly #list: PlacementList;
  readonly #drains = new Map<ProviderId, Drain>();

  constructor(parts: EngineParts, others: { throttle: Throttle; setting: MoveSetting; list: PlacementList }) {
    this.#parts = parts;
    this.#throttle = others.throttle;
    this.#setting = others.setting;
    this.#list = others.list;
  }

  /** Begins all walks anew, whatever has just been found. */
  restart(): void {
    for (const drain of this.#drains.values()) {
      drain.walk = undefined;
      drain.nextWalkAtMs = 0;
    }
  }

  /**
   * Moves some shards away from each provider that is to be emptied.
   *
   * @param isThrottled false to do it as fast as it can be done
   */
  async drainPage(isThrottled: boolean, signal: AbortSignal): Promise<DrainPass> {
    const draining = this.#listDraining();
    for (const id of this.#drains.keys()) {
      if (draining.includes(id)) continue;
      this.#drains.delete(id);
      this.#parts.metrics.drainLeftBytes.remove({ provider: id });
    }
    let moved = 0;
    let isMore = false;
    for (const id of draining) {
      const pass = await this.#drainOne(id, isThrottled, signal);
      moved += pass.moved;
      isMore ||= pass.isMore;
    }
    return { moved, isMore };
  }

  async readProgress(): Promise<DrainProgress[]> {
    const draining = this.#listDraining();
    if (draining.length === 0) return [];
    const held = countHeld((await this.#list.read()).placements);
    return draining.map((providerId) => {
      const { shards: shardsLeft, bytes } = held.get(providerId) ?? { shards: 0, bytes: 0 };
      const bytesLeft = Math.round(bytes);
      const drain = this.#drains.get(providerId);
      const bytesPerS = drain?.pace.bytesPerS();
      return {
        providerId,
        shardsLeft,
        bytesLeft,
        shardsMoved: drain?.shardsMoved ?? 0,
        oldCopies: this.#setting.oldCopies.countAt(providerId),
        ...(bytesPerS !== undefined && {
          bytesPerS: Math.round(bytesPerS),
          leftMs: Math.ceil((1000 * bytesLeft) / bytesPerS),
        }),
        ...(shardsLeft > 0 && drain?.hindrance !== undefined && { hindrance: drain.hindrance }),
      };
    });
  }

  #listDraining(): ProviderId[] {
    return this.#parts.fleet.records.filter(({ state }) => state === 'draining').map(({ id }) => id);
  }

  async #drainOne(id: ProviderId, isThrottled: boolean, signal: AbortSignal): Promise<DrainPass> {
    const { fleet, clock, metrics } = this.#parts;
    const drain = this.#drains.get(id) ?? this.#begin(id);
    if (fleet.standingOf(id) !== 'up') {
      // When it is lost, repair rebuilds elsewhere what lay there.
      drain.hindrance = 'provider-down';
      return { moved: 0, isMore: false };
    }
    if (drain.walk === undefined) {
      if (clock.now() < drain.nextWalkAtMs) return { moved: 0, isMore: false };
      drain.walk = await this.#beginWalk(id);
    }
    const { walk } = drain;
    const page = await this.#takePage(walk);
    if (page.length === 0) {
      drain.walk = undefined;
      drain.nextWalkAtMs = clock.now() + (walk.outcomes.has('moved') ? soonMs : retryMs);
      this.#judge(id, drain, walk.outcomes);
      return { moved: 0, isMore: false };
    }
    const outcomes = new Set<MoveOutcome>();
    let moved = 0;
    await forEachBounded(page, width, async (stripe) => {
      const outcome = await this.#moveOne({ from: id, drain, walk, stripe, isThrottled }, signal);
      outcomes.add(outcome);
      walk.outcomes.add(outcome);
      if (outcome === 'moved') moved += 1;
    });
    metrics.drainLeftBytes.set({ provider: id }, Math.max(walk.bytesLeft, 0));
    // Where there was no place for any of them there is none for the others that lie alike.
    if (moved === 0 && outcomes.has('no-place') && walk.after !== undefined) skipPlacement(walk);
    if (moved > 0) drain.hindrance = undefined;
    return { moved, isMore: true };
  }

  #begin(id: ProviderId): Drain {
    const drain: Drain = {
      pace: new MovePace(),
      walk: undefined,
      nextWalkAtMs: 0,
      shardsMoved: 0,
      hindrance: undefined,
    };
    this.#drains.set(id, drain);
    // What was listed a moment ago may lack what was written to it since.
    this.#list.expire();
    return drain;
  }

  async #beginWalk(id: ProviderId): Promise<Walk> {
    const listed = (await this.#list.read()).placements;
    const placements = listed.filter(({ providers }) => providers.includes(id));
    const bytesLeft = countHeld(placements).get(id)?.bytes ?? 0;
    this.#parts.metrics.drainLeftBytes.set({ provider: id }, bytesLeft);
    return { placements, at: 0, after: undefined, outcomes: new Set(), bytesLeft };
  }

  /** The next stripes, of as many placements as it takes. */
  async #takePage(walk: Walk): Promise<Stripe[]> {
    const page: Stripe[] = [];
    while (page.length < pageStripes) {
      const placement = walk.placements[walk.at];
      if (placement === undefined) break;
      const limit = pageStripes - page.length;
      const stripes = await this.#parts.metadata.listPlacedStripes(placement.id, walk.after, limit);
      for (const stripe of stripes) page.push(stripe);
      if (stripes.length < limit) skipPlacement(walk);
      else walk.after = stripes.at(-1)?.id;
    }
    return page;
  }

  async #moveOne(
    given: { from: ProviderId; drain: Drain; walk: Walk; stripe: Stripe; isThrottled: boolean },
    signal: AbortSignal,
  ): Promise<MoveOutcome> {
    const { from, drain, walk, stripe, isThrottled } = given;
    signal.throwIfAborted();
    const index = stripe.shards.find(({ providerId }) => providerId === from)?.index;
    if (index === undefined) return 'absent';
    if (isThrottled) await this.#throttle.take(moveCost(stripe, index), signal);
    const startedAtMs = performance.now();
    const move = { stripeId: stripe.id, from, accepts: () => true };
    const { outcome, bytes } = await moveShard(this.#parts, move, this.#setting, signal);
    if (outcome === 'moved') {
      drain.shardsMoved += 1;
      drain.pace.note(bytes, startedAtMs, performance.now());
      walk.bytesLeft -= bytes;
    }
    return outcome;
  }

  /** What a walk came to. */
  #judge(id: ProviderId, drain: Drain, outcomes: ReadonlySet<MoveOutcome>): void {
    const before = drain.hindrance;
    if (outcomes.has('no-place')) drain.hindrance = 'no-place';
    else drain.hindrance = outcomes.has('failed') ? 'failing' : undefined;
    if (drain.hindrance === undefined || drain.hindrance === before) return;
    const why = drain.hindrance === 'no-place' ? 'no other provider can take its shards' : 'its shards cannot be moved';
    this.#parts.log.warn({ provider: id }, `the drain waits: ${why}`);
  }
}

function skipPlacement(walk: Walk): void {
  walk.at += 1;
  walk.after = undefined;
}
