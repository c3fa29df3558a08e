import type { ProviderId, ProviderRecord } from '../core/model.ts';
import { type Capacity, unboundedBytes } from './providers/provider.ts';

/** A change of free space by less than this share is not worth placing differently. */
const significantChange = 1 / 8;
/** Below this share of its capacity a provider counts as full. */
const fullShare = 1 / 1000;
/** A provider that is full still has a weight, so that it is asked when nobody else is left. */
const fullWeight = 1e-12;
/**
 * How much space the providers of a fleet have, as far as placement should care. New data goes where there is space: a
 * provider's weight counts times its free bytes, so that all of them fill up at about the same time, and one that is
 * nearly full fades out. It counts in steps: the free space that is placed by stays the same until some provider's
 * has changed by an eighth, and is then taken anew of all of them.
 *
 * A provider of which nothing is known, or that knows no bound (a bucket), counts like the one that has the most.
 */
export class FleetSpace {
  readonly #measured = new Map<ProviderId, Capacity>();
  /** Free bytes that placement goes by. */
  #counted = new Map<ProviderId, number>();

  find(id: ProviderId): Capacity | undefined {
    return this.#measured.get(id);
  }

  /** Notes what was measured. Returns whether stripes should be placed differently from now on. */
  measure(capacities: ReadonlyMap<ProviderId, Capacity>): boolean {
    for (const [id, capacity] of capacities) this.#measured.set(id, capacity);
    const isChanged = Array.from(this.#measured).some(([id, { freeBytes }]) => {
      const counted = this.#counted.get(id);
      return counted === undefined || Math.abs(freeBytes - counted) > counted * significantChange;
    });
    if (isChanged) this.#counted = new Map(Array.from(this.#measured, ([id, { freeBytes }]) => [id, freeBytes]));
    return isChanged;
  }

  forget(id: ProviderId): void {
    this.#measured.delete(id);
    this.#counted.delete(id);
  }

  /** Whether it has next to no space left, by what was last measured. */
  isFull(id: ProviderId): boolean {
    const capacity = this.#measured.get(id);
    return capacity !== undefined && capacity.freeBytes < capacity.totalBytes * fullShare;
  }

  /** What each provider's weight comes to, free space considered. */
  weigh(records: readonly ProviderRecord[]): number[] {
    const free = records.map(({ id }) => this.#boundedFree(id));
    const most = free.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
    return records.map(({ weight }, index) => {
      const share = most > 0 ? (free[index] ?? most) / most : 1;
      return weight * Math.max(share, fullWeight);
    });
  }

  #boundedFree(id: ProviderId): number | undefined {
    const total = this.#measured.get(id)?.totalBytes;
    if (total === undefined || !(total < unboundedBytes)) return undefined;
    return this.#counted.get(id);
  }
}
