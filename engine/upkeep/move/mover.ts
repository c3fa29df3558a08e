import type { EngineParts } from '../../engine-parts.ts';
import { Throttle } from '../throttle.ts';
import { Drainer, type DrainProgress } from './drain.ts';
import { OldCopies } from './old-copies.ts';
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
  readonly #drainer: Drainer;
  readonly #rebalancer: Rebalancer;
  readonly #intervalMs: number;

  constructor(parts: EngineParts) {
    const { moveBytesPerS, repairOpsPerS, upkeepIntervalMs } = parts.limits;
    const throttle = new Throttle({ bytesPerS: moveBytesPerS, operationsPerS: repairOpsPerS, load: parts.clientLoad });
    this.#oldCopies = new OldCopies(parts);
    const others = { throttle, oldCopies: this.#oldCopies };
    this.#drainer = new Drainer(parts, others);
    this.#rebalancer = new Rebalancer(parts, others);
    this.#intervalMs = upkeepIntervalMs;
  }

  /** Does a page of what there is to do. Returns in how many milliseconds it is time for more. */
  async movePage(signal: AbortSignal): Promise<number> {
    const { isMore } = await this.#drainer.drainPage(true, signal);
    // A provider that is to go is more urgent than one that is too full.
    const moved = isMore ? 0 : await this.#rebalancer.rebalancePage(true, signal);
    await this.#oldCopies.sweep(signal);
    return isMore || moved > 0 ? 0 : this.#intervalMs;
  }

  /** Does all that can be done now, as fast as it can. Returns how many shards were moved. */
  async moveAll(signal: AbortSignal): Promise<number> {
    let total = 0;
    for (let isMore = true; isMore; ) {
      const drained = await this.#drainer.drainPage(false, signal);
      const moved = drained.isMore ? drained.moved : await this.#rebalancer.rebalancePage(false, signal);
      total += moved;
      isMore = drained.isMore || moved > 0;
    }
    await this.#oldCopies.sweep(signal);
    return total;
  }

  async readProgress(): Promise<MoveProgress> {
    return {
      drains: await this.#drainer.readProgress(),
      rebalance: this.#rebalancer.progress,
      oldCopies: this.#oldCopies.count,
    };
  }
}
