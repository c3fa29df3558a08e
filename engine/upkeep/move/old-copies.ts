import { isFailure } from '../../../core/failure.ts';
import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { ProviderId, ShardCid, StripeId } from '../../../core/model.ts';
import type { EngineParts } from '../../engine-parts.ts';

/** What is dropped beyond this, or by a restart, is found by the search for orphans. */
const maxCopies = 20_000;
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
  #waiting = new Map<string, OldCopy & { readonly sinceMs: number }>();
  #lastChangeMs = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /** When there was one more or one less of them; 0 before the first. */
  get lastChangeMs(): number {
    return this.#lastChangeMs;
  }

  get count(): number {
    return this.#waiting.size;
  }

  countAt(id: ProviderId): number {
    let count = 0;
    for (const { holder } of this.#waiting.values()) if (holder === id) count += 1;
    return count;
  }

  /** Whether such a copy may still be needed. */
  has(holder: ProviderId, cid: ShardCid): boolean {
    return this.#waiting.has(`${holder} ${cid}`);
  }

  /** Called once it is recorded that the shard lies elsewhere. */
  add(copy: OldCopy): void {
    const sinceMs = this.#parts.clock.now();
    this.#lastChangeMs = sinceMs;
    if (this.#waiting.size < maxCopies) this.#waiting.set(`${copy.holder} ${copy.cid}`, { ...copy, sinceMs });
  }

  /** Deletes those that may go by now. */
  async sweep(signal: AbortSignal): Promise<void> {
    const { clock, limits, pins, journal, fleet } = this.#parts;
    const graceMs = clock.now() - limits.freedGraceMs;
    const coversUntilMs = journal.coversUntilMs();
    const due = [...this.#waiting].filter(
      ([, { stripeId, sinceMs }]) => sinceMs <= graceMs && sinceMs < coversUntilMs && !pins.isPinned(stripeId),
    );
    await forEachBounded(due, width, async ([name, copy]) => {
      signal.throwIfAborted();
      // At one that is away it is an orphan when it is back.
      if (fleet.standingOf(copy.holder) === 'up') await this.#delete(copy, signal);
      this.#waiting.delete(name);
      this.#lastChangeMs = clock.now();
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
      if (!isFailure(error)) throw error;
      log.debug({ provider: holder, cid, err: error }, 'a moved shard stays as an orphan where it was');
    } finally {
      release();
    }
  }
}
