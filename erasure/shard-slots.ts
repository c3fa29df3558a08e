import type { ShardSlots } from './erasure-codec.ts';

/**
 * Between shards, so that the same place in each of them falls into another set of the cache: with blocks of a power of
 * two side by side, all would compete for one.
 */
const paddingBytes = 64;
const maxSlots = 256;
const maxSlotBytes = 64 * 1024 * 1024;

/** From the start of one slot to the start of the next. */
export function slotStrideBytes(slotBytes: number): number {
  return Math.ceil(slotBytes / paddingBytes) * paddingBytes + paddingBytes;
}

/** What `allocateSlots` takes, padding included, whichever codec it is. @throws RangeError as that does */
export function slotsBytes(count: number, slotBytes: number): number {
  if (!Number.isInteger(count) || count < 1 || count > maxSlots) throw new RangeError(`no ${count} slots`);
  if (!Number.isInteger(slotBytes) || slotBytes < 1 || slotBytes > maxSlotBytes) {
    throw new RangeError(`no slots of ${slotBytes} bytes`);
  }
  return count * slotStrideBytes(slotBytes);
}

/** The views of `count` slots that start at `offset` of a buffer. */
export function cutSlots(buffer: ArrayBufferLike, offset: number, count: number, slotBytes: number): Uint8Array[] {
  const strideBytes = slotStrideBytes(slotBytes);
  return Array.from({ length: count }, (_, index) => Buffer.from(buffer, offset + index * strideBytes, slotBytes));
}

/** Slots in memory of their own, for codecs that have no better place. */
export function allocateOwnSlots(count: number, slotBytes: number): ShardSlots {
  const bytes = slotsBytes(count, slotBytes);
  const { buffer } = Buffer.allocUnsafeSlow(bytes);
  return { views: cutSlots(buffer, 0, count, slotBytes), bytes, release: () => undefined };
}
