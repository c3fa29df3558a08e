import type { ProviderId } from '../../../core/model.ts';
import type { EngineParts } from '../../engine-parts.ts';
import type { Liars } from '../liars.ts';
import { Throttle } from '../throttle.ts';
import { Drainer, type DrainProgress } from './drain.ts';
import { OldCopies } from './old-copies.ts';
import { PlacementList } from './placement-list.ts';
import { type RebalanceProgress, Rebalancer } from './rebalance.ts';

export interface MoveProgress {
  readonly drains: readonly DrainProgress[];
  readonly rebalance: RebalanceProgress;
  /** Copies that still lie where shards were moved from, until nobody can need them. */
  readonly oldCopies: number;
}

/** Moves whole shards between providers: empties those that drain, then evens out. */
export class ShardMover {
  readonly #oldCopies: OldCopies;
  readonly #list: PlacementList;
  readonly #drainer: Drainer;
  readonly #rebalancer: Rebalancer;
  readonly #intervalMs: number;

  /** @param liars shared with repair */
  constructor(parts: EngineParts, liars: Liars) {
    const { moveBytesPerS, repairOpsPerS, upkeepIntervalMs } = parts.limits;
    const throttle = new Throttle({ bytesPerS: moveBytesPerS, operationsPerS: repairOpsPerS, load: parts.clientLoad });
    this.#oldCopies = new OldCopies(parts);
    this.#list = new PlacementList(parts);
    const setting = { oldCopies: this.#oldCopies, liars };
    const others = { throttle, setting, list: this.#list };
    this.#drainer = new Drainer(parts, others);
    this.#rebalancer = new Rebalancer(parts, others);
    this.#intervalMs = upkeepIntervalMs;
  }

  /** Does a page of what there is to do. Returns in how many milliseconds it is time for more. */
  async movePage(signal: AbortSignal): Promise<number> {
    const drained = await this.#drainer.drainPage(true, signal);
    // A provider that is to go is more urgent than one that is too full.
    const evened = drained.moved > 0 ? undefined : await this.#rebalancer.rebalancePage(true, signal);
    await this.#oldCopies.sweep(signal);
    const isMore = drained.moved > 0 || evened?.isMore === true;
    return isMore ? 0 : this.#intervalMs;
  }

  /** Does all that can be done now, as fast as it can. Returns how many shards were moved. */
  async moveAll(signal: AbortSignal): Promise<number> {
    this.#drainer.restart();
    this.#rebalancer.restart();
    this.#list.expire();
    let total = 0;
    for (let isMore = true; isMore; ) {
      const drained = await this.#drainer.drainPage(false, signal);
      total += drained.moved;
      isMore = drained.isMore;
    }
    this.#list.expire();
    for (let isMore = true; isMore; ) {
      const evened = await this.#rebalancer.rebalancePage(false, signal);
      total += evened.moved;
      isMore = evened.isMore;
    }
    this.#list.expire();
    await this.#oldCopies.sweep(signal);
    return total;
  }

  /** Deletes what may go of what was moved from a provider and still lies there. Returns how many copies are left. */
  async clearOldCopies(id: ProviderId, signal: AbortSignal): Promise<number> {
    if (this.#oldCopies.countAt(id) > 0) await this.#oldCopies.sweep(signal);
    return this.#oldCopies.countAt(id);
  }

  async readProgress(): Promise<MoveProgress> {
    return {
      drains: await this.#drainer.readProgress(),
      rebalance: this.#rebalancer.progress,
      oldCopies: this.#oldCopies.count,
    };
  }
}
