import { markDurableStep } from '../../core/durable-steps.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, ShardCid, Stripe } from '../../core/model.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { EngineParts } from '../engine-parts.ts';

const freedBatch = 500;
const orphanBatch = 500;
/** Stripes or shards dealt with at once: enough to share the store's commits, few enough not to be in the way. */
const width = 16;
/** By how much a provider's clock may differ from ours. */
const clockSkewMs = 300_000;

export interface FreedPass {
  readonly forgotten: number;
  /** Stripes that must wait: somebody reads them, or a provider does not delete. */
  readonly stayed: number;
  /** Whether there was more than one pass takes. */
  readonly isCut: boolean;
}

/** Deletes shards that nothing needs any more: those of freed stripes, and orphans that no stripe is known for. */
export class Collector {
  readonly #parts: EngineParts;
  /** Providers that the search for orphans has yet to walk, with where it stands in the first of them. */
  #walk: { providers: Provider[]; cursor: string | undefined } | undefined;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /**
   * Forgets stripes that were freed longer ago than `freedGraceMs`, once their shards are deleted. One that is being
   * read, or of which a provider cannot delete its shard now, stays for a later pass; so does one of which the journal
   * does not say yet that it was freed.
   *
   * @param extra how many more to look at, since as many stayed last time
   */
  async collectFreed(extra: number, signal: AbortSignal): Promise<FreedPass> {
    const { metadata, clock, limits, pins, journal } = this.#parts;
    const limit = freedBatch + extra;
    const beforeMs = Math.min(clock.now() - limits.freedGraceMs, journal.coversUntilMs());
    const stripes = await metadata.listFreedStripes(beforeMs, limit);
    const failing = new Set<Provider>();
    let forgotten = 0;
    await forEachBounded(stripes, width, async (stripe) => {
      signal.throwIfAborted();
      if (pins.isPinned(stripe.id) || !(await this.#deleteStripe(stripe, failing, signal))) return;
      markDurableStep('freed-deleted');
      await metadata.forgetStripe(stripe.id);
      forgotten += 1;
    });
    return { forgotten, stayed: stripes.length - forgotten, isCut: stripes.length === limit };
  }

  /**
   * Looks at one page of one provider's shards, and deletes those that are older than `orphanAgeMs` and belong to no
   * known stripe. Shards that may belong to a write under way are spared, however old.
   *
   * @returns whether the walk over all providers is done; the next call then begins anew
   */
  async collectOrphans(signal: AbortSignal): Promise<boolean> {
    const { fleet, clock, limits, pins, metadata } = this.#parts;
    this.#walk ??= { providers: fleet.members.map((member) => member.provider), cursor: undefined };
    const walk = this.#walk;
    const provider = walk.providers[0];
    if (provider === undefined) {
      this.#walk = undefined;
      return true;
    }
    const beforeMs = Math.min(clock.now() - limits.orphanAgeMs, pins.oldestWriteMs() - clockSkewMs);
    try {
      const page = await provider.listShards(walk.cursor, orphanBatch, signal);
      const old = page.shards.filter((shard) => shard.modifiedAtMs < beforeMs).map((shard) => shard.cid);
      const known = old.length > 0 ? await metadata.knownShards(old) : new Set<ShardCid>();
      const orphans = old.filter((cid) => !known.has(cid));
      await forEachBounded(orphans, width, (cid) => this.#deleteShard(provider, cid, 'orphan', signal));
      walk.cursor = page.cursor;
    } catch (error) {
      signal.throwIfAborted();
      this.#parts.log.warn({ provider: provider.id, err: error }, 'search for orphans skips a provider');
      walk.cursor = undefined;
    }
    if (walk.cursor === undefined) walk.providers.shift();
    if (walk.providers.length > 0) return false;
    this.#walk = undefined;
    return true;
  }

  /** @param failing providers that failed in this pass, which are not asked again */
  async #deleteStripe(stripe: Stripe, failing: Set<Provider>, signal: AbortSignal): Promise<boolean> {
    const { fleet } = this.#parts;
    const placed = stripe.shards.map((shard: PlacedShard) => ({ shard, provider: fleet.find(shard.providerId) }));
    const isWaiting = ({ provider }: { provider: Provider | undefined }): boolean =>
      provider !== undefined && (failing.has(provider) || fleet.isSuspect(provider.id));
    // Whole or not at all, so that a stripe that has to wait costs no calls each time.
    if (placed.some(isWaiting)) return false;
    const deletions = placed.map(async ({ shard, provider }) => {
      // What lies at a provider that is no longer configured is an orphan, should it ever come back.
      if (provider === undefined) return true;
      try {
        await this.#deleteShard(provider, shard.cid, 'freed', signal);
        return true;
      } catch (error) {
        signal.throwIfAborted();
        failing.add(provider);
        this.#parts.log.warn({ provider: provider.id, cid: shard.cid, err: error }, 'shard cannot be deleted now');
        return false;
      }
    });
    return (await Promise.all(deletions)).every((isGone) => isGone);
  }

  async #deleteShard(provider: Provider, cid: ShardCid, cause: 'freed' | 'orphan', signal: AbortSignal): Promise<void> {
    await provider.deleteShard(cid, signal);
    this.#parts.metrics.shardsCollected.inc({ cause });
  }
}
