import { checkEncode, checkReconstruct, takeTargets } from './codec-arguments.ts';
import type { ErasureCodec } from './erasure-codec.ts';
import { allocateOwnSlots } from './shard-slots.ts';

/**
 * The code written down as plainly as it can be, one byte at a time: the oracle for every other codec, and hundreds of
 * times slower than they are.
 *
 * Plank, "A Tutorial on Reed-Solomon Coding for Fault-Tolerance in RAID-like Systems", 1997, with the correction of
 * 2003; the matrix is that of Backblaze's JavaReedSolomon, which klauspost/reedsolomon and the Rust crate
 * reed-solomon-erasure share.
 */
export function createReferenceCodec(): ErasureCodec {
  return { name: 'reference', encode, reconstruct, allocateSlots: allocateOwnSlots };
}

type Matrix = readonly Uint8Array[];

function encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
  checkEncode(data, parity);
  const matrix = codingMatrix(data.length, parity.length);
  for (const [row, out] of parity.entries()) multiplyRow(matrix[data.length + row]!, data, out);
}

function reconstruct(
  shards: readonly (Uint8Array | undefined)[],
  k: number,
  wanted: readonly number[],
  into?: readonly Uint8Array[],
): Uint8Array[] {
  const shardBytes = checkReconstruct(shards, k, wanted);
  const matrix = codingMatrix(k, shards.length - k);
  const present = shards.flatMap((shard, index) => (shard === undefined ? [] : [{ shard, index }])).slice(0, k);
  // The rows of the shards at hand map the data to them; the inverse maps them to the data.
  const decoding = invert(present.map(({ index }) => matrix[index]!));
  const sources = present.map(({ shard }) => shard);
  const rebuilt = takeTargets(into, wanted.length, shardBytes);
  for (const [at, index] of wanted.entries()) {
    multiplyRow(multiply([matrix[index]!], decoding)[0]!, sources, rebuilt[at]!);
  }
  return rebuilt;
}

/** out[i] = sum over j of row[j] * columns[j][i] */
function multiplyRow(row: Uint8Array, columns: readonly Uint8Array[], out: Uint8Array): void {
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (const [j, factor] of row.entries()) sum ^= multiplyField(factor, columns[j]![i]!);
    out[i] = sum;
  }
}

/** k+m rows of k: the identity above the parity rows. Any k of its rows can be inverted. */
function codingMatrix(k: number, m: number): Matrix {
  const vandermonde = Array.from({ length: k + m }, (_, row) =>
    Uint8Array.from({ length: k }, (_, column) => power(row, column)),
  );
  return multiply(vandermonde, invert(vandermonde.slice(0, k)));
}

function multiply(left: Matrix, right: Matrix): Matrix {
  return left.map((row) =>
    Uint8Array.from(right[0]!, (_, column) =>
      row.reduce((sum, factor, i) => sum ^ multiplyField(factor, right[i]![column]!), 0),
    ),
  );
}

/** Gauss-Jordan elimination. */
function invert(matrix: Matrix): Matrix {
  const size = matrix.length;
  const work = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + i] = 1;
    return wide;
  });
  for (let column = 0; column < size; column++) {
    const pivot = work.findIndex((row, i) => i >= column && row[column] !== 0);
    if (pivot === -1) throw new RangeError('the matrix is singular');
    [work[column], work[pivot]] = [work[pivot]!, work[column]!];
    const inverse = invertField(work[column]![column]!);
    const scaled = work[column]!.map((value) => multiplyField(value, inverse));
    work[column] = scaled;
    for (const [i, row] of work.entries()) {
      const factor = row[column]!;
      if (i === column || factor === 0) continue;
      for (let j = 0; j < 2 * size; j++) row[j] = row[j]! ^ multiplyField(factor, scaled[j]!);
    }
  }
  return work.map((row) => row.subarray(size));
}

/** The product of two polynomials over GF(2), modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d). */
function multiplyField(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product <<= 1;
    if (product & 0x100) product ^= 0x11d;
    if (b & (1 << bit)) product ^= a;
  }
  return product;
}

function power(base: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = multiplyField(result, base);
  return result;
}

/** a^254 is the inverse of a, since a^255 = 1 for all but 0. */
function invertField(a: number): number {
  return power(a, 254);
}
