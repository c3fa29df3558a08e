import { isFailure } from '../../core/failure.ts';
import type { Stripe, StripeId } from '../../core/model.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import { openPackage, packageCount, sealedRange } from '../../crypto/sealed-stream.ts';
import { locateShards, readStripe, type StripeReadParts } from './read-stripe.ts';
import { measureStripe, type SystemLocation } from './system-location.ts';
import type { SystemStripes } from './system-stripes.ts';

/** A system object that was read. */
export interface SystemContent {
  /** Belongs to the caller. */
  readonly content: Uint8Array;
  /** Where it lies by now, which may not be where it was said to lie. */
  readonly location: SystemLocation;
}

/**
 * Reads a system object whole, wherever its shards are by now.
 *
 * @param unnamed where to look for shards that the location does not name
 * @throws Failure `too-few-shards`; Error when it does not open; the signal's reason
 */
export async function readSystemObject(
  parts: StripeReadParts & { readonly masterKey: MasterKey },
  location: SystemLocation,
  unnamed: SystemStripes,
  signal: AbortSignal,
): Promise<SystemContent> {
  try {
    return { content: await readSpans(parts, location, signal), location };
  } catch (error) {
    if (!isFailure(error, 'too-few-shards')) throw error;
  }
  const located = await Promise.all(location.stripes.map((stripe) => locateShards(parts, stripe, signal)));
  const moved = { ...location, stripes: located.map(measureStripe) };
  try {
    return { content: await readSpans(parts, moved, signal), location: moved };
  } catch (error) {
    if (!isFailure(error, 'too-few-shards')) throw error;
  }
  const completed = await Promise.all(
    located.map(async (stripe) => (await unnamed.complete(stripe, signal)) ?? stripe),
  );
  const whole = { ...location, stripes: completed.map(measureStripe) };
  return { content: await readSpans(parts, whole, signal), location: whole };
}

async function readSpans(
  parts: StripeReadParts & { readonly masterKey: MasterKey },
  { name, spans, stripes }: SystemLocation,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const byId = new Map<StripeId, Stripe>(stripes.map((stripe) => [stripe.id, stripe]));
  const pieces: Uint8Array[] = [];
  for (const { wrappedKey, streamBytes, extents } of spans) {
    const dataKey = parts.masterKey.unwrap(wrappedKey);
    if (dataKey === undefined) throw new Error(`system object "${name}" was sealed with another master key`);
    const sealedPieces: Uint8Array[] = [];
    for (const extent of extents) {
      const stripe = byId.get(extent.stripeId);
      if (stripe === undefined) throw new Error(`system object "${name}" lies in a stripe that it does not name`);
      sealedPieces.push(await readStripe(parts, stripe, extent, signal));
    }
    const sealed = sealedPieces.length === 1 ? sealedPieces[0]! : Buffer.concat(sealedPieces);
    for (let index = 0; index < packageCount(streamBytes); index++) {
      const { offset, length } = sealedRange(streamBytes, index, index);
      const plain = openPackage(dataKey, streamBytes, index, sealed.subarray(offset, offset + length));
      if (plain === undefined) throw new Error(`package ${index} of system object "${name}" does not open`);
      pieces.push(plain);
    }
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
