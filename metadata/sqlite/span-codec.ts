import type { Extent, SealedSpan, StripeId } from '../../core/model.ts';
import { decodeStripeId, encodeStripeId, stripeIdBytes } from './stripe-id.ts';
import { maxVarintBytes, readVarint, writeVarint } from './varint.ts';

/*
 * A list of sealed spans as one blob, so that lists are joined by joining blobs. Each span:
 *
 *   40 bytes   wrapped data key
 *   1-8 bytes  plain bytes of the whole stream, varint
 *   1-8 bytes  offset of the meant bytes in it, varint
 *   1-8 bytes  length of the meant bytes, varint
 *   1-8 bytes  number of extents, varint
 *   and for each extent:
 *     16 bytes   stripe id
 *     1-8 bytes  offset, varint
 *     1-8 bytes  length, varint
 */

const wrappedKeyBytes = 40;
const maxHeadBytes = wrappedKeyBytes + 4 * maxVarintBytes;
const maxExtentBytes = stripeIdBytes + 2 * maxVarintBytes;

/** How many bytes of each stripe a list of spans refers to. */
export type StripeBytes = ReadonlyMap<StripeId, number>;

/** Undefined for no spans, which columns keep as NULL. @throws RangeError for what no span can be */
export function encodeSpans(spans: readonly SealedSpan[]): Buffer | undefined {
  if (spans.length === 0) return undefined;
  let maxBytes = 0;
  for (const span of spans) maxBytes += maxHeadBytes + span.extents.length * maxExtentBytes;
  const buffer = Buffer.allocUnsafe(maxBytes);
  let at = 0;
  for (const span of spans) {
    if (span.wrappedKey.length !== wrappedKeyBytes) {
      throw new RangeError(`a wrapped key of ${span.wrappedKey.length} bytes`);
    }
    buffer.set(span.wrappedKey, at);
    at = writeVarint(buffer, at + wrappedKeyBytes, span.streamBytes);
    at = writeVarint(buffer, at, span.offset);
    at = writeVarint(buffer, at, span.length);
    at = writeVarint(buffer, at, span.extents.length);
    for (const extent of span.extents) {
      at += encodeStripeId(extent.stripeId).copy(buffer, at);
      at = writeVarint(buffer, at, extent.offset);
      at = writeVarint(buffer, at, extent.length);
    }
  }
  return buffer.subarray(0, at);
}

/** The wrapped keys are views of the blob. */
export function decodeSpans(blob: Buffer | null): SealedSpan[] {
  const spans: SealedSpan[] = [];
  if (blob === null) return spans;
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const wrappedKey = new Uint8Array(blob.buffer, blob.byteOffset + reader.at, wrappedKeyBytes);
    reader.at += wrappedKeyBytes;
    const streamBytes = readVarint(reader);
    const offset = readVarint(reader);
    const length = readVarint(reader);
    const extents: Extent[] = [];
    for (let left = readVarint(reader); left > 0; left--) extents.push(readExtent(reader));
    spans.push({ wrappedKey, streamBytes, offset, length, extents });
  }
  return spans;
}

/** The stripes that spans refer to, each once, in order of first mention. */
export function stripeBytesOf(spans: readonly SealedSpan[]): StripeBytes {
  const stripes = new Map<StripeId, number>();
  for (const { extents } of spans) for (const extent of extents) addTo(stripes, extent.stripeId, extent.length);
  return stripes;
}

/** The same of encoded spans. */
export function stripeBytesOfBlob(blob: Buffer | null): StripeBytes {
  const stripes = new Map<StripeId, number>();
  if (blob === null) return stripes;
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    reader.at += wrappedKeyBytes;
    for (let skipped = 0; skipped < 3; skipped++) readVarint(reader);
    for (let left = readVarint(reader); left > 0; left--) {
      const { stripeId, length } = readExtent(reader);
      addTo(stripes, stripeId, length);
    }
  }
  return stripes;
}

function readExtent(reader: { readonly blob: Buffer; at: number }): Extent {
  const stripeId = decodeStripeId(reader.blob.subarray(reader.at, reader.at + stripeIdBytes));
  reader.at += stripeIdBytes;
  const offset = readVarint(reader);
  const length = readVarint(reader);
  return { stripeId, offset, length };
}

function addTo(stripes: Map<StripeId, number>, id: StripeId, bytes: number): void {
  stripes.set(id, (stripes.get(id) ?? 0) + bytes);
}
