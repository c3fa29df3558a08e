import { randomFillSync } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const idBytes = 16;

/** Makes request ids. Randomness is fetched for many at once: to ask for it costs the same for much as for little. */
export class RequestIds {
  readonly #pool = Buffer.alloc(256 * idBytes);
  #used = this.#pool.length;

  /** Sixteen characters, as AWS's request ids have; in every answer and log line. */
  next(): string {
    if (this.#used === this.#pool.length) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    let id = '';
    for (const end = this.#used + idBytes; this.#used < end; this.#used++) id += alphabet[this.#pool[this.#used]! & 31];
    return id;
  }
}

/** The second id that S3's answers bear, `x-amz-id-2`; here it is the first one in other letters. */
export function hostId(requestId: string): string {
  return btoa(requestId);
}
