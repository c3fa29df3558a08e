import { AbortScope } from '../core/abort.ts';
import type { Stripe } from '../core/model.ts';
import type { PiecePlace } from './block-reader.ts';
import type { EngineParts } from './engine-parts.ts';
import { readRow } from './read-row.ts';

/** Bytes of one block that are wanted. */
export interface PieceRequest {
  readonly stripe: Stripe;
  readonly place: PiecePlace;
  readonly length: number;
}

type PieceParts = Pick<EngineParts, 'blocks' | 'codec' | 'metrics' | 'limits' | 'readBudget'>;

/**
 * Some bytes of one block, from the shard that holds them. When they are late they are also rebuilt, from the same bytes of k others;
 * what is there first wins, and the rest is cancelled. A provider that is slow, or failed lately, is not asked at all. None of it is
 * verified, which is for the caller to do by tags.
 *
 * @returns a buffer of the caller's; undefined where neither way worked, or there was no memory to rebuild it
 * @throws what the provider throws where it is in time; the signal's reason
 */
export async function readPiece(
  parts: PieceParts,
  request: PieceRequest,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { blocks, limits, metrics } = parts;
  const { stripe, place, length } = request;
  if (blocks.isDoubtful(place.shard) || blocks.isSlow(place.shard, length)) return rebuildPiece(parts, request, signal);
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
    return bytes ?? (await outrun(parts, request, reading, scope));
  } finally {
    scope.leave();
  }
}

const hedged = { outcome: 'hedged' } as const;
const waited = { outcome: 'waited' } as const;

/** Rebuilds the piece from others while it is still awaited. */
async function outrun(
  parts: PieceParts,
  request: PieceRequest,
  reading: Promise<Uint8Array>,
  scope: AbortScope,
): Promise<Uint8Array | undefined> {
  try {
    const rebuilding = rebuildPiece(parts, request, scope.signal, true).then((bytes) => bytes ?? Promise.reject());
    return await Promise.any([reading, rebuilding]);
  } catch {
    return undefined;
  } finally {
    scope.close();
  }
}

/** @returns undefined where that cannot be done, or there is no memory for it now */
async function rebuildPiece(
  parts: PieceParts,
  { stripe, place, length }: PieceRequest,
  signal: AbortSignal,
  isHedge = false,
): Promise<Uint8Array | undefined> {
  const { blocks, codec, metrics, limits, readBudget } = parts;
  const { shard, row, offset } = place;
  const lease = readBudget.tryAcquire(Math.min((stripe.k + stripe.m) * length, readBudget.capacityBytes));
  if (lease === undefined) return undefined;
  try {
    const rowParts = { blocks, codec, metrics, hedgeMs: limits.hedgeMs, isUrgent: true, isHedge };
    const piece = { offset, length };
    const request = { stripe, row, wanted: [shard.index], without: shard.index, piece };
    return (await readRow(rowParts, request, signal))[0];
  } catch {
    return undefined;
  } finally {
    lease.release();
  }
}

/**
 * What is read, or undefined when it takes longer than `lateMs`. One turn of the event loop later, so that what came while this
 * process was busy is not taken for late.
 */
function beforeLate<T>(reading: Promise<T>, lateMs: number): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(resolve, undefined), lateMs);
    reading.then(
      (bytes) => {
        clearTimeout(timer);
        resolve(bytes);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
