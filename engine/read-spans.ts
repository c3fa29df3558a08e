import { Failure, isFailure } from '../core/failure.ts';
import type { Extent, SealedSpan, Stripe } from '../core/model.ts';
import { releaseWhole } from '../core/release-memory.ts';
import type { DataKey } from '../crypto/data-key.ts';
import { openPackage, sealedPackageBytes } from '../crypto/sealed-stream.ts';
import { rowDataBytes } from '../erasure/geometry.ts';
import type { PiecePlace } from './block-reader.ts';
import { cutFromPackage, packagesOf } from './cut-spans.ts';
import type { WholeRead } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { placePackage } from './list-packages.ts';
import type { PieceCache } from './piece-cache.ts';
import { readExtents } from './read-extents.ts';
import { readPiece } from './read-piece.ts';
import { openRun } from './row-work/open-run.ts';
import { corruptSpan, cutPackages, type OpenedPackages, SpanOpener } from './span-opener.ts';

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
    // The consumer may keep them.
    whole.release(false);
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
    for (const span of spans) yield* readSpan(parts, span, signal);
  } finally {
    parts.pins.unpin(ids);
  }
}

/**
 * The bytes of a span, proven by the tags of its packages. From a run on in which one does not open, the rest is read anew, block by block
 * with its digest, which tells whose block is wrong and has it rebuilt.
 */
async function* readSpan(
  parts: EngineParts,
  span: SealedSpan,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const dataKey = unwrapKey(parts, span);
  let next = packagesOf(span).first;
  try {
    const opener = new SpanOpener(span, { dataKey, openRun: (run) => parts.rowWork.open(run) });
    for await (const opened of readExtents(parts, span.extents, { proof: 'tags', signal, take: opener.open })) {
      failCorrupt(span, opened);
      parts.blocks.noteVerified(opened.pieces);
      if (opened.plain.length > 0) yield opened.plain;
      next = opened.next;
    }
    return opener.finish();
  } catch (error) {
    if (!isFailure(error, 'package-corrupt')) throw error;
  }
  const rest = cutFromPackage(span, next);
  const opener = new SpanOpener(rest, { dataKey, openRun });
  for await (const opened of readExtents(parts, rest.extents, { proof: 'digests', signal, take: opener.open })) {
    if (opened.plain.length > 0) yield opened.plain;
    if (opened.corrupt === undefined) continue;
    // All its blocks have their digests, or were rebuilt from such.
    for (const { stripeId } of placePackage(rest, opened.corrupt).extents) parts.noteMiscoded(stripeId);
    failCorrupt(rest, opened);
  }
  opener.finish();
}

/** @throws Failure `package-corrupt` */
function failCorrupt(span: SealedSpan, { corrupt }: OpenedPackages): void {
  if (corrupt !== undefined) throw corruptSpan(span, `package ${corrupt} does not open`);
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
  if (lease === undefined) {
    known?.leave();
    return undefined;
  }
  try {
    const startedAtMs = known === undefined ? performance.now() : 0;
    const plain = known?.bytes ?? (await openPiece(parts, span, caller.signal));
    if (plain !== undefined) {
      const piece = known ?? pieces?.keep(extent, plain);
      // What a client feels of upkeep.
      if (known === undefined && pieces !== undefined) parts.clientLoad.note('read', performance.now() - startedAtMs);
      parts.blocks.noteSmallRead(known === undefined ? 'provider' : 'memory');
      const bytes = cutPackages(span, packagesOf(span).first, plain);
      lease.shrink(bytes.length);
      const release = (isDone: boolean): void => {
        lease.release();
        piece?.leave(isDone);
      };
      return { bytes, release };
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
    releaseWhole(sealed);
    parts.blocks.noteVerified(1);
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
    if (plain === undefined) throw corruptSpan(span, `package ${index} does not open`);
    return plain;
  };
  if (first === last) return open(first, sealed);
  const head = open(first, sealed.subarray(0, sealedPackageBytes));
  const tail = open(last, sealed.subarray(sealedPackageBytes));
  // In a buffer of its own: `Buffer.concat` may take one from the pool that all share, which nobody may give away.
  const joined = new Uint8Array(head.length + tail.length);
  joined.set(head);
  joined.set(tail, head.length);
  releaseWhole(head);
  releaseWhole(tail);
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
  if (dataKey === undefined) throw corruptSpan(span, 'its data key was wrapped with another master key');
  return dataKey;
}
