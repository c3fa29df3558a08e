/**
 * Joins the CRCs of two byte strings into the CRC of one string followed by the other, without the bytes.
 *
 * A CRC is the remainder of a polynomial, so appending n bytes multiplies the first remainder by x^(8n), and the second
 * one is then added. The powers x^(2^i) are squared once and kept: about 35 multiplications for 5 GiB. As in zlib's
 * crc32_combine, pre- and post-inversion cancel out. Valid for every reflected CRC whose initial value and final
 * exclusive-or are equal.
 */
export class CrcCombiner {
  readonly #widthBytes: number;
  /** x^0 in reflected order: the highest bit. */
  readonly #one: bigint;
  readonly #polynomial: bigint;
  /** At i: x^(2^i) modulo the polynomial. Grows as longer strings come. */
  readonly #powers: bigint[];
  /** The last length and its power: the parts of an upload are nearly all equally long. */
  #lastBytes = 0;
  #lastPower: bigint;

  /** `polynomial` in reflected form. */
  constructor(options: { polynomial: bigint; widthBytes: number }) {
    this.#widthBytes = options.widthBytes;
    this.#polynomial = options.polynomial;
    this.#one = 1n << BigInt(options.widthBytes * 8 - 1);
    this.#powers = [this.#one >> 1n];
    this.#lastPower = this.#one;
  }

  /** The CRC of A followed by B, from the CRCs of both (big-endian) and the length of B. */
  combine(a: Uint8Array, b: Uint8Array, bBytes: number): Uint8Array {
    const sum = this.#multiply(this.#powerOfBytes(bBytes), readBigEndian(a)) ^ readBigEndian(b);
    return Buffer.from(sum.toString(16).padStart(this.#widthBytes * 2, '0'), 'hex');
  }

  /** x^(8 * bytes) modulo the polynomial. */
  #powerOfBytes(bytes: number): bigint {
    if (bytes === this.#lastBytes) return this.#lastPower;
    let power = this.#one;
    let exponent = BigInt(bytes) * 8n;
    for (let index = 0; exponent > 0n; index++, exponent >>= 1n) {
      if (index === this.#powers.length) {
        const square = this.#powers[index - 1]!;
        this.#powers.push(this.#multiply(square, square));
      }
      if (exponent & 1n) power = this.#multiply(this.#powers[index]!, power);
    }
    this.#lastBytes = bytes;
    this.#lastPower = power;
    return power;
  }

  /** Multiplies two polynomials in reflected order, modulo the polynomial of the CRC. */
  #multiply(a: bigint, b: bigint): bigint {
    let product = 0n;
    let shifted = b;
    for (let bit = this.#one; bit > 0n; bit >>= 1n) {
      if (a & bit) product ^= shifted;
      shifted = shifted & 1n ? (shifted >> 1n) ^ this.#polynomial : shifted >> 1n;
    }
    return product;
  }
}

function readBigEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
