import type { Lease } from '../core/byte-budget.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { SealedSpan, Stripe } from '../core/model.ts';
import { releaseMemory } from '../core/release-memory.ts';
import type { DataKey } from '../crypto/data-key.ts';
import {
  openPackage,
  packageBytes,
  packageCount,
  sealedBytes,
  sealedPackageBytes,
  tagBytes,
} from '../crypto/sealed-stream.ts';
import { rowDataBytes } from '../erasure/geometry.ts';
import type { PiecePlace } from './block-reader.ts';
import { packagesOf } from './cut-spans.ts';
import type { EngineParts } from './engine-parts.ts';
import { readExtents } from './read-extents.ts';
import { readPiece } from './read-piece.ts';

/**
 * The plain bytes of spans, in order. Every package is opened before a byte of it leaves. Chunks belong to the consumer, each a
 * buffer of its own.
 *
 * @throws Failure `too-few-shards`, `overloaded`, `stripe-missing`, `package-corrupt`; the signal's reason
 */
export async function* readSpans(
  parts: EngineParts,
  spans: readonly SealedSpan[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const [only] = spans;
  if (spans.length === 1 && only !== undefined) {
    const whole = await readInOneBlock(parts, only, signal);
    if (whole !== undefined) {
      try {
        yield whole.bytes;
      } finally {
        whole.lease.release();
      }
      return;
    }
  }
  // All of them from the beginning: what is read last may have gone, or been moved, by then.
  const ids = [...new Set(spans.flatMap((span) => span.extents.map(({ stripeId }) => stripeId)))];
  parts.pins.pin(ids);
  try {
    for (const span of spans) {
      const opener = new SpanOpener(span, unwrapKey(parts, span));
      for await (const sealed of readExtents(parts, span.extents, signal)) yield* opener.update(sealed);
      opener.finish();
    }
  } finally {
    parts.pins.unpin(ids);
  }
}

/**
 * The quick way to small objects and ranges: sealed bytes that lie within one block are read by themselves, and their
 * tags say whether they are right. The rest of the block and its digest are not needed (docs/decisions/0015).
 *
 * @returns the plain bytes with the memory that they count for, which the caller gives back; undefined where that cannot
 *   be, or did not work: then the general way finds out why, and mends it
 */
async function readInOneBlock(
  parts: EngineParts,
  span: SealedSpan,
  signal: AbortSignal,
): Promise<{ bytes: Uint8Array; lease: Lease } | undefined> {
  const [extent, ...others] = span.extents;
  const { first, last } = packagesOf(span);
  if (extent === undefined || others.length > 0 || last - first > 1) return undefined;
  const lease = parts.readBudget.tryAcquire(2 * extent.length);
  if (lease === undefined) return undefined;
  let isRead = false;
  parts.pins.pin([extent.stripeId]);
  try {
    const stripe = (await parts.metadata.findStripes([extent.stripeId])).get(extent.stripeId);
    if (stripe === undefined) throw new Failure('stripe-missing', { stripeId: extent.stripeId });
    const place = placeInBlock(stripe, extent.offset, extent.length);
    if (place === undefined) return undefined;
    const sealed = await readPiece(parts, { stripe, place, length: extent.length }, signal);
    if (sealed === undefined) return undefined;
    const opener = new SpanOpener(span, unwrapKey(parts, span));
    const pieces = [...opener.update(sealed, false)];
    opener.finish();
    parts.metrics.blocksRead.inc(verified);
    const [piece] = pieces;
    const bytes = pieces.length === 1 && piece ? piece : joinPieces(pieces);
    lease.shrink(bytes.length);
    isRead = true;
    return { bytes, lease };
  } catch (error) {
    signal.throwIfAborted();
    if (isFailure(error, 'stripe-missing')) throw error;
    return undefined;
  } finally {
    parts.pins.unpin([extent.stripeId]);
    if (!isRead) lease.release();
  }
}

/** In a buffer of its own: `Buffer.concat` may take one from the pool that all share, which nobody may give away. */
function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

const verified = { outcome: 'verified' } as const;

/** Where in a block a piece of a stripe's data lies; undefined where it lies in several, or the shard is not at hand. */
function placeInBlock(stripe: Stripe, offset: number, length: number): PiecePlace | undefined {
  const row = Math.floor(offset / rowDataBytes(stripe));
  const inRow = offset - row * rowDataBytes(stripe);
  const index = Math.floor(inRow / stripe.blockBytes);
  const inBlock = inRow - index * stripe.blockBytes;
  if (inBlock + length > stripe.blockBytes) return undefined;
  const shard = stripe.shards.find((placed) => placed.index === index);
  return shard && { shard, row, offset: inBlock };
}

function unwrapKey({ masterKey }: EngineParts, span: SealedSpan): DataKey {
  const dataKey = masterKey.unwrap(span.wrappedKey);
  if (dataKey === undefined) throw corrupt(span, 'its data key was wrapped with another master key');
  return dataKey;
}

function corrupt(span: SealedSpan, reason: string): Failure {
  return new Failure('package-corrupt', { stripeId: span.extents[0]?.stripeId ?? '', reason });
}

/** Cuts a span's sealed bytes into packages as they come, opens them, and keeps what the span means of each. */
class SpanOpener {
  readonly #span: SealedSpan;
  readonly #dataKey: DataKey;
  #index: number;
  readonly #last: number;
  /** The beginning of a package whose rest is in the next chunk. */
  #begun: Uint8Array[] = [];
  #begunBytes = 0;

  constructor(span: SealedSpan, dataKey: DataKey) {
    this.#span = span;
    this.#dataKey = dataKey;
    const { first, last } = packagesOf(span);
    this.#index = first;
    this.#last = last;
  }

  /**
   * @param sealed the next bytes, a buffer of its own, which is given back when all of it was used; the caller gives it up
   * @param isReleased false to leave it alone
   */
  *update(sealed: Uint8Array, isReleased = true): Generator<Uint8Array, void, void> {
    let rest = sealed;
    while (rest.length > 0) {
      const wantedBytes = this.#sealedLength() - this.#begunBytes;
      const piece = rest.subarray(0, wantedBytes);
      rest = rest.subarray(piece.length);
      if (piece.length < wantedBytes) {
        // A copy, since the chunk's memory goes. (`slice` of a Buffer would be none.)
        this.#begun.push(new Uint8Array(piece));
        this.#begunBytes += piece.length;
      } else {
        const whole = this.#begun.length === 0 ? piece : Buffer.concat([...this.#begun, piece]);
        this.#begun = [];
        this.#begunBytes = 0;
        yield this.#open(whole);
      }
    }
    if (isReleased) releaseMemory(sealed);
  }

  /** @throws Failure `package-corrupt` where bytes are missing at the end */
  finish(): void {
    if (this.#begunBytes > 0 || this.#index <= this.#last) throw corrupt(this.#span, 'its sealed bytes end too early');
  }

  #sealedLength(): number {
    const { streamBytes } = this.#span;
    if (this.#index > this.#last) throw corrupt(this.#span, 'there are more sealed bytes than packages');
    const isLastOfStream = this.#index === packageCount(streamBytes) - 1;
    return isLastOfStream ? sealedBytes(streamBytes) - this.#index * sealedPackageBytes : packageBytes + tagBytes;
  }

  #open(sealed: Uint8Array): Uint8Array {
    const { streamBytes, offset, length } = this.#span;
    const index = this.#index++;
    const plain = openPackage(this.#dataKey, streamBytes, index, sealed);
    if (plain === undefined) throw corrupt(this.#span, `package ${index} does not open`);
    const start = index * packageBytes;
    return plain.subarray(Math.max(offset - start, 0), Math.min(offset + length - start, plain.length));
  }
}
