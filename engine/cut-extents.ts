import type { Extent } from '../core/model.ts';

/** The extents of `length` bytes from `offset` of what `extents` hold. @throws RangeError where they hold less */
export function cutExtents(extents: readonly Extent[], offset: number, length: number): Extent[] {
  const cut: Extent[] = [];
  let skip = offset;
  let left = length;
  for (const extent of extents) {
    if (left === 0) break;
    if (skip >= extent.length) {
      skip -= extent.length;
      continue;
    }
    const taken = Math.min(extent.length - skip, left);
    cut.push({ stripeId: extent.stripeId, offset: extent.offset + skip, length: taken });
    skip = 0;
    left -= taken;
  }
  if (left > 0) throw new RangeError(`no ${length} bytes at ${offset} in these extents`);
  return cut;
}
