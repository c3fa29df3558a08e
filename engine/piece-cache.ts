import { LRUCache } from 'lru-cache';
import type { Extent } from '../core/model.ts';
import { releaseWhole } from '../core/release-memory.ts';

/** What a piece costs beside its bytes, about. */
const overheadBytes = 300;

/**
 * Plain bytes of small objects that were read and opened lately, by the extent of their packages. A stripe never changes, so
 * nothing here is ever out of date, and what is deleted is no longer asked for. It lets go of what was used least lately.
 */
export class PieceCache {
  readonly #pieces: LRUCache<string, Piece> | undefined;

  /** @param parts.maxBytes 0: nothing is kept */
  constructor({ maxBytes }: { maxBytes: number }) {
    this.#pieces =
      maxBytes === 0 ? undefined : new LRUCache({ maxSize: maxBytes, dispose: (piece: Piece) => piece.leave() });
  }

  /** A piece that the caller uses now, and must give back. */
  find(extent: Extent): Piece | undefined {
    const piece = this.#pieces?.get(nameOf(extent));
    piece?.use();
    return piece;
  }

  /** @param plain what the packages of an extent hold, whole, in a buffer of its own that is nobody else's from now on; used by the caller, who must give it back */
  keep(extent: Extent, plain: Uint8Array): Piece {
    const piece = new Piece(plain);
    piece.use();
    if (this.#pieces === undefined) return piece;
    piece.use();
    this.#pieces.set(nameOf(extent), piece, { size: plain.length + overheadBytes });
    return piece;
  }
}

/** Bytes that several may use at once. When nobody does any more, their memory is given back. */
export class Piece {
  /** To be read only. */
  readonly bytes: Uint8Array;
  #users = 0;
  #mayRelease = true;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  use(): void {
    this.#users += 1;
  }

  /** @param isDone false where somebody may still read the bytes, such as the kernel: then they are left to the garbage collector */
  leave(isDone = true): void {
    this.#users -= 1;
    this.#mayRelease &&= isDone;
    if (this.#users === 0 && this.#mayRelease) releaseWhole(this.bytes);
  }
}

/** With the length, since the first package of an object of two begins where the whole object does. */
function nameOf({ stripeId, offset, length }: Extent): string {
  return `${stripeId}/${offset}/${length}`;
}
