import { Failure } from '../core/failure.ts';
import type { SealedSpan } from '../core/model.ts';
import type { DataKey } from '../crypto/data-key.ts';
import { measureRun, type SealedRun } from '../crypto/open-packages.ts';
import { packageBytes } from '../crypto/sealed-stream.ts';
import { packagesOf } from './cut-spans.ts';
import type { PlainRun } from './row-work/open-run.ts';

const nothing = new Uint8Array(0);

/** The packages that end in one run of a span's sealed bytes. */
export interface OpenedPackages {
  /** Of how many pieces the run was. */
  readonly pieces: number;
  /** The package that comes after them. */
  readonly next: number;
  /** What the span means of them, together in a buffer of its own; perhaps nothing. */
  readonly plain: Uint8Array;
  /** The one that did not open, where there is one; `plain` is then what comes before it. */
  readonly corrupt: number | undefined;
}

/** Opens a span's packages as its sealed bytes come, and keeps what the span means of them. */
export class SpanOpener {
  readonly #span: SealedSpan;
  readonly #dataKey: DataKey;
  readonly #openRun: (run: SealedRun) => PlainRun | Promise<PlainRun>;
  /** The package that comes next. */
  #index: number;
  readonly #last: number;
  /** The beginning of that package, where its rest is in the next run. */
  #begun: Uint8Array = nothing;

  constructor(span: SealedSpan, how: { dataKey: DataKey; openRun: (run: SealedRun) => PlainRun | Promise<PlainRun> }) {
    this.#span = span;
    this.#dataKey = how.dataKey;
    this.#openRun = how.openRun;
    const { first, last } = packagesOf(span);
    this.#index = first;
    this.#last = last;
  }

  /**
   * May be called again before it settles, with what follows.
   *
   * @param run the next bytes, each piece in a buffer of its own: all are given back, and the caller gives them up
   * @throws Failure `package-corrupt` where there are more of them than packages
   */
  readonly open = async (run: readonly Uint8Array[]): Promise<OpenedPackages> => {
    const { streamBytes } = this.#span;
    const first = this.#index;
    const pieces = this.#begun.length > 0 ? [this.#begun, ...run] : run;
    const sealed = { dataKey: this.#dataKey, streamBytes, first, pieces };
    const runBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const { packages, sealedBytes } = measureRun(sealed, runBytes);
    const next = first + packages;
    // What comes next does not wait until these are open.
    this.#index = next;
    this.#begun = copyFrom(pieces, sealedBytes);
    if (next > this.#last + 1 || (next > this.#last && this.#begun.length > 0)) {
      throw corruptSpan(this.#span, 'there are more sealed bytes than packages');
    }
    const { plain, corrupt } = await this.#openRun(sealed);
    return { pieces: run.length, next, plain: cutPackages(this.#span, first, plain), corrupt };
  };

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

/** A copy of what lies behind the first `skip` bytes of pieces, in a buffer of its own. */
function copyFrom(pieces: readonly Uint8Array[], skip: number): Uint8Array {
  let left = skip;
  const rest: Uint8Array[] = [];
  let restBytes = 0;
  for (const piece of pieces) {
    if (left < piece.length) {
      rest.push(piece.subarray(left));
      restBytes += piece.length - left;
    }
    left = Math.max(left - piece.length, 0);
  }
  if (restBytes === 0) return nothing;
  const copy = new Uint8Array(restBytes);
  let at = 0;
  for (const piece of rest) {
    copy.set(piece, at);
    at += piece.length;
  }
  return copy;
}
