import { Failure } from '../core/failure.ts';
import type { ObjectVersion } from '../core/model.ts';
import type { RangeRequest } from './engine.ts';

export interface ByteSpan {
  readonly offset: number;
  readonly length: number;
}

/**
 * The bytes that a range means in an object of `sizeBytes`. RFC 9110, 14.1.2.
 *
 * @throws Failure `range-not-satisfiable`
 */
export function resolveRange(range: RangeRequest, sizeBytes: number): ByteSpan {
  if (range.kind === 'suffix') {
    const length = Math.min(range.length, sizeBytes);
    if (length === 0) throw new Failure('range-not-satisfiable', { sizeBytes, range: `bytes=-${range.length}` });
    return { offset: sizeBytes - length, length };
  }
  const { first, last } = range;
  if (first >= sizeBytes || (last !== undefined && last < first)) {
    throw new Failure('range-not-satisfiable', { sizeBytes, range: `bytes=${first}-${last ?? ''}` });
  }
  return { offset: first, length: Math.min(last ?? sizeBytes, sizeBytes - 1) - first + 1 };
}

/**
 * The bytes of a part. An object that was not uploaded in parts is its own part 1.
 *
 * @throws Failure `part-number-not-satisfiable`
 */
export function resolvePart(
  { parts, sizeBytes }: Pick<ObjectVersion, 'parts' | 'sizeBytes'>,
  partNumber: number,
): ByteSpan {
  if (parts.length === 0 && partNumber === 1) return { offset: 0, length: sizeBytes };
  let offset = 0;
  for (const part of parts) {
    if (part.partNumber === partNumber) return { offset, length: part.sizeBytes };
    offset += part.sizeBytes;
  }
  throw new Failure('part-number-not-satisfiable', { partNumber, partCount: Math.max(parts.length, 1) });
}
