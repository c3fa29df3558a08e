/**
 * The 64 steps of MD5's compression function, as RFC 1321 (3.4) has them: `a = b + rotate(a + F(b, c, d) + X[word] + constant,
 * rotation)`, after which the four registers change places.
 */

export const blockBytes = 64;
export const stateWords = 4;

/** What a, b, c and d are before the first block. RFC 1321, 3.3. */
export const initialState: readonly number[] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/** Which of the four functions F, G, H, I a step is of. */
export type Round = 0 | 1 | 2 | 3;

export interface Md5Step {
  readonly round: Round;
  /** Which of the 16 words of the block is added. */
  readonly word: number;
  /** By how many bits the sum is rotated to the left. */
  readonly rotation: number;
  readonly constant: number;
}

const rotations = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
] as const;
/** In round r, word `(factor * i + offset) mod 16` is step i's. */
const wordOrder = [
  [1, 0],
  [5, 1],
  [3, 5],
  [7, 0],
] as const;

export const md5Steps: readonly Md5Step[] = Array.from({ length: 64 }, (_, index) => {
  const round = (index >> 4) as Round;
  const [factor, offset] = wordOrder[round];
  return {
    round,
    word: (factor * index + offset) % 16,
    rotation: rotations[round][index % 4]!,
    constant: Math.floor(Math.abs(Math.sin(index + 1)) * 2 ** 32),
  };
});

/** The registers of a step by their part in it: where a, b, c and d are after so many changes of places. */
export function arrangeRegisters<Register>(
  registers: readonly Register[],
  stepIndex: number,
): readonly [a: Register, b: Register, c: Register, d: Register] {
  const at = (place: number): Register => registers[(place - (stepIndex % 4) + 4) % 4]!;
  return [at(0), at(1), at(2), at(3)];
}
