import { AbortScope } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { Metrics } from '../core/metrics.ts';
import type { PlacedShard, Stripe } from '../core/model.ts';
import { releaseMemory } from '../core/release-memory.ts';
import { padBlock } from '../erasure/check-row.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { storedBlockBytes } from '../erasure/geometry.ts';
import type { BlockReader } from './block-reader.ts';

export interface RowRequest {
  readonly stripe: Stripe;
  readonly row: number;
  /** Shards whose blocks are wanted; each must store something in this row. */
  readonly wanted: readonly number[];
  /** A shard that is not to be asked: others can do better, or somebody waits for it already. */
  readonly without?: number;
  /**
   * Where given, only this piece of each block: it is rebuilt from the same piece of k others. It is then not verified, which is for the
   * caller to do by its tags. Must lie within the wanted block.
   */
  readonly piece?: { readonly offset: number; readonly length: number };
}

interface RowReadParts {
  readonly blocks: BlockReader;
  readonly codec: ErasureCodec;
  readonly metrics: Metrics;
  /** How long a block may take at the most before others are asked as well. */
  readonly hedgeMs: number;
  /** Whether a block counts as late as soon as it is later than its provider does as a rule: for reads that clients wait for. */
  readonly isUrgent?: boolean;
  /** Whether all of it is asked for beyond what is needed, since what is wanted is late elsewhere. */
  readonly isHedge?: boolean;
}

/**
 * The wanted blocks of one row, or a piece of each, verified unless it is a piece, in the order asked for. They are read where they lie; when one cannot be had,
 * is wrong, or is late, or its provider is slow, the row is rebuilt from any k blocks, and whichever way is done first wins.
 * What is then still asked for is cancelled.
 *
 * @throws Failure `too-few-shards`; the signal's reason
 */
export function readRow(parts: RowReadParts, request: RowRequest, signal: AbortSignal): Promise<Uint8Array[]> {
  return new RowRead(parts, request, signal).run();
}

/** `idle`: not asked yet. `late`: asked, and so slow that it is no longer counted on. `zero`: stores nothing, known without asking. */
type BlockState = 'idle' | 'asked' | 'late' | 'present' | 'zero' | 'gone';

let someZeros = new Uint8Array(0);

/** So many zeros, to be read only: all who need some share them. */
function zeros(bytes: number): Uint8Array {
  if (someZeros.length < bytes) someZeros = new Uint8Array(bytes);
  return someZeros.subarray(0, bytes);
}

const hedged = { outcome: 'hedged' } as const;
const waited = { outcome: 'waited' } as const;

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
  /** When each block that was asked for counts as late, by `performance.now()`, and when it was asked for. */
  readonly #lateAt: Float64Array;
  readonly #askedAt: Float64Array;
  #alarm: NodeJS.Timeout | undefined;
  #alarmAt = Number.POSITIVE_INFINITY;
  #isOver = false;

  constructor(parts: RowReadParts, request: RowRequest, signal: AbortSignal) {
    const { stripe, wanted, without } = request;
    this.#parts = parts;
    this.#request = request;
    this.#scope = new AbortScope(signal);
    const count = stripe.k + stripe.m;
    this.#shards = new Array(count).fill(undefined);
    for (const shard of stripe.lostShards ?? []) this.#shards[shard.index] = shard;
    for (const shard of stripe.shards) this.#shards[shard.index] = shard;
    this.#blocks = new Array(count).fill(undefined);
    this.#lateAt = new Float64Array(count);
    this.#askedAt = new Float64Array(count);
    this.#states = this.#shards.map((shard, index) => {
      if (this.#bytesOf(index) === 0) return 'zero';
      const canAsk = shard !== undefined && index !== without && parts.blocks.isReachable(shard);
      return canAsk ? 'idle' : 'gone';
    });
    this.#candidates = this.#rankCandidates(wanted);
  }

  async run(): Promise<Uint8Array[]> {
    try {
      this.#scope.signal.throwIfAborted();
      for (const index of this.#request.wanted) {
        const shard = this.#shards[index];
        if (this.#states[index] === 'idle' && shard && this.#doubtOf(index, shard) === 0) this.#ask(index, shard);
      }
      this.#advance();
      return await this.#outcome.promise;
    } finally {
      this.#isOver = true;
      clearTimeout(this.#alarm);
      // As a rule nobody is asked any more, and to abort costs more than to let go.
      if (this.#count('asked', 'late') > 0) this.#scope.close();
      else this.#scope.leave();
    }
  }

  /** Wanted blocks first, then others from those that answer fastest; after these the slow, and last the doubtful. */
  #rankCandidates(wanted: readonly number[]): number[] {
    const rank = (index: number): number => {
      const shard = this.#shards[index];
      if (shard === undefined) return 0;
      const doubt = this.#doubtOf(index, shard) * 1000;
      // In steps of two, so that those about as fast share the load.
      const typicalMs = this.#parts.blocks.typicalMs(shard, this.#bytesOf(index)) ?? 0;
      return doubt + (wanted.includes(index) ? 0 : 100 + Math.round(Math.log2(typicalMs + 1)));
    };
    return Array.from(this.#states.keys())
      .filter((index) => this.#states[index] === 'idle')
      .map((index) => ({ index, rank: rank(index) }))
      .sort((a, b) => a.rank - b.rank || a.index - b.index)
      .map(({ index }) => index);
  }

  /**
   * Why others should be asked first: 0 for no reason, 1 for a slow provider, 2 for one that failed or whose shard did, 3 for a shard
   * that was found to be gone or wrong, of which this block may still be right.
   */
  #doubtOf(index: number, shard: PlacedShard): number {
    if (this.#request.stripe.lostShards?.includes(shard)) return 3;
    if (this.#parts.blocks.isDoubtful(shard)) return 2;
    return this.#parts.blocks.isSlow(shard, this.#bytesOf(index)) ? 1 : 0;
  }

  /** How much of a shard is read: what it stores of the row, or of the piece. */
  #bytesOf(index: number): number {
    const { stripe, row, piece } = this.#request;
    const storedBytes = storedBlockBytes(stripe, index, row);
    return piece === undefined ? storedBytes : Math.min(Math.max(storedBytes - piece.offset, 0), piece.length);
  }

  #read(index: number, shard: PlacedShard): Promise<Uint8Array> {
    const { stripe, row, piece } = this.#request;
    const { signal } = this.#scope;
    if (piece === undefined) return this.#parts.blocks.readBlock(stripe, shard, row, signal);
    const place = { shard, row, offset: piece.offset };
    return this.#parts.blocks.readPieceOfRow(stripe, place, this.#bytesOf(index), signal);
  }

  #ask(index: number, shard: PlacedShard): void {
    const { blocks, hedgeMs, isUrgent, isHedge } = this.#parts;
    if (isHedge || this.#states.includes('late')) blocks.hedges.spend();
    else blocks.hedges.earn();
    this.#states[index] = 'asked';
    const nowMs = performance.now();
    this.#askedAt[index] = nowMs;
    this.#lateAt[index] = nowMs + (isUrgent ? blocks.lateAfterMs(shard, this.#bytesOf(index), hedgeMs) : hedgeMs);
    this.#read(index, shard).then(
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

  /** Sees to it that blocks which are late are noticed. */
  #setAlarm(): void {
    let atMs = Number.POSITIVE_INFINITY;
    for (const [index, state] of this.#states.entries()) {
      if (state === 'asked') atMs = Math.min(atMs, this.#lateAt[index]!);
    }
    if (atMs === this.#alarmAt) return;
    clearTimeout(this.#alarm);
    this.#alarmAt = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    // One turn later, what came while this process was busy has been taken in.
    this.#alarm = setTimeout(() => setImmediate(() => this.#noticeLate()), Math.max(atMs - performance.now(), 0));
  }

  /** What is late is no longer counted on, so that others are asked as well, as far as the budget for hedges allows. */
  #noticeLate(): void {
    if (this.#isOver) return;
    const { blocks, hedgeMs, metrics } = this.#parts;
    const nowMs = performance.now();
    this.#alarmAt = Number.NaN;
    for (const [index, state] of this.#states.entries()) {
      const shard = this.#shards[index];
      if (state !== 'asked' || shard === undefined || this.#lateAt[index]! > nowMs + 0.5) continue;
      const lastMs = this.#askedAt[index]! + hedgeMs;
      const isLast = nowMs + 0.5 >= lastMs;
      blocks.noteLate(shard, this.#bytesOf(index), nowMs - this.#askedAt[index]!);
      if (isLast || (!blocks.hedges.isSpent && this.#hasHelp())) {
        this.#states[index] = 'late';
        metrics.blocksLate.inc(hedged);
      } else {
        this.#lateAt[index] = lastMs;
        metrics.blocksLate.inc(waited);
      }
    }
    this.#advance();
  }

  /** Whether there is anybody left to ask who may be expected to answer soon. */
  #hasHelp(): boolean {
    return this.#candidates.some((index) => {
      const shard = this.#shards[index];
      return this.#states[index] === 'idle' && shard !== undefined && this.#doubtOf(index, shard) === 0;
    });
  }

  #advance(): void {
    if (this.#isOver) return;
    try {
      const blocks = this.#decide();
      if (blocks !== undefined) this.#outcome.resolve(blocks);
      else this.#setAlarm();
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
    const { stripe, wanted } = this.#request;
    if (missing.length > 0) {
      const padded = this.#padBlocks();
      const rebuilt = this.#parts.codec.reconstruct(padded, stripe.k, missing);
      for (const [index, block] of this.#blocks.entries()) {
        if (block !== undefined && padded[index] !== block) releaseMemory(padded[index]!);
      }
      for (const [at, index] of missing.entries()) {
        this.#blocks[index] = rebuilt[at]?.subarray(0, this.#bytesOf(index));
      }
      this.#parts.metrics.blocksRebuilt.inc(missing.length);
      for (const [index, block] of this.#blocks.entries()) if (block && !wanted.includes(index)) releaseMemory(block);
    }
    return wanted.map((index) => this.#blocks[index] as Uint8Array);
  }

  /** The blocks at hand in the length that they were coded with: what is not stored counts as zeros. */
  #padBlocks(): (Uint8Array | undefined)[] {
    const { stripe, row, piece } = this.#request;
    const codedBytes = piece?.length ?? storedBlockBytes(stripe, 0, row);
    return this.#blocks.map((block, index) => {
      if (this.#states[index] === 'zero') return zeros(codedBytes);
      return block && padBlock(block, codedBytes);
    });
  }

  #count(...states: BlockState[]): number {
    return this.#states.filter((state) => states.includes(state)).length;
  }
}
