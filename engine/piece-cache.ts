import { LRUCache } from 'lru-cache';
import type { Extent } from '../core/model.ts';

/** What a piece costs beside its bytes, about. */
const overheadBytes = 300;

/**
 * Plain bytes of small objects that were read and opened lately, by the extent of their packages. A stripe never changes, so
 * nothing here is ever out of date, and what is deleted is no longer asked for. It lets go of what was used least lately.
 */
export class PieceCache {
  readonly #pieces: LRUCache<string, Uint8Array> | undefined;

  /** @param parts.maxBytes 0: nothing is kept */
  constructor({ maxBytes }: { maxBytes: number }) {
    this.#pieces = maxBytes === 0 ? undefined : new LRUCache({ maxSize: maxBytes });
  }

  /** To be read only. */
  find(extent: Extent): Uint8Array | undefined {
    return this.#pieces?.get(nameOf(extent));
  }

  /** @param plain what the packages of an extent hold, whole; nobody changes it or gives it away from now on */
  keep(extent: Extent, plain: Uint8Array): void {
    this.#pieces?.set(nameOf(extent), plain, { size: plain.length + overheadBytes });
  }
}

/** With the length, since the first package of an object of two begins where the whole object does. */
function nameOf({ stripeId, offset, length }: Extent): string {
  return `${stripeId}/${offset}/${length}`;
}
