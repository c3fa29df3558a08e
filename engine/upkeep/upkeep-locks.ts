import { KeyedLock } from '../../core/keyed-lock.ts';
import type { ProviderId, ShardCid, StripeId } from '../../core/model.ts';

/** Keeps apart what two tasks of upkeep must not do at the same time. */
export class UpkeepLocks {
  readonly #stripes = new KeyedLock();
  readonly #shards = new KeyedLock();

  /**
   * For whoever places shards of a stripe that is there already, from looking up where they lie until the new places are recorded: two at
   * once would choose one provider for two shards.
   *
   * @returns what releases it
   */
  lockStripe(id: StripeId): Promise<() => void> {
    return this.#stripes.acquire(id);
  }

  /**
   * For whoever puts a shard at a provider under a name that may lie there already, from before it is put until it is recorded; and for
   * whoever deletes one there because nobody has recorded it, from before the metadata are asked until it is gone. Else a shard could be
   * found there, counted as written, recorded, and deleted right after.
   *
   * @returns what releases it
   */
  lockShard(holder: ProviderId, cid: ShardCid): Promise<() => void> {
    return this.#shards.acquire(`${holder} ${cid}`);
  }

  /** As `lockShard`, but undefined while somebody else has it. */
  tryLockShard(holder: ProviderId, cid: ShardCid): (() => void) | undefined {
    return this.#shards.tryAcquire(`${holder} ${cid}`);
  }
}
