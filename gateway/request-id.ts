import { randomFillSync } from 'node:crypto';

const alphabet = Buffer.from('0123456789ABCDEFGHJKMNPQRSTVWXYZ');
const idBytes = 16;

/** Makes request ids, many at once: to ask for randomness costs the same for much as for little. */
export class RequestIds {
  readonly #pool = Buffer.alloc(256 * idBytes);
  #used = this.#pool.length;

  /** Sixteen characters, as AWS's request ids have; in every answer and log line. */
  next(): string {
    if (this.#used === this.#pool.length) {
      randomFillSync(this.#pool);
      for (const [at, byte] of this.#pool.entries()) this.#pool[at] = alphabet[byte & 31]!;
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += idBytes;
    return this.#pool.toString('latin1', start, this.#used);
  }
}

/** The second id that S3's answers bear, `x-amz-id-2`; here it is the first one in other letters. */
export function hostId(requestId: string): string {
  return btoa(requestId);
}
