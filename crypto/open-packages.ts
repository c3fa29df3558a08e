import { createDecipheriv } from 'node:crypto';
import { releaseWhole } from '../core/release-memory.ts';
import type { DataKey } from './data-key.ts';
import {
  algorithm,
  cipherOptions,
  packageBytes,
  packageCount,
  packageNonce,
  sealedPackageBytes,
  tagBytes,
} from './sealed-stream.ts';

/** Sealed bytes of a stream that begin with a package. */
export interface SealedRun {
  readonly dataKey: DataKey;
  /** Plain bytes of the whole stream. */
  readonly streamBytes: number;
  /** The number of the package that the run begins with. */
  readonly first: number;
  /** The bytes, in pieces that may end anywhere. They are not kept. */
  readonly pieces: readonly Uint8Array[];
}

/** How far a run was opened. */
export interface OpenedRun {
  readonly packages: number;
  /** What was written to the target. */
  readonly plainBytes: number;
  /** What the packages took of the run; the rest is the beginning of the next one. */
  readonly sealedBytes: number;
  /** The package that could not be opened, where there is one: nothing after it was looked at. */
  readonly corrupt: number | undefined;
}

/** How many packages lie whole in a run, and how long they are. */
export function measureRun(
  { streamBytes, first }: Pick<SealedRun, 'streamBytes' | 'first'>,
  runBytes: number,
): Pick<OpenedRun, 'packages' | 'plainBytes' | 'sealedBytes'> {
  const count = packageCount(streamBytes);
  let packages = Math.max(Math.min(Math.floor(runBytes / sealedPackageBytes), count - 1 - first), 0);
  let plainBytes = packages * packageBytes;
  let sealedBytes = packages * sealedPackageBytes;
  const lastBytes = streamBytes - (count - 1) * packageBytes;
  if (first + packages === count - 1 && runBytes - sealedBytes >= lastBytes + tagBytes) {
    packages += 1;
    plainBytes += lastBytes;
    sealedBytes += lastBytes + tagBytes;
  }
  return { packages, plainBytes, sealedBytes };
}

/**
 * Opens the packages that lie whole in a run into `target`, one after the other. What of it is covered by the answer was verified; the rest
 * may hold bytes that were not.
 *
 * @param target at least as long as `measureRun` says
 */
export function openPackages(run: SealedRun, target: Uint8Array): OpenedRun {
  const { dataKey, streamBytes, first } = run;
  const runBytes = run.pieces.reduce((sum, piece) => sum + piece.length, 0);
  const { packages } = measureRun(run, runBytes);
  const lastIndex = packageCount(streamBytes) - 1;
  const cursor = new PieceCursor(run.pieces);
  let plainBytes = 0;
  let sealedBytes = 0;
  for (let index = first; index < first + packages; index++) {
    const bytes = index === lastIndex ? streamBytes - index * packageBytes : packageBytes;
    const decipher = createDecipheriv(algorithm, dataKey, packageNonce(index, index === lastIndex), cipherOptions);
    let at = plainBytes;
    for (const piece of cursor.take(bytes)) {
      const plain = decipher.update(piece);
      target.set(plain, at);
      at += plain.length;
      releaseWhole(plain);
    }
    decipher.setAuthTag(cursor.copy(tagBytes));
    try {
      decipher.final();
    } catch {
      return { packages: index - first, plainBytes, sealedBytes, corrupt: index };
    }
    plainBytes = at;
    sealedBytes += bytes + tagBytes;
  }
  return { packages, plainBytes, sealedBytes, corrupt: undefined };
}

/** Takes runs of bytes off pieces. */
class PieceCursor {
  readonly #pieces: readonly Uint8Array[];
  #piece = 0;
  #offset = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  /** Views of the next `bytes` bytes, which must be there. */
  *take(bytes: number): Generator<Uint8Array, void, void> {
    let left = bytes;
    while (left > 0) {
      const piece = this.#pieces[this.#piece];
      if (piece === undefined) throw new RangeError('a run ended in the middle of a package');
      const taken = Math.min(piece.length - this.#offset, left);
      if (taken > 0) yield piece.subarray(this.#offset, this.#offset + taken);
      this.#offset += taken;
      left -= taken;
      if (this.#offset < piece.length) continue;
      this.#piece += 1;
      this.#offset = 0;
    }
  }

  copy(bytes: number): Uint8Array {
    const copied = new Uint8Array(bytes);
    let at = 0;
    for (const piece of this.take(bytes)) {
      copied.set(piece, at);
      at += piece.length;
    }
    return copied;
  }
}
