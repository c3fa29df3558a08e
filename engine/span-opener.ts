import { Failure } from '../core/failure.ts';
import type { SealedSpan } from '../core/model.ts';
import { releaseMemory } from '../core/release-memory.ts';
import type { DataKey } from '../crypto/data-key.ts';
import { measureRun, openPackages } from '../crypto/open-packages.ts';
import { packageBytes } from '../crypto/sealed-stream.ts';
import { packagesOf } from './cut-spans.ts';

const nothing = new Uint8Array(0);

/** Opens a span's packages as its sealed bytes come, and keeps what the span means of them. */
export class SpanOpener {
  readonly #span: SealedSpan;
  readonly #dataKey: DataKey;
  /** The package that comes next. */
  #index: number;
  readonly #last: number;
  /** The beginning of that package, where its rest is in the next run. */
  #begun: Uint8Array = nothing;

  constructor(span: SealedSpan, dataKey: DataKey) {
    this.#span = span;
    this.#dataKey = dataKey;
    const { first, last } = packagesOf(span);
    this.#index = first;
    this.#last = last;
  }

  /**
   * Yields the plain bytes of all packages that end in the run, together in a buffer of their own; perhaps none. Before a package
   * that does not open, those that do.
   *
   * @param run the next bytes, each piece in a buffer of its own: all are given back, and the caller gives them up
   * @throws Failure `package-corrupt`
   */
  *open(run: readonly Uint8Array[]): Generator<Uint8Array, void, void> {
    const { streamBytes } = this.#span;
    const pieces = this.#begun.length > 0 ? [this.#begun, ...run] : run;
    const sealed = { dataKey: this.#dataKey, streamBytes, first: this.#index, pieces };
    const runBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    // Not from the pool that all share: the buffer's memory is given back at once when it was used.
    const target = Buffer.allocUnsafeSlow(measureRun(sealed, runBytes).plainBytes);
    const { packages, plainBytes, sealedBytes, corrupt } = openPackages(sealed, target);
    const first = this.#index;
    this.#index += packages;
    if (corrupt !== undefined) {
      if (plainBytes > 0) yield cutPackages(this.#span, first, target.subarray(0, plainBytes));
      throw corruptSpan(this.#span, `package ${corrupt} does not open`);
    }
    this.#begun = copyFrom(pieces, sealedBytes);
    if (this.#index > this.#last + 1 || (this.#index > this.#last && this.#begun.length > 0)) {
      throw corruptSpan(this.#span, 'there are more sealed bytes than packages');
    }
    for (const piece of run) releaseMemory(piece);
    if (plainBytes > 0) yield cutPackages(this.#span, first, target);
  }

  /** @throws Failure `package-corrupt` where bytes are missing at the end */
  finish(): void {
    if (this.#begun.length > 0 || this.#index <= this.#last) {
      throw corruptSpan(this.#span, 'its sealed bytes end too early');
    }
  }
}

/** What a span means of the plain bytes of its packages from `index` on. */
export function cutPackages({ offset, length }: SealedSpan, index: number, plain: Uint8Array): Uint8Array {
  const start = index * packageBytes;
  if (offset <= start && offset + length >= start + plain.length) return plain;
  return plain.subarray(Math.max(offset - start, 0), Math.min(offset + length - start, plain.length));
}

export function corruptSpan(span: SealedSpan, reason: string): Failure {
  return new Failure('package-corrupt', { stripeId: span.extents[0]?.stripeId ?? '', reason });
}

/** A copy of what lies behind the first `skip` bytes of pieces. */
function copyFrom(pieces: readonly Uint8Array[], skip: number): Uint8Array {
  let left = skip;
  const rest: Uint8Array[] = [];
  for (const piece of pieces) {
    if (left < piece.length) rest.push(piece.subarray(left));
    left = Math.max(left - piece.length, 0);
  }
  return rest.length === 0 ? nothing : Buffer.concat(rest);
}
