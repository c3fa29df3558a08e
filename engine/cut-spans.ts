import type { SealedSpan } from '../core/model.ts';
import { packageBytes, sealedPackageBytes, sealedRange } from '../crypto/sealed-stream.ts';
import { cutExtents } from './cut-extents.ts';

/**
 * The spans of `length` bytes from `offset` of what `spans` hold, down to the packages that are needed.
 *
 * @throws RangeError where they hold less
 */
export function cutSpans(spans: readonly SealedSpan[], offset: number, length: number): SealedSpan[] {
  const cut: SealedSpan[] = [];
  let skip = offset;
  let left = length;
  for (const span of spans) {
    if (left === 0) break;
    if (skip >= span.length) {
      skip -= span.length;
      continue;
    }
    const taken = Math.min(span.length - skip, left);
    cut.push(taken === span.length ? span : cutSpan(span, skip, taken));
    skip = 0;
    left -= taken;
  }
  if (left > 0) throw new RangeError(`no ${length} bytes at ${offset} in these spans`);
  return cut;
}

/** Which packages of its stream a span means: the first and the last of them. */
export function packagesOf({ offset, length }: Pick<SealedSpan, 'offset' | 'length'>): { first: number; last: number } {
  return { first: Math.floor(offset / packageBytes), last: Math.floor((offset + length - 1) / packageBytes) };
}

/** What a span means from a package on, whether or not all of it is there. */
export function cutFromPackage(span: SealedSpan, index: number): SealedSpan {
  const { first } = packagesOf(span);
  if (index === first) return span;
  const offset = index * packageBytes;
  const skip = (index - first) * sealedPackageBytes;
  const heldBytes = span.extents.reduce((sum, { length }) => sum + length, 0);
  return {
    ...span,
    offset,
    length: span.offset + span.length - offset,
    extents: cutExtents(span.extents, skip, heldBytes - skip),
  };
}

function cutSpan(span: SealedSpan, skip: number, length: number): SealedSpan {
  const offset = span.offset + skip;
  const { first, last } = packagesOf({ offset, length });
  const start = sealedRange(span.streamBytes, first, last);
  const heldFrom = packagesOf(span).first * sealedPackageBytes;
  const extents = cutExtents(span.extents, start.offset - heldFrom, start.length);
  return { ...span, offset, length, extents };
}
