import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, ShardCid, StripeId } from '../../../core/model.ts';
import type { EngineParts } from '../../engine-parts.ts';

/** What is dropped beyond this, or by a restart, is found by the search for orphans. */
const maxCopies = 10_000;
const width = 8;

interface OldCopy {
  readonly holder: ProviderId;
  readonly stripeId: StripeId;
  readonly cid: ShardCid;
}

/**
 * Shards that were moved, where they lay before. They are deleted once nobody reads them there any more and the journal says
 * where they lie now: if the gateway's disk were lost, what would be recovered must not name a place where they are gone.
 */
export class OldCopies {
  readonly #parts: EngineParts;
  #waiting: (OldCopy & { readonly sinceMs: number })[] = [];

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#waiting.length;
  }

  add(copy: OldCopy): void {
    if (this.#waiting.length < maxCopies) this.#waiting.push({ ...copy, sinceMs: this.#parts.clock.now() });
  }

  /** Deletes those that may go by now. */
  async sweep(signal: AbortSignal): Promise<void> {
    const { clock, limits, pins, journal, fleet } = this.#parts;
    const beforeMs = clock.now() - limits.freedGraceMs;
    const isDue = ({ stripeId, sinceMs }: OldCopy & { sinceMs: number }): boolean =>
      sinceMs <= beforeMs && !pins.isPinned(stripeId);
    const due = this.#waiting.filter(isDue);
    if (due.length === 0) return;
    await journal.flush();
    this.#waiting = this.#waiting.filter((copy) => !due.includes(copy));
    await forEachBounded(due, width, async (copy) => {
      signal.throwIfAborted();
      // At one that is away it is an orphan when it is back.
      if (fleet.standingOf(copy.holder) === 'up') await this.#delete(copy, signal);
    });
  }

  async #delete({ holder, cid }: OldCopy, signal: AbortSignal): Promise<void> {
    const { locks, metadata, fleet, log } = this.#parts;
    const release = await locks.lockShard(holder, cid);
    try {
      // It may have been moved back meanwhile.
      if ((await metadata.knownShards([cid], holder)).has(cid)) return;
      await fleet.find(holder)?.deleteShard(cid, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ provider: holder, cid, err: error }, 'a moved shard stays as an orphan where it was');
    } finally {
      release();
    }
  }
}
