import { hash, type KeyObject, timingSafeEqual } from 'node:crypto';

const blockBytes = 64;
const digestBytes = 32;
/** More than a string to sign ever has in well-formed requests. */
const usualTextBytes = 512;

/**
 * HMAC with SHA-256 under one key, for the short texts of signatures: two one-shot digests over buffers that are kept.
 * createHmac makes three objects for each, and takes twice as long.
 * Source: RFC 2104.
 */
export class HmacSha256 {
  /** The key over the inner pad, and room for the text. */
  #inner = Buffer.alloc(blockBytes + usualTextBytes);
  /** `#inner` up to the end of a text of the length that the last one had. */
  #message = this.#inner.subarray(0, blockBytes);
  readonly #outer = Buffer.alloc(blockBytes + digestBytes);
  readonly #expected = Buffer.alloc(2 * digestBytes);
  readonly #provided = Buffer.alloc(2 * digestBytes);

  /** @param key of at most 64 bytes; a copy is kept. @throws RangeError for a longer one */
  constructor(key: KeyObject) {
    const bytes = key.export();
    if (bytes.length > blockBytes) throw new RangeError('a signing key is a digest, and not so long');
    for (let index = 0; index < blockBytes; index++) {
      const byte = bytes[index] ?? 0;
      this.#inner[index] = byte ^ 0x36;
      this.#outer[index] = byte ^ 0x5c;
    }
  }

  /** The HMAC of a text's UTF-8, in hexadecimal. */
  sign(text: string): string {
    const room = blockBytes + 3 * text.length;
    if (room > this.#inner.length) {
      const larger = Buffer.alloc(room);
      larger.set(this.#inner.subarray(0, blockBytes));
      this.#inner = larger;
      this.#message = larger.subarray(0, blockBytes);
    }
    const end = blockBytes + this.#inner.write(text, blockBytes, 'utf8');
    if (this.#message.length !== end) this.#message = this.#inner.subarray(0, end);
    this.#outer.write(hash('sha256', this.#message, 'binary'), blockBytes, 'latin1');
    return hash('sha256', this.#outer, 'hex');
  }

  /** Whether `signature` is the HMAC of this text in lower-case hexadecimal. The time does not tell how much of it is right. */
  matches(text: string, signature: string): boolean {
    if (signature.length !== 2 * digestBytes) return false;
    this.#expected.write(this.sign(text), 'latin1');
    this.#provided.write(signature, 'latin1');
    return timingSafeEqual(this.#expected, this.#provided);
  }
}
