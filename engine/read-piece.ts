import { AbortScope } from '../core/abort.ts';
import type { Stripe } from '../core/model.ts';
import { releaseMemory } from '../core/release-memory.ts';
import { storedBlockBytes } from '../erasure/geometry.ts';
import type { PiecePlace } from './block-reader.ts';
import type { EngineParts } from './engine-parts.ts';
import { readRow } from './read-row.ts';

/** Bytes of one block that are wanted. */
export interface PieceRequest {
  readonly stripe: Stripe;
  readonly place: PiecePlace;
  readonly length: number;
}

export interface Piece {
  /** A buffer of the caller's. */
  readonly bytes: Uint8Array;
  /** Whether its block was rebuilt, and so verified; else the bytes are as they came. */
  readonly isRebuilt: boolean;
}

type PieceParts = Pick<EngineParts, 'blocks' | 'codec' | 'metrics' | 'limits' | 'readBudget'>;

/**
 * Some bytes of one block, from the shard that holds them. When they are late the block is also rebuilt from others; what is there
 * first wins, and the rest is cancelled.
 *
 * @returns undefined where neither way worked, or there was no memory to rebuild it
 * @throws what the provider throws where it is in time; the signal's reason
 */
export async function readPiece(
  parts: PieceParts,
  request: PieceRequest,
  signal: AbortSignal,
): Promise<Piece | undefined> {
  const { blocks, limits, metrics } = parts;
  const { stripe, place, length } = request;
  const scope = new AbortScope(signal);
  const startedAtMs = performance.now();
  try {
    const reading = blocks.readPiece(stripe, place, length, scope.signal);
    blocks.hedges.earn();
    const lateMs = blocks.lateAfterMs(place.shard, length, limits.hedgeMs);
    let bytes = await beforeLate(reading, lateMs);
    if (bytes === undefined) {
      const elapsedMs = performance.now() - startedAtMs;
      blocks.noteLate(place.shard, length, elapsedMs);
      const mayHedge = lateMs >= limits.hedgeMs || !blocks.hedges.isSpent;
      metrics.blocksLate.inc(mayHedge ? hedged : waited);
      if (!mayHedge) bytes = await beforeLate(reading, Math.max(limits.hedgeMs - elapsedMs, 0));
    }
    if (bytes !== undefined) return { bytes, isRebuilt: false };
    return await outrun(parts, request, reading, scope);
  } finally {
    scope.leave();
  }
}

const hedged = { outcome: 'hedged' } as const;
const waited = { outcome: 'waited' } as const;

/** Rebuilds the block from others while the piece is still awaited. */
async function outrun(
  parts: PieceParts,
  { stripe, place, length }: PieceRequest,
  reading: Promise<Uint8Array>,
  scope: AbortScope,
): Promise<Piece | undefined> {
  const { blocks, codec, metrics, limits, readBudget } = parts;
  const { shard, row, offset } = place;
  const rowBytes = (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row);
  const lease = readBudget.tryAcquire(Math.min(rowBytes, readBudget.capacityBytes));
  try {
    if (lease === undefined) return undefined;
    const rowParts = { blocks, codec, metrics, hedgeMs: limits.hedgeMs, isUrgent: true, isHedge: true };
    const rowRequest = { stripe, row, wanted: [shard.index], without: shard.index };
    const rebuilding = readRow(rowParts, rowRequest, scope.signal).then(([block]) => {
      // A copy, since the rest of the block goes. (`slice` of a Buffer would be none.)
      const bytes = new Uint8Array(block!.subarray(offset, offset + length));
      releaseMemory(block!);
      return { bytes, isRebuilt: true };
    });
    return await Promise.any([reading.then((bytes) => ({ bytes, isRebuilt: false })), rebuilding]);
  } catch {
    return undefined;
  } finally {
    scope.close();
    lease?.release();
  }
}

/**
 * What is read, or undefined when it takes longer than `lateMs`. One turn of the event loop later, so that what came while this
 * process was busy is not taken for late.
 */
function beforeLate<T>(reading: Promise<T>, lateMs: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(resolve, undefined), lateMs);
    reading.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
