import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { countHeld } from '../../fleet/count-held.ts';
import type { Throttle } from '../throttle.ts';
import { MovePace } from './move-pace.ts';
import { type MoveOutcome, moveCost, moveShard } from './move-shard.ts';
import type { OldCopies } from './old-copies.ts';

const pageStripes = 64;
/** Shards of one provider that are moved at once. */
const width = 4;
/** A placement is walked from its beginning again after this, since what could not be moved then may move now. */
const retryMs = 60_000;

/** Why a drain does not go on by itself. */
export type DrainHindrance = 'no-place' | 'provider-down' | 'failing';

export interface DrainProgress {
  readonly providerId: ProviderId;
  /** Shards that still lie there, and about how many bytes they take. */
  readonly shardsLeft: number;
  readonly bytesLeft: number;
  /** Shards moved since this process started. */
  readonly shardsMoved: number;
  readonly bytesPerS?: number;
  readonly leftMs?: number;
  readonly hindrance?: DrainHindrance;
}

export interface DrainPass {
  readonly moved: number;
  /** Whether there may be more to do at once; what could not be moved is tried again a minute later. */
  readonly isMore: boolean;
}

interface Drain {
  readonly pace: MovePace;
  /** Where each placement's walk stands. */
  readonly cursors: Map<number, StripeId>;
  restartAtMs: number;
  shardsMoved: number;
  hindrance: DrainHindrance | undefined;
}

/** Empties providers in the state `draining`: moves their shards to others, those of one placement after the other. */
export class Drainer {
  readonly #parts: EngineParts;
  readonly #throttle: Throttle;
  readonly #oldCopies: OldCopies;
  readonly #drains = new Map<ProviderId, Drain>();

  constructor(parts: EngineParts, others: { throttle: Throttle; oldCopies: OldCopies }) {
    this.#parts = parts;
    this.#throttle = others.throttle;
    this.#oldCopies = others.oldCopies;
  }

  /**
   * Moves some shards away from each provider that is to be emptied.
   *
   * @param isThrottled false to do it as fast as it can be done
   */
  async drainPage(isThrottled: boolean, signal: AbortSignal): Promise<DrainPass> {
    const { fleet } = this.#parts;
    const draining = fleet.records.filter(({ state }) => state === 'draining').map(({ id }) => id);
    for (const id of this.#drains.keys()) if (!draining.includes(id)) this.#drains.delete(id);
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
    const held = countHeld(await this.#parts.metadata.listPlacements());
    return Array.from(this.#drains, ([providerId, drain]) => {
      const { shards: shardsLeft, bytes: bytesLeft } = held.get(providerId) ?? { shards: 0, bytes: 0 };
      const bytesPerS = drain.pace.bytesPerS();
      return {
        providerId,
        shardsLeft,
        bytesLeft,
        shardsMoved: drain.shardsMoved,
        ...(bytesPerS !== undefined && { bytesPerS, leftMs: Math.ceil((1000 * bytesLeft) / bytesPerS) }),
        ...(shardsLeft > 0 && drain.hindrance !== undefined && { hindrance: drain.hindrance }),
      };
    });
  }

  async #drainOne(id: ProviderId, isThrottled: boolean, signal: AbortSignal): Promise<DrainPass> {
    const { fleet, metadata, clock, metrics } = this.#parts;
    const drain = this.#drains.get(id) ?? this.#begin(id);
    const placements = (await metadata.listPlacements()).filter(({ providers }) => providers.includes(id));
    metrics.drainLeftBytes.set({ provider: id }, countHeld(placements).get(id)?.bytes ?? 0);
    if (fleet.standingOf(id) !== 'up') {
      // When it is lost, repair rebuilds elsewhere what lay there.
      drain.hindrance = 'provider-down';
      return { moved: 0, isMore: false };
    }
    if (clock.now() >= drain.restartAtMs) {
      drain.cursors.clear();
      drain.restartAtMs = clock.now() + retryMs;
    }
    for (const { id: placementId } of placements) {
      const stripes = await metadata.listPlacedStripes(placementId, drain.cursors.get(placementId), pageStripes);
      const last = stripes.at(-1);
      if (last === undefined) continue;
      const outcomes = new Map<MoveOutcome, number>();
      await forEachBounded(stripes, width, async (stripe) => {
        const outcome = await this.#moveOne(id, drain, stripe, isThrottled, signal);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      });
      drain.cursors.set(placementId, last.id);
      this.#judge(id, drain, outcomes);
      return { moved: outcomes.get('moved') ?? 0, isMore: true };
    }
    return { moved: 0, isMore: false };
  }

  async #moveOne(
    from: ProviderId,
    drain: Drain,
    stripe: Stripe,
    isThrottled: boolean,
    signal: AbortSignal,
  ): Promise<MoveOutcome> {
    signal.throwIfAborted();
    const index = stripe.shards.find(({ providerId }) => providerId === from)?.index ?? 0;
    if (isThrottled) await this.#throttle.take(moveCost(stripe, index), signal);
    const startedAtMs = performance.now();
    const move = { stripeId: stripe.id, from, accepts: () => true, oldCopies: this.#oldCopies };
    const { outcome, bytes } = await moveShard(this.#parts, move, signal);
    if (outcome === 'moved') {
      drain.shardsMoved += 1;
      drain.pace.note(bytes, startedAtMs, performance.now());
    }
    return outcome;
  }

  #begin(id: ProviderId): Drain {
    const restartAtMs = this.#parts.clock.now() + retryMs;
    const drain = { pace: new MovePace(), cursors: new Map(), restartAtMs, shardsMoved: 0, hindrance: undefined };
    this.#drains.set(id, drain);
    return drain;
  }

  #judge(id: ProviderId, drain: Drain, outcomes: ReadonlyMap<MoveOutcome, number>): void {
    const before = drain.hindrance;
    if (outcomes.has('moved') || outcomes.has('absent')) drain.hindrance = undefined;
    else drain.hindrance = outcomes.has('no-place') ? 'no-place' : 'failing';
    if (drain.hindrance === undefined || drain.hindrance === before) return;
    const why = drain.hindrance === 'no-place' ? 'no other provider can take its shards' : 'its shards cannot be moved';
    this.#parts.log.warn({ provider: id }, `the drain waits: ${why}`);
  }
}
