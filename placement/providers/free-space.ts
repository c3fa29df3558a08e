import { statfs } from 'node:fs/promises';
import { Failure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import type { Capacity } from './provider.ts';

/** How long a measurement of free space is believed, less what was written since. */
const spaceMeasureMs = 1000;

/** The space on a directory's file system, of which new shards must leave a reserve: deletes and reclaim need some too. */
export class FreeSpace {
  readonly #providerId: ProviderId;
  readonly #path: string;
  readonly #reserveBytes: number;
  #freeBytes = 0;
  #measuredAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: { providerId: ProviderId; path: string; reserveBytes: number }) {
    this.#providerId = parts.providerId;
    this.#path = parts.path;
    this.#reserveBytes = parts.reserveBytes;
  }

  /**
   * Counts bytes that are about to be written.
   *
   * @returns undefined when there is nothing to wait for
   * @throws Failure `provider-full` where they would eat into the reserve
   */
  take(bytes: number): Promise<void> | undefined {
    if (this.#reserveBytes === 0) return undefined;
    if (performance.now() - this.#measuredAtMs > spaceMeasureMs) return this.#measureAndTake(bytes);
    this.#subtract(bytes);
    return undefined;
  }

  async measure(): Promise<Capacity> {
    const { blocks, bavail, bsize } = await statfs(this.#path);
    return { totalBytes: blocks * bsize, freeBytes: Math.max(0, bavail * bsize - this.#reserveBytes) };
  }

  async #measureAndTake(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#path);
    this.#freeBytes = bavail * bsize;
    this.#measuredAtMs = performance.now();
    this.#subtract(bytes);
  }

  #subtract(bytes: number): void {
    if (this.#freeBytes - bytes < this.#reserveBytes) {
      throw new Failure('provider-full', { providerId: this.#providerId });
    }
    this.#freeBytes -= bytes;
  }
}
