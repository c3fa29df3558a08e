import type { StripeId } from '../core/model.ts';

/** Which stripes this process reads, and since when it writes: what `collect` must leave alone. */
export class StripePins {
  readonly #counts = new Map<StripeId, number>();
  readonly #writes = new Set<{ readonly number: number; readonly startedAtMs: number }>();

  isPinned(id: StripeId): boolean {
    return this.#counts.has(id);
  }

  pin(ids: readonly StripeId[]): void {
    for (const id of ids) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
  }

  unpin(ids: readonly StripeId[]): void {
    for (const id of ids) {
      const count = this.#counts.get(id) ?? 0;
      if (count > 1) this.#counts.set(id, count - 1);
      else this.#counts.delete(id);
    }
  }

  /**
   * Notes that shards are being written which the metadata store does not know yet. Returns what ends it.
   *
   * @param number that the store will know what is written by
   */
  beginWrite(number: number, startedAtMs: number): () => void {
    const write = { number, startedAtMs };
    this.#writes.add(write);
    return () => void this.#writes.delete(write);
  }

  /** Numbers of all writes under way. */
  writesUnderWay(): number[] {
    return Array.from(this.#writes, (write) => write.number);
  }

  /** Start of the oldest write under way. */
  oldestWriteMs(): number {
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const { startedAtMs } of this.#writes) oldestMs = Math.min(oldestMs, startedAtMs);
    return oldestMs;
  }
}
