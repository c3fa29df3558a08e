import type { ProviderId } from '../../../core/model.ts';
import { type Capacity, unboundedBytes } from '../../../placement/providers/provider.ts';
import type { HeldShards } from '../../fleet/count-held.ts';

/** So long after the last move what was measured before it counts no more. */
const settleMs = 120_000;

/**
 * How much of this store's data each provider has room for: what it holds of them and what is free. Moving shards does not change that,
 * but what is free is measured only now and then, and what was moved is freed later; so nothing is measured anew while shards move.
 */
export class HeldSpace {
  readonly #known = new Map<ProviderId, { readonly bytes: number; readonly measured: Capacity }>();

  /** @param lastMoveMs when a shard was last moved, or its old copy deleted */
  measure(
    ids: readonly ProviderId[],
    given: {
      readonly capacityOf: (id: ProviderId) => Capacity | undefined;
      readonly held: ReadonlyMap<ProviderId, HeldShards>;
      readonly lastMoveMs: number;
      readonly nowMs: number;
    },
  ): void {
    const isQuiet = given.nowMs - given.lastMoveMs >= settleMs;
    for (const id of this.#known.keys()) if (!ids.includes(id)) this.#known.delete(id);
    for (const id of ids) {
      const measured = given.capacityOf(id);
      const known = this.#known.get(id);
      if (measured === undefined || measured.totalBytes >= unboundedBytes) this.#known.delete(id);
      else if (known === undefined || (isQuiet && known.measured !== measured)) {
        this.#known.set(id, { bytes: (given.held.get(id)?.bytes ?? 0) + measured.freeBytes, measured });
      }
    }
  }

  /** Its room against that of the one with the most: 0 to 1. One of which nothing is known, or that knows no bound, counts as 1. */
  ratioOf(id: ProviderId): number {
    const most = Math.max(0, ...[...this.#known.values()].map(({ bytes }) => bytes));
    const bytes = this.#known.get(id)?.bytes;
    return bytes === undefined || most === 0 ? 1 : bytes / most;
  }
}
