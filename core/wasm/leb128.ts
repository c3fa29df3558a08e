/** Whole numbers as WebAssembly writes them: seven bits a byte, the low ones first. https://webassembly.github.io/spec/core/binary/values.html#integers */

/** @throws RangeError unless it is whole and 0 to 2^32 - 1 */
export function encodeUnsigned(value: number): number[] {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError(`no u32: ${value}`);
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

/** @throws RangeError unless it fits 64 bits with a sign */
export function encodeSigned(value: bigint): number[] {
  if (BigInt.asIntN(64, value) !== value) throw new RangeError(`no i64: ${value}`);
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    // The last byte's bit 6 is the sign.
    const isLast = rest === (low & 0x40 ? -1n : 0n);
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}
