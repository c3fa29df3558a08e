import type { ErasureCodec } from './erasure-codec.ts';

/**
 * Which parity blocks of a row are not what its data blocks say that they must be.
 *
 * @param blocks all k+m in order of index and of one length, those that store nothing as zeros
 * @returns indexes, none where the row is one code word
 */
export function findWrongParity(
  codec: ErasureCodec,
  blocks: readonly Uint8Array[],
  { k, m }: { readonly k: number; readonly m: number },
): number[] {
  if (m === 0) return [];
  const coded = Array.from({ length: m }, () => new Uint8Array(blocks[0]!.length));
  codec.encode(blocks.slice(0, k), coded);
  return coded.flatMap((block, at) => (isSame(block, blocks[k + at]!) ? [] : [k + at]));
}

/**
 * Computes blocks of a row that are not at hand, if those that are go together.
 *
 * @param blocks k+m in order of index and of one length, undefined where not at hand; at least k present
 * @param wanted indexes that are undefined in `blocks`
 * @returns a block for each wanted index, in that order, in buffers of their own; undefined where the blocks are not pieces of one code word,
 *   which more than k of them can show
 */
export function completeRow(
  codec: ErasureCodec,
  blocks: readonly (Uint8Array | undefined)[],
  k: number,
  wanted: readonly number[] = [],
): Uint8Array[] | undefined {
  const present = blocks.flatMap((block, index) => (block === undefined ? [] : [index]));
  const checked = present.slice(k);
  const basis = blocks.map((block, index) => (checked.includes(index) ? undefined : block));
  const rebuilt = codec.reconstruct(basis, k, [...checked, ...wanted]);
  const isOneWord = checked.every((index, at) => isSame(rebuilt[at]!, blocks[index]!));
  return isOneWord ? rebuilt.slice(checked.length) : undefined;
}

/** A block as it is coded: what is not stored counts as zeros. A new buffer only where it is too short. */
export function padBlock(block: Uint8Array, codedBytes: number): Uint8Array {
  if (block.length === codedBytes) return block;
  const padded = new Uint8Array(codedBytes);
  padded.set(block);
  return padded;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
