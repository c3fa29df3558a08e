import { Failure, isFailure } from '../core/failure.ts';
import type { Extent, SealedSpan, Stripe } from '../core/model.ts';
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
import type { WholeRead } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import type { PieceCache } from './piece-cache.ts';
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
  const whole = await readInOneBlock(parts, spans, { signal }, undefined);
  if (whole === undefined) return yield* readThroughBlocks(parts, spans, signal);
  try {
    yield whole.bytes;
  } finally {
    whole.release();
  }
}

/** As `readSpans`, without a look whether `readInOneBlock` would do. */
export async function* readThroughBlocks(
  parts: EngineParts,
  spans: readonly SealedSpan[],
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
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

/** A span that one extent holds, in no more than two packages: only such bytes can lie within one block. */
type ShortSpan = SealedSpan & { readonly extents: readonly [Extent] };

function isShort(span: SealedSpan | undefined): span is ShortSpan {
  if (span?.extents.length !== 1) return false;
  const { first, last } = packagesOf(span);
  return last - first <= 1;
}

/**
 * The quick way to small objects and ranges: sealed bytes that lie within one block are read by themselves, and their
 * tags say whether they are right. The rest of the block and its digest are not needed (docs/decisions/0015).
 *
 * @param caller.signal looked at only where a provider has to be asked
 * @param pieces what was read lately; undefined for who wants to know what the providers hold, or to have the bytes alone
 * @returns the plain bytes, and what gives back the memory that they count for; undefined where that cannot
 *   be, or did not work: then the general way finds out why, and mends it
 */
export async function readInOneBlock(
  parts: EngineParts,
  spans: readonly SealedSpan[],
  caller: { readonly signal: AbortSignal },
  pieces: PieceCache | undefined,
): Promise<WholeRead | undefined> {
  const [span] = spans;
  if (spans.length !== 1 || !isShort(span)) return undefined;
  const [extent] = span.extents;
  const known = pieces?.find(extent);
  const lease = parts.readBudget.tryAcquire(known === undefined ? 2 * extent.length : span.length);
  if (lease === undefined) return undefined;
  try {
    const startedAtMs = known === undefined ? performance.now() : 0;
    const plain = known ?? (await openPiece(parts, span, caller.signal));
    if (plain !== undefined) {
      if (known === undefined && pieces !== undefined) {
        pieces.keep(extent, plain);
        // What a client feels of upkeep.
        parts.clientLoad.note('read', performance.now() - startedAtMs);
      }
      parts.blocks.noteSmallRead(known === undefined ? 'provider' : 'memory');
      const bytes = cutPackage(span, packagesOf(span).first, plain);
      lease.shrink(bytes.length);
      return { bytes, release: () => lease.release() };
    }
  } catch (error) {
    lease.release();
    caller.signal.throwIfAborted();
    if (isFailure(error, 'stripe-missing')) throw error;
  }
  lease.release();
  return undefined;
}

/** Reads and opens the packages of a short span; undefined where they do not lie within one block, or come late. */
async function openPiece(parts: EngineParts, span: ShortSpan, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const [{ stripeId, offset, length }] = span.extents;
  parts.pins.pin([stripeId]);
  try {
    const stripe = (await parts.metadata.findStripes([stripeId])).get(stripeId);
    if (stripe === undefined) throw new Failure('stripe-missing', { stripeId });
    const place = placeInBlock(stripe, offset, length);
    if (place === undefined) return undefined;
    const sealed = await readPiece(parts, { stripe, place, length }, signal);
    if (sealed === undefined) return undefined;
    const plain = openPackages(span, unwrapKey(parts, span), sealed);
    parts.blocks.noteVerified();
    return plain;
  } finally {
    parts.pins.unpin([stripeId]);
  }
}

/** @throws Failure `package-corrupt` */
function openPackages(span: ShortSpan, dataKey: DataKey, sealed: Uint8Array): Uint8Array {
  const { first, last } = packagesOf(span);
  const open = (index: number, bytes: Uint8Array): Uint8Array => {
    const plain = openPackage(dataKey, span.streamBytes, index, bytes);
    if (plain === undefined) throw corrupt(span, `package ${index} does not open`);
    return plain;
  };
  if (first === last) return open(first, sealed);
  const head = open(first, sealed.subarray(0, sealedPackageBytes));
  const tail = open(last, sealed.subarray(sealedPackageBytes));
  // In a buffer of its own: `Buffer.concat` may take one from the pool that all share, which nobody may give away.
  const joined = new Uint8Array(head.length + tail.length);
  joined.set(head);
  joined.set(tail, head.length);
  return joined;
}

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
   */
  *update(sealed: Uint8Array): Generator<Uint8Array, void, void> {
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
    releaseMemory(sealed);
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
    const { streamBytes } = this.#span;
    const index = this.#index++;
    const plain = openPackage(this.#dataKey, streamBytes, index, sealed);
    if (plain === undefined) throw corrupt(this.#span, `package ${index} does not open`);
    return cutPackage(this.#span, index, plain);
  }
}

/** What a span means of its packages from `index` on. */
function cutPackage({ offset, length }: SealedSpan, index: number, plain: Uint8Array): Uint8Array {
  const start = index * packageBytes;
  if (offset <= start && offset + length >= start + plain.length) return plain;
  return plain.subarray(Math.max(offset - start, 0), Math.min(offset + length - start, plain.length));
}
