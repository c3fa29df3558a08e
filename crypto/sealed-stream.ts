import { type CipherGCM, createCipheriv, createDecipheriv } from 'node:crypto';
import { releaseWhole } from '../core/release-memory.ts';
import type { DataKey } from './data-key.ts';

/**
 * Streams of bytes, encrypted in packages that can be opened one by one: AES-256-GCM over 64 KiB of plain bytes each (the
 * last one shorter), 16 bytes of tag behind each. docs/encryption.md has the layout and the reasons.
 *
 * The nonce of a package is its number and whether it is the last of its stream, so that packages that were left out, put
 * in another order, taken from another stream, or cut off at the end do not open (the STREAM construction: Hoang,
 * Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015).
 * A data key seals one stream only, so no nonce is ever used twice under a key.
 */

/** Plain bytes of a package, but for a shorter last one. */
export const packageBytes = 64 * 1024;
/** How much longer a package is once it is sealed. */
export const tagBytes = 16;
export const sealedPackageBytes = packageBytes + tagBytes;

/** For who seals or opens packages in another way than here. */
export const algorithm = 'aes-256-gcm';
export const cipherOptions = { authTagLength: tagBytes };
const nonceBytes = 12;

/** How many packages a stream of so many plain bytes has; an empty one has none. */
export function packageCount(streamBytes: number): number {
  return Math.ceil(streamBytes / packageBytes);
}

/** Length of a sealed stream. */
export function sealedBytes(streamBytes: number): number {
  return streamBytes + packageCount(streamBytes) * tagBytes;
}

/** Where in a sealed stream its packages `first` to `last` lie. */
export function sealedRange(streamBytes: number, first: number, last: number): { offset: number; length: number } {
  const offset = first * sealedPackageBytes;
  return { offset, length: Math.min((last + 1) * sealedPackageBytes, sealedBytes(streamBytes)) - offset };
}

/**
 * Seals a stream whose bytes are all at hand, into `target` from its start on.
 *
 * @param target at least `sealedBytes(plain.length)` long
 * @returns how many bytes were written
 */
export function sealWhole(dataKey: DataKey, plain: Uint8Array, target: Uint8Array): number {
  let at = 0;
  const count = packageCount(plain.length);
  for (let index = 0; index < count; index++) {
    const isLast = index === count - 1;
    const piece = count === 1 ? plain : plain.subarray(index * packageBytes, (index + 1) * packageBytes);
    const cipher = createCipheriv(algorithm, dataKey, packageNonce(index, isLast), cipherOptions);
    const sealed = cipher.update(piece);
    target.set(sealed, at);
    releaseWhole(sealed);
    cipher.final();
    target.set(cipher.getAuthTag(), at + piece.length);
    at += piece.length + tagBytes;
  }
  return at;
}

/** Seals a stream as it comes. */
export class StreamSealer {
  readonly #dataKey: DataKey;
  #cipher: CipherGCM | undefined;
  #index = 0;
  /** Plain bytes of the package that is open. */
  #openBytes = 0;
  /** Room for a package whose bytes are held back, since only the next ones tell whether it is the last. */
  #held: Uint8Array | undefined;
  #heldBytes = 0;
  #streamBytes = 0;
  readonly #declaredBytes: number | undefined;

  /** @param declaredBytes the stream's length where it is known; then nothing need be held back */
  constructor(dataKey: DataKey, declaredBytes: number | undefined) {
    this.#dataKey = dataKey;
    this.#declaredBytes = declaredBytes;
  }

  /** Plain bytes so far. */
  get streamBytes(): number {
    return this.#streamBytes;
  }

  /** Yields sealed bytes, which belong to the caller; `chunk` is not kept. */
  *update(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    this.#streamBytes += chunk.length;
    if (this.#declaredBytes === undefined) return yield* this.#updateUndeclared(chunk);
    if (this.#streamBytes > this.#declaredBytes) throw new RangeError('a stream outgrew its declared length');
    let rest = chunk;
    while (rest.length > 0) {
      const piece = rest.subarray(0, packageBytes - this.#openBytes);
      rest = rest.subarray(piece.length);
      const endsAt = this.#index * packageBytes + this.#openBytes + piece.length;
      this.#cipher ??= this.#open((this.#index + 1) * packageBytes >= this.#declaredBytes);
      yield this.#cipher.update(piece);
      this.#openBytes += piece.length;
      if (this.#openBytes === packageBytes || endsAt === this.#declaredBytes) yield this.#close();
    }
  }

  /** Ends the stream: yields what was held back. @throws RangeError for a stream that is shorter than declared */
  *finish(): Generator<Uint8Array, void, void> {
    if (this.#declaredBytes !== undefined && this.#streamBytes !== this.#declaredBytes) {
      throw new RangeError('a stream is shorter than declared');
    }
    if (this.#heldBytes > 0) yield* this.#sealHeld(true);
    this.#held = undefined;
  }

  /** Whole packages are held back until a further byte shows that they are not the last. */
  *#updateUndeclared(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#heldBytes === packageBytes) yield* this.#sealHeld(false);
      const taken = rest.subarray(0, packageBytes - this.#heldBytes);
      this.#held ??= new Uint8Array(packageBytes);
      this.#held.set(taken, this.#heldBytes);
      this.#heldBytes += taken.length;
      rest = rest.subarray(taken.length);
    }
  }

  *#sealHeld(isLast: boolean): Generator<Uint8Array, void, void> {
    const held = this.#held?.subarray(0, this.#heldBytes);
    if (held === undefined) throw new Error('nothing is held back');
    this.#cipher = this.#open(isLast);
    yield this.#cipher.update(held);
    this.#heldBytes = 0;
    yield this.#close();
  }

  #open(isLast: boolean): CipherGCM {
    return createCipheriv(algorithm, this.#dataKey, packageNonce(this.#index, isLast), cipherOptions);
  }

  #close(): Uint8Array {
    const cipher = this.#cipher;
    if (cipher === undefined) throw new Error('no package is open');
    cipher.final();
    this.#cipher = undefined;
    this.#index += 1;
    this.#openBytes = 0;
    return cipher.getAuthTag();
  }
}

/**
 * Opens one package. The buffer that is returned belongs to the caller; `sealed` is not kept.
 *
 * @returns undefined unless these are exactly the bytes of that package of the stream that this key sealed
 */
export function openPackage(
  dataKey: DataKey,
  streamBytes: number,
  index: number,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const count = packageCount(streamBytes);
  // A package that lies behind the end is none of this stream, though its tag be right.
  if (!Number.isInteger(index) || index < 0 || index >= count) return undefined;
  const isLast = index === count - 1;
  const plainBytes = isLast ? streamBytes - index * packageBytes : packageBytes;
  if (sealed.length !== plainBytes + tagBytes) return undefined;
  const decipher = createDecipheriv(algorithm, dataKey, packageNonce(index, isLast), cipherOptions);
  decipher.setAuthTag(sealed.subarray(plainBytes));
  const plain = decipher.update(sealed.subarray(0, plainBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}

/** 4 bytes of zeros, 7 of the package's number, 1 that is set for the last package. */
export function packageNonce(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeUIntBE(index, 5, 6);
  nonce[nonceBytes - 1] = isLast ? 1 : 0;
  return nonce;
}
