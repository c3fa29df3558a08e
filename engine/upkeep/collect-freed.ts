import { markDurableStep } from '../../core/durable-steps.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, ProviderId, Stripe } from '../../core/model.ts';
import type { EngineParts } from '../engine-parts.ts';

const batch = 500;
/** Stripes dealt with at once: enough to share the store's commits, few enough not to be in the way. */
const width = 16;
/** How long freed stripes wait for a provider that does not answer. After that its shards are left to the search for orphans. */
const patienceMs = 60_000;

export interface FreedPass {
  readonly forgotten: number;
  /** Stripes that must wait: somebody reads them, or a provider does not delete. */
  readonly stayed: number;
  /** Whether there was more than one pass takes. */
  readonly isCut: boolean;
}

/** Deletes the shards of stripes that nothing refers to any more. */
export class FreedCollector {
  readonly #parts: EngineParts;
  /** Since when a provider has failed or been down, as far as this has seen. */
  readonly #failing = new Map<ProviderId, { readonly sinceMs: number; readonly cause: 'down' | 'failed' }>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /**
   * Forgets stripes that were freed longer ago than `freedGraceMs`, once their shards are deleted. One that is being
   * read stays for a later pass; so does one of which a provider cannot delete its shard now, for a moment: what a provider keeps that
   * has failed for longer, or is not in the fleet, is an orphan there, which is collected when it comes back. A stripe of which the journal
   * does not say yet that it was freed stays too.
   *
   * @param extra how many more to look at, since as many stayed last time
   */
  async collect(extra: number, signal: AbortSignal): Promise<FreedPass> {
    const { metadata, clock, limits, pins, journal } = this.#parts;
    const limit = batch + extra;
    const beforeMs = Math.min(clock.now() - limits.freedGraceMs, journal.coversUntilMs());
    const stripes = await metadata.listFreedStripes(beforeMs, limit);
    this.#noteDown(stripes);
    const failed = new Set<ProviderId>();
    let forgotten = 0;
    await forEachBounded(stripes, width, async (stripe) => {
      signal.throwIfAborted();
      if (pins.isPinned(stripe.id) || !(await this.#deleteShards(stripe, failed, signal))) return;
      markDurableStep('freed-deleted');
      await metadata.forgetStripe(stripe.id);
      forgotten += 1;
    });
    return { forgotten, stayed: stripes.length - forgotten, isCut: stripes.length === limit };
  }

  /**
   * Returns whether the stripe can be forgotten.
   *
   * @param failed providers that failed in this pass, which are not asked again
   */
  async #deleteShards(stripe: Stripe, failed: Set<ProviderId>, signal: AbortSignal): Promise<boolean> {
    const shards = [...stripe.shards, ...(stripe.lostShards ?? [])];
    const isSilent = ({ providerId }: PlacedShard): boolean =>
      failed.has(providerId) || this.#parts.fleet.standingOf(providerId) !== 'up';
    // Whole or not at all, so that a stripe that has to wait costs no calls each time.
    if (shards.some((shard) => isSilent(shard) && !this.#isGivenUp(shard.providerId))) return false;
    const deletions = shards.map(async (shard) => {
      const { providerId, cid } = shard;
      if (isSilent(shard)) return true;
      try {
        await this.#parts.fleet.find(providerId)?.deleteShard(cid, signal);
        this.#failing.delete(providerId);
        this.#parts.metrics.shardsCollected.inc({ cause: 'freed' });
        return true;
      } catch (error) {
        signal.throwIfAborted();
        failed.add(providerId);
        this.#noteFailing(providerId, 'failed');
        this.#parts.log.warn({ provider: providerId, cid, err: error }, 'shard cannot be deleted now');
        return this.#isGivenUp(providerId);
      }
    });
    return (await Promise.all(deletions)).every((isGone) => isGone);
  }

  /** Whether nobody waits for the provider any more. */
  #isGivenUp(id: ProviderId): boolean {
    const { fleet, clock } = this.#parts;
    if (fleet.find(id) === undefined || fleet.standingOf(id) === 'lost') return true;
    const failing = this.#failing.get(id);
    return failing !== undefined && clock.now() - failing.sinceMs >= patienceMs;
  }

  /** Looks who is down. One that is up again starts anew. */
  #noteDown(stripes: readonly Stripe[]): void {
    const { fleet } = this.#parts;
    for (const [id, { cause }] of this.#failing) {
      if (cause === 'down' && fleet.standingOf(id) === 'up') this.#failing.delete(id);
    }
    for (const { providerId } of stripes.flatMap(({ shards }) => shards)) {
      if (fleet.standingOf(providerId) === 'down') this.#noteFailing(providerId, 'down');
    }
  }

  #noteFailing(id: ProviderId, cause: 'down' | 'failed'): void {
    if (!this.#failing.has(id)) this.#failing.set(id, { sinceMs: this.#parts.clock.now(), cause });
  }
}
