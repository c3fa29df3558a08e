/**
 * Arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1 by logarithms to base 2, and the matrices of the code. The
 * reference codec has slower ones of its own, so that one can prove the other.
 */
export type Matrix = readonly Uint8Array[];

/** The polynomial without its highest term: what is added where doubling carries out of the byte. */
export const carryByte = 0x1d;

const logs = new Uint8Array(256);
/** Twice over, so that a sum of two logarithms needs no remainder. */
const powers = new Uint8Array(510);
for (let exponent = 0, value = 1; exponent < 255; exponent++) {
  powers[exponent] = value;
  powers[exponent + 255] = value;
  logs[value] = exponent;
  value = (value << 1) ^ (value & 0x80 ? 0x100 | carryByte : 0);
}

export function multiplyField(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : powers[logs[a]! + logs[b]!]!;
}

/** k+m rows of k: the identity above the parity rows. Any k of its rows can be inverted. */
export function createCodingMatrix(k: number, m: number): Matrix {
  const vandermonde = Array.from({ length: k + m }, (_, row) =>
    Uint8Array.from({ length: k }, (_, column) => raise(row, column)),
  );
  return multiplyMatrix(vandermonde, invertMatrix(vandermonde.slice(0, k)));
}

/** @throws RangeError for a matrix that has no inverse */
export function invertMatrix(matrix: Matrix): Matrix {
  const size = matrix.length;
  const work = matrix.map((row, at) => {
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + at] = 1;
    return wide;
  });
  for (let column = 0; column < size; column++) {
    const pivot = work.findIndex((row, at) => at >= column && row[column] !== 0);
    if (pivot === -1) throw new RangeError('the matrix is singular');
    [work[column], work[pivot]] = [work[pivot]!, work[column]!];
    const pivotRow = work[column]!;
    scaleRow(pivotRow, powers[255 - logs[pivotRow[column]!]!]!);
    for (const row of work) if (row !== pivotRow) addScaled(row, pivotRow, row[column]!);
  }
  return work.map((row) => row.subarray(size));
}

export function multiplyMatrix(left: Matrix, right: Matrix): Matrix {
  return left.map((row) => {
    const product = new Uint8Array(right[0]!.length);
    for (const [at, factor] of row.entries()) addScaled(product, right[at]!, factor);
    return product;
  });
}

function scaleRow(row: Uint8Array, factor: number): void {
  for (let at = 0; at < row.length; at++) row[at] = multiplyField(row[at]!, factor);
}

function addScaled(row: Uint8Array, other: Uint8Array, factor: number): void {
  if (factor === 0) return;
  for (let at = 0; at < row.length; at++) row[at] = row[at]! ^ multiplyField(other[at]!, factor);
}

function raise(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  return base === 0 ? 0 : powers[(logs[base]! * exponent) % 255]!;
}
