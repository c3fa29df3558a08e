import { Failure, isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import { rowCount, storedBlockBytes, storedBlockCount } from '../../erasure/geometry.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { EngineParts } from '../engine-parts.ts';
import { readRow } from '../read-row.ts';
import { ShardLane } from '../shard-lane.ts';

const batch = 100;
const width = 2;
const maxStuck = 1_000;
const maxDamages = 10_000;
const firstRetryMs = 5_000;
const maxRetryMs = 600_000;

export interface RepairPass {
  /** Shards that were rebuilt. */
  readonly repaired: number;
  /** Stripes that still lack shards. */
  readonly waiting: number;
  /** Whether there may be more to do at once. */
  readonly isCut: boolean;
}

/** A shard that is known to be gone or wrong, although the metadata say where it lies. */
interface Damage {
  readonly stripeId: StripeId;
  readonly shard: PlacedShard;
}

/**
 * Rebuilds shards that stripes lack, onto providers that hold none of the stripe; and shards that reads found to be gone or
 * wrong, if need be where they were.
 */
export class Repairer {
  readonly #parts: EngineParts;
  /** Damage that nobody has looked at yet, by stripe and index. What is dropped is found again by the next read. */
  readonly #damages = new Map<string, Damage>();
  /** Stripes that could not be repaired, and when to try again. */
  readonly #stuck = new Map<StripeId, { delayMs: number; retryAtMs: number }>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** Returns whether it was not known. */
  noteDamage(stripe: Stripe, shard: PlacedShard): boolean {
    const name = `${stripe.id} ${shard.index}`;
    if (this.#damages.has(name) || this.#damages.size >= maxDamages) return false;
    this.#damages.set(name, { stripeId: stripe.id, shard });
    return true;
  }

  /** Rebuilds the shards that were found damaged. What cannot be done now waits, longer each time. Returns how many were. */
  async repairDamages(signal: AbortSignal): Promise<number> {
    const due = [...this.#damages].filter(([, { stripeId }]) => this.#isDue(stripeId));
    const byStripe = Map.groupBy(due, ([, { stripeId }]) => stripeId);
    const stripes = await this.#parts.metadata.findStripes([...byStripe.keys()]);
    // Only now: what is found from here on counts anew.
    for (const [name] of due) this.#damages.delete(name);
    let repaired = 0;
    await forEachBounded(stripes.values(), width, async (stripe) => {
      signal.throwIfAborted();
      const damages = byStripe.get(stripe.id) ?? [];
      const lost = stripe.shards.filter((placed) => damages.some(([, { shard }]) => isSamePlace(shard, placed)));
      if (lost.length === 0) return;
      const shards = stripe.shards.filter((placed) => !lost.includes(placed));
      const indexes = await this.#repairPinned({ ...stripe, shards }, lost, signal);
      repaired += indexes.length;
      const left = damages.filter(([, { shard }]) => lost.some(({ index }) => index === shard.index));
      for (const [name, damage] of left) if (!indexes.includes(damage.shard.index)) this.#damages.set(name, damage);
      if (lost.every(({ index }) => indexes.includes(index))) this.#stuck.delete(stripe.id);
      else this.#noteStuck(stripe.id);
    });
    return repaired;
  }

  /** One round over the stripes that lack the most. One that cannot be repaired now waits, longer each time. */
  async repairDegraded(signal: AbortSignal): Promise<RepairPass> {
    const { metadata } = this.#parts;
    const limit = batch + this.#stuck.size;
    const stripes = await metadata.listDegradedStripes(limit);
    let repaired = 0;
    let waiting = stripes.length;
    await forEachBounded(stripes, width, async (stripe) => {
      signal.throwIfAborted();
      if (!this.#isDue(stripe.id)) return;
      const { length: count } = await this.#repairPinned(stripe, [], signal);
      repaired += count;
      if (count === 0) return this.#noteStuck(stripe.id);
      this.#stuck.delete(stripe.id);
      waiting -= 1;
    });
    return { repaired, waiting, isCut: stripes.length === limit && repaired > 0 };
  }

  #isDue(id: StripeId): boolean {
    return (this.#stuck.get(id)?.retryAtMs ?? 0) <= this.#parts.clock.now();
  }

  #noteStuck(id: StripeId): void {
    const delayMs = Math.min(2 * (this.#stuck.get(id)?.delayMs ?? firstRetryMs / 2), maxRetryMs);
    this.#stuck.delete(id);
    this.#stuck.set(id, { delayMs, retryAtMs: this.#parts.clock.now() + delayMs });
    const [oldest] = this.#stuck.keys();
    if (this.#stuck.size > maxStuck && oldest !== undefined) this.#stuck.delete(oldest);
  }

  /**
   * Returns which shards the stripe got back, by index.
   *
   * @param stripe with the shards that are good
   * @param lost those that the metadata know and that are not
   */
  async #repairPinned(stripe: Stripe, lost: readonly PlacedShard[], signal: AbortSignal): Promise<number[]> {
    const { pins, log } = this.#parts;
    pins.pin([stripe.id]);
    try {
      return await this.#repairStripe(stripe, lost, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      const level = isFailure(error, 'too-few-shards') ? 'error' : 'warn';
      log[level]({ stripe: stripe.id, err: error }, 'stripe cannot be repaired now');
      return [];
    } finally {
      pins.unpin([stripe.id]);
    }
  }

  async #repairStripe(stripe: Stripe, lost: readonly PlacedShard[], signal: AbortSignal): Promise<number[]> {
    const lanes = this.#openLanes(stripe, signal);
    if (lanes.length === 0) return [];
    try {
      const rows = rowCount(stripe);
      for (let row = 0; row < rows && lanes.some((lane) => !lane.isDead); row++) {
        await this.#copyRow(stripe, row, lanes, row === rows - 1, signal);
      }
      checkRebuilt(stripe, lanes, lost);
      await Promise.all(lanes.filter((lane) => !lane.isDead).map((lane) => lane.commit()));
    } catch (error) {
      await Promise.all(lanes.map((lane) => lane.abort()));
      throw error;
    }
    const recorded = await this.#record(stripe, lanes);
    await this.#deleteMoved(lanes, lost, signal);
    return recorded;
  }

  /** A lane for each lacking shard for which there is a good provider. */
  #openLanes(stripe: Stripe, signal: AbortSignal): ShardLane[] {
    const { fleet, limits, noteProviderFailure } = this.#parts;
    const holders = stripe.shards.map((shard) => shard.providerId);
    const present = new Set(stripe.shards.map((shard) => shard.index));
    const free = fleet.members.filter(({ provider: { id } }) => !holders.includes(id) && !fleet.isSuspect(id));
    const placer = fleet.placeStripe({ id: stripe.id, k: stripe.k, m: stripe.m, holders });
    const setting = {
      placer: {
        take: () => {
          const provider = placer.take();
          return provider && !fleet.isSuspect(provider.id) ? provider : undefined;
        },
        giveBack: placer.giveBack,
      },
      isSuspect: (provider: Provider) => fleet.isSuspect(provider.id),
      noteFailure: noteProviderFailure,
      suspectWaitMs: limits.suspectWaitMs,
      signal,
    };
    const { id: stripeId, profileName, k, m, blockBytes } = stripe;
    return Array.from({ length: k + m }, (_, index) => index)
      .filter((index) => !present.has(index) && storedBlockCount(stripe, index) > 0)
      .slice(0, free.length)
      .map((index) => new ShardLane({ stripeId, profileName, k, m, index, blockBytes }, setting));
  }

  /** Rebuilds the lacking blocks of one row and sends them on. */
  async #copyRow(
    stripe: Stripe,
    row: number,
    lanes: readonly ShardLane[],
    isLast: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { readBudget, blocks, codec, metrics, limits } = this.#parts;
    const wanted = lanes.map((lane) => lane.index).filter((index) => storedBlockBytes(stripe, index, row) > 0);
    const bytes = (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row);
    const lease = await readBudget.acquire(Math.min(bytes, readBudget.capacityBytes), signal);
    try {
      const parts = { blocks, codec, metrics, hedgeMs: limits.hedgeMs };
      const rebuilt = wanted.length > 0 ? await readRow(parts, { stripe, row, wanted }, signal) : [];
      const end = isLast ? stripe : undefined;
      const appends = lanes.map((lane) => lane.append(rebuilt[wanted.indexOf(lane.index)], end));
      await Promise.all(appends);
    } finally {
      lease.release();
    }
  }

  /** What was wrong where it lay is of no use there once the shard lies elsewhere. */
  async #deleteMoved(lanes: readonly ShardLane[], lost: readonly PlacedShard[], signal: AbortSignal): Promise<void> {
    const moved = lost.filter(({ index, providerId }) => {
      const placed = lanes.find((lane) => lane.index === index)?.placed;
      return placed !== undefined && placed.providerId !== providerId;
    });
    const deletions = moved.map(({ providerId, cid }) => this.#parts.fleet.find(providerId)?.deleteShard(cid, signal));
    // What cannot be deleted now goes with its stripe, or as an orphan.
    await Promise.allSettled(deletions);
  }

  async #record(stripe: Stripe, lanes: readonly ShardLane[]): Promise<number[]> {
    const { metadata, metrics } = this.#parts;
    const recorded: number[] = [];
    for (const lane of lanes) {
      if (lane.placed === undefined) continue;
      await metadata.recordShard(stripe.id, lane.placed).catch(async (error: unknown) => {
        // The stripe is gone, and nobody else will ever know of this shard.
        if (isFailure(error, 'stripe-missing')) await lane.abort();
        throw error;
      });
      metrics.shardsRepaired.inc();
      recorded.push(lane.index);
    }
    return recorded;
  }
}

function isSamePlace(a: PlacedShard, b: PlacedShard): boolean {
  return a.index === b.index && a.providerId === b.providerId && a.cid === b.cid;
}

/** The same bytes have the same name. @throws Failure `shard-corrupt` where the codec computed others */
function checkRebuilt(stripe: Stripe, lanes: readonly ShardLane[], lost: readonly PlacedShard[]): void {
  for (const { index, providerId, cid } of lost) {
    const lane = lanes.find((each) => each.index === index);
    if (lane === undefined || lane.cid === undefined || lane.cid === cid) continue;
    throw new Failure('shard-corrupt', { providerId, cid, reason: `rebuilt as ${lane.cid} in stripe ${stripe.id}` });
  }
}
