import type { Extent, SealedSpan, StripeId } from '../../core/model.ts';
import type { ExtentMove } from '../metadata-store.ts';

interface StripeMoves {
  /** By where `from` starts. */
  readonly moves: ExtentMove[];
  /** The furthest end of a `from` among the moves up to this one. */
  readonly furthestEnds: number[];
}

/** Where extents go that lie in what is moved: one search an extent, however many moves there are. */
export class MovePlan {
  readonly #stripes = new Map<StripeId, StripeMoves>();

  constructor(moves: readonly ExtentMove[]) {
    const sorted = [...moves].sort((a, b) => a.from.offset - b.from.offset);
    for (const move of sorted) {
      const { stripeId } = move.from;
      const known = this.#stripes.get(stripeId) ?? { moves: [], furthestEnds: [] };
      this.#stripes.set(stripeId, known);
      known.moves.push(move);
      known.furthestEnds.push(Math.max(known.furthestEnds.at(-1) ?? 0, endOf(move.from)));
    }
  }

  /** The stripes that something is moved out of. */
  sources(): Iterable<StripeId> {
    return this.#stripes.keys();
  }

  /** The spans with their extents where they lie then; undefined when none of them moves. */
  moveSpans(spans: readonly SealedSpan[]): SealedSpan[] | undefined {
    let isMoved = false;
    const moved = spans.map((span) => ({
      ...span,
      extents: span.extents.map((extent) => {
        const target = this.#moveExtent(extent);
        if (target) isMoved = true;
        return target ?? extent;
      }),
    }));
    return isMoved ? moved : undefined;
  }

  #moveExtent(extent: Extent): Extent | undefined {
    const known = this.#stripes.get(extent.stripeId);
    if (!known) return undefined;
    const { moves, furthestEnds } = known;
    const end = endOf(extent);
    let [low, high] = [0, moves.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (moves[middle]!.from.offset <= extent.offset) low = middle + 1;
      else high = middle;
    }
    for (let at = low - 1; at >= 0 && furthestEnds[at]! >= end; at--) {
      const { from, to } = moves[at]!;
      if (endOf(from) < end) continue;
      return { stripeId: to.stripeId, offset: to.offset + extent.offset - from.offset, length: extent.length };
    }
    return undefined;
  }
}

function endOf({ offset, length }: Extent): number {
  return offset + length;
}
