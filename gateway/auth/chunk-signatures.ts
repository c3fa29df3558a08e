import { createHash, type Hash } from 'node:crypto';
import { checkSignature, type SignatureSeed } from './signature.ts';

const emptyDigest = createHash('sha256').digest('hex');

/**
 * The chain of signatures of an aws-chunked body: each one covers the chunk's bytes and the signature before it, the
 * first one the request's own.
 *
 * Sources: AWS "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", and
 * "Including Trailing Headers".
 */
export class ChunkSignatures {
  readonly #seed: SignatureSeed;
  #previous: string;
  #hash: Hash = createHash('sha256');

  constructor(seed: SignatureSeed) {
    this.#seed = seed;
    this.#previous = seed.signature;
  }

  /** Bytes of the chunk that is being read. */
  update(piece: Uint8Array): void {
    this.#hash.update(piece);
  }

  /** Ends a chunk. @throws S3Error SignatureDoesNotMatch */
  checkChunk(signature: string): void {
    this.#check('AWS4-HMAC-SHA256-PAYLOAD', `${emptyDigest}\n${this.#hash.digest('hex')}`, signature);
    this.#hash = createHash('sha256');
  }

  /**
   * Ends the body. `trailers` are `name:value\n` each, as they came.
   * @throws S3Error SignatureDoesNotMatch
   */
  checkTrailers(trailers: string, signature: string): void {
    const digest = createHash('sha256').update(trailers, 'latin1').digest('hex');
    this.#check('AWS4-HMAC-SHA256-TRAILER', digest, signature);
  }

  #check(algorithm: string, digests: string, signature: string): void {
    const { timestamp, scope } = this.#seed;
    checkSignature(this.#seed, `${algorithm}\n${timestamp}\n${scope}\n${this.#previous}\n${digests}`, signature);
    this.#previous = signature;
  }
}
