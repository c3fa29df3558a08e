import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../../core/clock.ts';
import { Failure } from '../../../core/failure.ts';
import type { ProviderId } from '../../../core/model.ts';
import type { Capacity } from '../provider.ts';
import type { BucketClient } from './bucket-client.ts';

/** What a bucket without a `capacityBytes` counts as: 1 PiB, of which all is free. */
export const unlimitedCapacityBytes = 2 ** 50;

const pageKeys = 1_000;
const minRestMs = 100;
const pageTimeoutMs = 60_000;
const recountMs = 6 * 3_600_000;
/** A bucket that looks full is counted again sooner: what was deleted since shows only then. */
const fullRecountMs = 600_000;
/** How long a bucket that refused for want of space is said to have none. */
const refusedMs = 60_000;

/**
 * How much of a bucket's capacity is taken. S3 does not tell, so shards are counted by listing them, in the background,
 * a page at a time with rests between; between two counts what is written is added. What is deleted shows at the next
 * count: so a bucket looks fuller than it is, never emptier.
 */
export class BucketUsage {
  readonly #providerId: ProviderId;
  readonly #client: BucketClient;
  readonly #capacityBytes: number | undefined;
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  /** By the last count, or by that under way while there was none. */
  #countedBytes = 0;
  /** Written since the last count began. */
  #addedBytes = 0;
  #countedAtMs: number | undefined;
  #counting: Promise<void> | undefined;
  #refusedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(parts: {
    providerId: ProviderId;
    client: BucketClient;
    capacityBytes: number | undefined;
    clock: Clock;
  }) {
    this.#providerId = parts.providerId;
    this.#client = parts.client;
    this.#capacityBytes = parts.capacityBytes;
    this.#clock = parts.clock;
  }

  /** @throws Failure `provider-full` where so much does not fit */
  take(bytes: number): void {
    if (this.#capacityBytes === undefined) return;
    const usedBytes = this.#countedBytes + this.#addedBytes;
    const isFull = usedBytes + bytes > this.#capacityBytes;
    this.#countWhenDue(isFull ? fullRecountMs : recountMs);
    if (isFull) throw new Failure('provider-full', { providerId: this.#providerId });
    this.#addedBytes += bytes;
  }

  /** Of what was taken, so much was not written after all. */
  giveBack(bytes: number): void {
    if (this.#capacityBytes !== undefined) this.#addedBytes = Math.max(0, this.#addedBytes - bytes);
  }

  /** The endpoint itself refused for want of space. */
  noteRefusal(): void {
    this.#refusedUntilMs = this.#clock.now() + refusedMs;
  }

  measure(): Capacity {
    this.#countWhenDue(recountMs);
    const totalBytes = this.#capacityBytes ?? unlimitedCapacityBytes;
    if (this.#clock.now() < this.#refusedUntilMs) return { totalBytes, freeBytes: 0 };
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#countedBytes - this.#addedBytes) };
  }

  /** Resolves when no count is under way; for tests. */
  async settle(): Promise<void> {
    await this.#counting;
  }

  async close(): Promise<void> {
    this.#controller.abort(new DOMException('The provider was closed', 'AbortError'));
    await this.#counting;
  }

  #countWhenDue(intervalMs: number): void {
    if (this.#capacityBytes === undefined || this.#counting !== undefined || this.#controller.signal.aborted) return;
    if (this.#countedAtMs !== undefined && this.#clock.now() - this.#countedAtMs < intervalMs) return;
    // Also where the count fails: then it is tried again when the next is due, or a full bucket asks for it.
    this.#counting = this.#count()
      .catch(() => {})
      .finally(() => {
        this.#counting = undefined;
      });
  }

  async #count(): Promise<void> {
    const isFirst = this.#countedAtMs === undefined;
    const addedBefore = this.#addedBytes;
    let bytes = 0;
    let after: string | undefined;
    try {
      do {
        const startedAtMs = performance.now();
        const signal = AbortSignal.any([this.#controller.signal, AbortSignal.timeout(pageTimeoutMs)]);
        const page = await this.#client.list('shards/', { after, limit: pageKeys }, signal);
        for (const entry of page.entries) bytes += entry.bytes;
        if (isFirst) this.#countedBytes = bytes;
        after = page.isCut ? page.entries.at(-1)?.key : undefined;
        if (after !== undefined) {
          const restMs = Math.max(minRestMs, performance.now() - startedAtMs);
          await sleep(restMs, undefined, { signal: this.#controller.signal, ref: false });
        }
      } while (after !== undefined);
      this.#countedBytes = bytes;
      // What was written meanwhile may have been counted too: rather twice than not at all.
      this.#addedBytes = Math.max(0, this.#addedBytes - addedBefore);
    } finally {
      this.#countedAtMs = this.#clock.now();
    }
  }
}
