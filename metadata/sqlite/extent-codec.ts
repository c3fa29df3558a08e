import type { Extent, StripeId } from '../../core/model.ts';
import { maxVarintBytes, readVarint, writeVarint } from './varint.ts';

/*
 * A list of extents as one blob, so that lists are joined by joining blobs. Each extent:
 *
 *   16 bytes   stripe id
 *   1-8 bytes  offset, varint
 *   1-8 bytes  length, varint
 */

export const stripeIdBytes = 16;

/** Undefined for no extents, which columns keep as NULL. @throws RangeError for what no extent can be */
export function encodeExtents(extents: readonly Extent[]): Buffer | undefined {
  if (extents.length === 0) return undefined;
  const buffer = Buffer.allocUnsafe(extents.length * (stripeIdBytes + 2 * maxVarintBytes));
  let at = 0;
  for (const extent of extents) {
    at += encodeStripeId(extent.stripeId).copy(buffer, at);
    at = writeVarint(buffer, at, extent.offset);
    at = writeVarint(buffer, at, extent.length);
  }
  return buffer.subarray(0, at);
}

export function decodeExtents(blob: Buffer): Extent[] {
  const extents: Extent[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const stripeId = decodeStripeId(blob.subarray(reader.at, reader.at + stripeIdBytes));
    reader.at += stripeIdBytes;
    const offset = readVarint(reader);
    const length = readVarint(reader);
    extents.push({ stripeId, offset, length });
  }
  return extents;
}

/** The stripes that encoded extents lie in, each once, as views of the blob. */
export function stripesOfExtents(blob: Buffer | null): Buffer[] {
  if (blob === null) return [];
  const stripes: Buffer[] = [];
  const seen = new Set<string>();
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const stripe = blob.subarray(reader.at, reader.at + stripeIdBytes);
    reader.at += stripeIdBytes;
    readVarint(reader);
    readVarint(reader);
    // Most objects lie in one stripe; those need no set.
    if (stripes.length === 0 && reader.at === blob.length) return [stripe];
    const id = stripe.toString('latin1');
    if (seen.has(id)) continue;
    seen.add(id);
    stripes.push(stripe);
  }
  return stripes;
}

/** @throws RangeError for what is no stripe id */
export function encodeStripeId(id: StripeId): Buffer {
  const bytes = Buffer.from(id, 'hex');
  if (bytes.length !== stripeIdBytes || id.length !== 2 * stripeIdBytes) throw new RangeError(`no stripe id: ${id}`);
  return bytes;
}

export function decodeStripeId(bytes: Buffer): StripeId {
  return bytes.toString('hex') as StripeId;
}
