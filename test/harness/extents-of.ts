import type { Extent, SealedSpan } from '../../core/model.ts';

/** Where the sealed bytes of an object or part lie, in order. */
export function extentsOf({ spans }: { readonly spans: readonly SealedSpan[] }): Extent[] {
  return spans.flatMap((span) => span.extents);
}
