import { isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import type { EngineParts } from '../engine-parts.ts';
import { checkShard } from './check-shard.ts';

/** What is dropped beyond this is found again by the next read, or by scrub. */
const maxNotes = 10_000;
const maxStripes = 1_000;
/** Shards that are looked at at once. */
const width = 4;

interface Damage {
  readonly stripe: Stripe;
  readonly shard: PlacedShard;
}

/**
 * Shards that reads found to be gone or wrong. Each is looked at once more, since a read may have begun before the shard was
 * repaired, or the fault was on the way; what is confirmed is recorded, and from then on the metadata tell of it.
 */
export class DamageNotes {
  readonly #parts: EngineParts;
  readonly #waiting = new Map<string, Damage>();
  readonly #stripes = new Set<StripeId>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** Returns whether it was not known. */
  note(stripe: Stripe, shard: PlacedShard): boolean {
    const isRecorded = stripe.shards.some(({ index, cid }) => index === shard.index && cid === shard.cid);
    if (!isRecorded) return false;
    const name = `${stripe.id} ${shard.index}`;
    if (this.#waiting.has(name) || this.#waiting.size >= maxNotes) return false;
    this.#waiting.set(name, { stripe, shard });
    return true;
  }

  /** Looks at what was noted, and records what is so. */
  async confirm(signal: AbortSignal): Promise<void> {
    const waiting = [...this.#waiting.values()];
    // Only now: what is found from here on counts anew.
    this.#waiting.clear();
    await forEachBounded(waiting, width, async ({ stripe, shard }) => {
      signal.throwIfAborted();
      if (!(await this.#isDamaged(stripe, shard, signal))) return;
      await this.#parts.metadata.loseShard(stripe.id, shard);
      if (this.#stripes.size < maxStripes) this.#stripes.add(stripe.id);
    });
  }

  /** Stripes of which a shard was confirmed to be damaged since the last call. */
  takeStripes(): StripeId[] {
    const stripes = [...this.#stripes];
    this.#stripes.clear();
    return stripes;
  }

  async #isDamaged(stripe: Stripe, shard: PlacedShard, signal: AbortSignal): Promise<boolean> {
    const provider = this.#parts.fleet.find(shard.providerId);
    if (provider === undefined) return false;
    try {
      await checkShard(provider, stripe, shard, signal);
      return false;
    } catch (error) {
      signal.throwIfAborted();
      return isFailure(error, 'shard-missing') || isFailure(error, 'shard-corrupt');
    }
  }
}
