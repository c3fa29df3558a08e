import { AbortScope } from '../../core/abort.ts';
import { isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import { maxSingleBlockBytes } from '../../erasure/geometry.ts';
import type { EngineParts } from '../engine-parts.ts';
import { DamageNotes } from './damage-notes.ts';
import { MiscodedStripes } from './recode/recode-stripe.ts';
import { RepairPace } from './repair-pace.ts';
import { type QueuedStripe, RepairQueue } from './repair-queue.ts';
import { type RepairOutcome, type RepairSetting, repairCost, repairStripe } from './repair-stripe.ts';
import { Throttle } from './throttle.ts';

/** Stripes taken from the queue at once: after these, or after so long, it is looked up again what is most urgent. */
const batch = 64;
const maxRoundMs = 1_000;
/** Stripes repaired at once: enough to keep many providers busy, unless their rows take more than this share of the memory for reads. */
const maxWidth = 12;
const budgetShare = 0.25;

export interface RepairPass {
  /** Shards that were rebuilt. */
  readonly repaired: number;
  /** Stripes that were tried in vain. */
  readonly failed: number;
  /** Whether there may be more to do at once. */
  readonly isCut: boolean;
}

/** Rebuilds shards that stripes lack onto other providers, those first that can bear the fewest further losses. */
export class Repairer {
  readonly #parts: EngineParts;
  readonly #queue: RepairQueue;
  readonly #damages: DamageNotes;
  readonly #miscoded: MiscodedStripes;
  readonly #throttle: Throttle;
  readonly #setting: RepairSetting;
  readonly #width: number;
  /** How fast lost shards are rebuilt. */
  readonly pace = new RepairPace();

  constructor(parts: EngineParts, setting: RepairSetting) {
    const { limits, clientLoad, profiles, readBudget } = parts;
    this.#parts = parts;
    this.#queue = new RepairQueue(parts);
    this.#damages = new DamageNotes(parts);
    this.#miscoded = new MiscodedStripes(parts, setting);
    this.#throttle = new Throttle({
      bytesPerS: limits.repairBytesPerS,
      operationsPerS: limits.repairOpsPerS,
      load: clientLoad,
    });
    this.#setting = setting;
    const rowBytes = Math.max(...profiles.map(({ k, m }) => (k + m) * maxSingleBlockBytes));
    const fitting = Math.floor((readBudget.capacityBytes * budgetShare) / rowBytes);
    this.#width = Math.min(Math.max(fitting, 1), maxWidth);
  }

  /** Returns whether it was not known. */
  noteDamage(stripe: Stripe, shard: PlacedShard): boolean {
    return this.#damages.note(stripe, shard);
  }

  /** Takes note of a stripe whose shards may not go together, though each has its digests. Returns whether it is to be looked at. */
  noteMiscoded(id: StripeId): boolean {
    return this.#miscoded.note(id);
  }

  /**
   * One round: what reads found damaged, then the most urgent of the queue.
   *
   * @param isThrottled false to do it as fast as it can be done
   */
  async repairRound(isThrottled: boolean, signal: AbortSignal): Promise<RepairPass> {
    const damaged = await this.#repairDamaged(signal);
    const taken = await this.#queue.take(batch);
    const untried: QueuedStripe[] = [];
    const startedAtMs = performance.now();
    let repaired = damaged;
    let failed = 0;
    let bytes = 0;
    const round = new AbortScope(signal);
    const timer = setTimeout(() => round.close(), maxRoundMs);
    try {
      await forEachBounded(taken, this.#width, async (queued) => {
        if (!(await this.#awaitTurn(queued, isThrottled, round.signal, signal))) {
          untried.push(queued);
          return;
        }
        const outcome = await this.#tryRepair(queued.stripe.id, signal);
        this.#queue.noteOutcome(queued, outcome.repaired > 0 || outcome.isWhole);
        repaired += outcome.repaired;
        bytes += outcome.bytes;
        if (outcome.repaired === 0 && !outcome.isWhole) failed += 1;
      });
    } finally {
      clearTimeout(timer);
      round.close();
      this.#queue.giveBack(untried);
    }
    if (bytes > 0) this.pace.note(bytes, (performance.now() - startedAtMs) / 1000);
    return { repaired, failed, isCut: taken.length > 0 };
  }

  /** Until what waits may be tried again; undefined where nothing waits. */
  retryDelayMs(): number | undefined {
    const atMs = this.#queue.nextRetryMs();
    return atMs === undefined ? undefined : Math.max(atMs - this.#parts.clock.now(), 0);
  }

  /** Returns false where the round is over before. */
  async #awaitTurn(
    { stripe, redundancy }: QueuedStripe,
    isThrottled: boolean,
    round: AbortSignal,
    signal: AbortSignal,
  ): Promise<boolean> {
    signal.throwIfAborted();
    // What can bear no further loss cannot wait.
    if (!isThrottled || redundancy.margin === 0) {
      this.#throttle.pass();
      return true;
    }
    if (round.aborted) return false;
    try {
      await this.#throttle.take(repairCost(stripe, redundancy.lacking), round);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async #repairDamaged(signal: AbortSignal): Promise<number> {
    await this.#damages.confirm(signal);
    let repaired = await this.#miscoded.mend(signal);
    await forEachBounded(this.#damages.takeStripes(), this.#width, async (id) => {
      signal.throwIfAborted();
      const outcome = await this.#tryRepair(id, signal);
      repaired += outcome.repaired;
    });
    return repaired;
  }

  async #tryRepair(id: StripeId, signal: AbortSignal): Promise<RepairOutcome> {
    const { log, metrics } = this.#parts;
    const startedAtMs = performance.now();
    let outcome: RepairOutcome = { repaired: 0, bytes: 0, unkept: 0, isWhole: false };
    try {
      outcome = await repairStripe(this.#parts, id, this.#setting, signal);
      // A provider did not keep what it was given; another may.
      if (outcome.unkept > 0) {
        const again = await repairStripe(this.#parts, id, this.#setting, signal);
        outcome = { ...again, repaired: outcome.repaired + again.repaired, bytes: outcome.bytes + again.bytes };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      log.warn({ stripe: id, err: error }, 'stripe cannot be repaired now');
    }
    if (outcome.repaired > 0) {
      metrics.repairSeconds.observe((performance.now() - startedAtMs) / 1000);
      metrics.repairedBytes.inc(outcome.bytes);
    }
    return outcome;
  }
}
