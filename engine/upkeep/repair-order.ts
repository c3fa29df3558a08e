import type { JudgedPlacement, WatchedPlacements } from './placement-watch.ts';
import type { Redundancy } from './redundancy.ts';

/** Above any number of shards that a stripe has. */
const shardSpan = 1_000;

/**
 * What is to be repaired, in this order: by how many losses it can bear now, and among equals by how many shards it lacks.
 * What cannot be read now comes last. To add or drop one costs the same however many there are.
 */
export class RepairOrder implements WatchedPlacements, Iterable<JudgedPlacement> {
  readonly #byRank = new Map<number, Map<number, JudgedPlacement>>();
  readonly #rankOf = new Map<number, number>();
  #ranks: readonly number[] = [];

  get size(): number {
    return this.#rankOf.size;
  }

  has(id: number): boolean {
    return this.#rankOf.has(id);
  }

  set(id: number, judged: JudgedPlacement): void {
    const rank = rankOf(judged.redundancy);
    if (this.#rankOf.get(id) !== rank) this.delete(id);
    let alike = this.#byRank.get(rank);
    if (alike === undefined) {
      alike = new Map();
      this.#byRank.set(rank, alike);
      this.#ranks = [...this.#byRank.keys()].sort((a, b) => a - b);
    }
    alike.set(id, judged);
    this.#rankOf.set(id, rank);
  }

  delete(id: number): void {
    const rank = this.#rankOf.get(id);
    if (rank === undefined) return;
    this.#byRank.get(rank)?.delete(id);
    this.#rankOf.delete(id);
  }

  clear(): void {
    this.#byRank.clear();
    this.#rankOf.clear();
    this.#ranks = [];
  }

  /** May be gone through while it changes. */
  *[Symbol.iterator](): Iterator<JudgedPlacement> {
    for (const rank of this.#ranks) yield* this.#byRank.get(rank)?.values() ?? [];
  }
}

function rankOf({ margin, lacking }: Redundancy): number {
  return (margin >= 0 ? margin : 2 * shardSpan + margin) * shardSpan - lacking;
}
