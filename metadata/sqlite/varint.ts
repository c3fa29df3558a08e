/*
 * Whole numbers from 0 to 2^53-1 in one to eight bytes: seven bits a byte, the lowest first, the top bit set on all but
 * the last byte.
 */

export const maxVarintBytes = 8;

/** Writes a whole number from 0 to 2^53-1 and returns where it ends. */
export function writeVarint(buffer: Uint8Array, start: number, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`no whole number from 0 to 2^53-1: ${value}`);
  let at = start;
  let rest = value;
  // Bit operations would cut the number to 32 bits.
  while (rest >= 128) {
    buffer[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}

/** Reads the number at `reader.at` and moves on past it. */
export function readVarint(reader: { readonly blob: Uint8Array; at: number }): number {
  let value = 0;
  let scale = 1;
  for (;;) {
    const byte = reader.blob[reader.at++]!;
    value += (byte % 128) * scale;
    if (byte < 128) return value;
    scale *= 128;
  }
}
