import { AbortScope } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { Metrics } from '../core/metrics.ts';
import type { PlacedShard, Stripe } from '../core/model.ts';
import { releaseMemory } from '../core/release-memory.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { storedBlockBytes } from '../erasure/geometry.ts';
import type { BlockReader } from './block-reader.ts';

export interface RowRequest {
  readonly stripe: Stripe;
  readonly row: number;
  /** Shards whose blocks are wanted; each must store something in this row. */
  readonly wanted: readonly number[];
}

interface RowReadParts {
  readonly blocks: BlockReader;
  readonly codec: ErasureCodec;
  readonly metrics: Metrics;
  readonly hedgeMs: number;
}

/**
 * The wanted blocks of one row, verified, in the order asked for. They are read where they lie; when one cannot be had,
 * is wrong, or is slow, the row is rebuilt from any k blocks, and whichever way is done first wins.
 *
 * @throws Failure `too-few-shards`; the signal's reason
 */
export function readRow(parts: RowReadParts, request: RowRequest, signal: AbortSignal): Promise<Uint8Array[]> {
  return new RowRead(parts, request, signal).run();
}

/** `idle`: not asked yet. `late`: asked, and so slow that it is no longer counted on. `zero`: stores nothing, known without asking. */
type BlockState = 'idle' | 'asked' | 'late' | 'present' | 'zero' | 'gone';

class RowRead {
  readonly #parts: RowReadParts;
  readonly #request: RowRequest;
  readonly #scope: AbortScope;
  readonly #shards: (PlacedShard | undefined)[];
  readonly #states: BlockState[];
  readonly #blocks: (Uint8Array | undefined)[];
  readonly #outcome = Promise.withResolvers<Uint8Array[]>();
  /** Whom to ask, best first. */
  readonly #candidates: number[];
  #hedge: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(parts: RowReadParts, request: RowRequest, signal: AbortSignal) {
    const { stripe, row, wanted } = request;
    this.#parts = parts;
    this.#request = request;
    this.#scope = new AbortScope(signal);
    const count = stripe.k + stripe.m;
    this.#shards = new Array(count).fill(undefined);
    for (const shard of stripe.shards) this.#shards[shard.index] = shard;
    this.#blocks = new Array(count).fill(undefined);
    this.#states = this.#shards.map((shard, index) => {
      if (storedBlockBytes(stripe, index, row) === 0) return 'zero';
      return shard !== undefined && parts.blocks.isReachable(shard) ? 'idle' : 'gone';
    });
    this.#candidates = this.#rankCandidates(wanted);
  }

  async run(): Promise<Uint8Array[]> {
    try {
      this.#scope.signal.throwIfAborted();
      for (const index of this.#request.wanted) {
        const shard = this.#shards[index];
        if (this.#states[index] === 'idle' && shard && !this.#parts.blocks.isDoubtful(shard)) this.#ask(index, shard);
      }
      this.#hedge = setInterval(() => this.#giveUpWaiting(), this.#parts.hedgeMs);
      this.#advance();
      return await this.#outcome.promise;
    } finally {
      this.#isOver = true;
      clearInterval(this.#hedge);
      this.#scope.close();
    }
  }

  /** Wanted blocks first, then others, and in either case the trusted ones before the doubtful. */
  #rankCandidates(wanted: readonly number[]): number[] {
    const rank = (index: number): number => {
      const shard = this.#shards[index];
      const doubt = shard !== undefined && this.#parts.blocks.isDoubtful(shard) ? 2 : 0;
      return doubt + (wanted.includes(index) ? 0 : 1);
    };
    return Array.from(this.#states.keys())
      .filter((index) => this.#states[index] === 'idle')
      .map((index) => ({ index, rank: rank(index) }))
      .sort((a, b) => a.rank - b.rank || a.index - b.index)
      .map(({ index }) => index);
  }

  #ask(index: number, shard: PlacedShard): void {
    const { stripe, row } = this.#request;
    this.#states[index] = 'asked';
    this.#parts.blocks.readBlock(stripe, shard, row, this.#scope.signal).then(
      (block) => {
        this.#states[index] = 'present';
        this.#blocks[index] = block;
        this.#advance();
      },
      () => {
        this.#states[index] = 'gone';
        this.#advance();
      },
    );
  }

  /** What is asked is no longer counted on, so that others are asked as well. */
  #giveUpWaiting(): void {
    for (const [index, state] of this.#states.entries()) if (state === 'asked') this.#states[index] = 'late';
    this.#advance();
  }

  #advance(): void {
    if (this.#isOver) return;
    try {
      const blocks = this.#decide();
      if (blocks !== undefined) this.#outcome.resolve(blocks);
    } catch (error) {
      this.#isOver = true;
      this.#outcome.reject(error);
    }
  }

  /** The wanted blocks where they can be had by now; else sees to it that enough are on their way. */
  #decide(): Uint8Array[] | undefined {
    this.#scope.signal.throwIfAborted();
    const { stripe, wanted } = this.#request;
    const missing = wanted.filter((index) => this.#blocks[index] === undefined);
    if (missing.length === 0 || this.#count('present', 'zero') >= stripe.k) return this.#complete(missing);
    const isOnCourse = missing.every((index) => this.#states[index] === 'asked');
    while (!isOnCourse && this.#count('present', 'zero', 'asked') < stripe.k) {
      const index = this.#candidates.find((each) => this.#states[each] === 'idle');
      const shard = index === undefined ? undefined : this.#shards[index];
      if (index === undefined || shard === undefined) break;
      this.#ask(index, shard);
    }
    if (this.#count('asked', 'late') > 0) return undefined;
    const needed = stripe.k - this.#count('zero');
    throw new Failure('too-few-shards', { stripeId: stripe.id, needed, available: this.#count('present') });
  }

  #complete(missing: readonly number[]): Uint8Array[] {
    this.#isOver = true;
    const { stripe, row, wanted } = this.#request;
    if (missing.length > 0) {
      const rebuilt = this.#parts.codec.reconstruct(this.#padBlocks(), stripe.k, missing);
      for (const [at, index] of missing.entries()) {
        this.#blocks[index] = rebuilt[at]?.subarray(0, storedBlockBytes(stripe, index, row));
      }
      this.#parts.metrics.blocksRebuilt.inc(missing.length);
      for (const [index, block] of this.#blocks.entries()) if (block && !wanted.includes(index)) releaseMemory(block);
    }
    return wanted.map((index) => this.#blocks[index] as Uint8Array);
  }

  /** The blocks at hand in the length that they were coded with: what is not stored counts as zeros. */
  #padBlocks(): (Uint8Array | undefined)[] {
    const { stripe, row } = this.#request;
    const codedBytes = storedBlockBytes(stripe, 0, row);
    return this.#blocks.map((block, index) => {
      if (this.#states[index] === 'zero') return new Uint8Array(codedBytes);
      if (block === undefined || block.length === codedBytes) return block;
      const padded = new Uint8Array(codedBytes);
      padded.set(block);
      return padded;
    });
  }

  #count(...states: BlockState[]): number {
    return this.#states.filter((state) => states.includes(state)).length;
  }
}
