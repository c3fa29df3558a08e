import { type StreamPiece, sealInPlace } from '../../crypto/seal-in-place.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { digestBlock } from '../../erasure/shard-format.ts';

/** A row as it lies in memory: blocks of `strideBytes` one after the other, k of data and m for parity. */
export interface RowJob {
  readonly memory: ArrayBufferLike;
  readonly k: number;
  readonly m: number;
  readonly strideBytes: number;
  /** How much of each block is stored; 0: the shard has none in this row. */
  readonly storedBytes: readonly number[];
  /** What of a stream lies at its beginning, still plain, and how long it is. */
  readonly piece: (StreamPiece & { readonly length: number }) | undefined;
}

/**
 * All that a row needs before it is sent: its bytes are sealed where they lie, parity is computed, and stored blocks are digested.
 *
 * @returns the digest of each block; empty for one that is not stored
 */
export function codeRow(codec: ErasureCodec, job: RowJob): Uint8Array[] {
  const { memory, k, m, strideBytes, storedBytes, piece } = job;
  if (piece !== undefined) sealInPlace(piece, Buffer.from(memory, 0, piece.length));
  const blocks = Array.from({ length: k + m }, (_, at) => Buffer.from(memory, at * strideBytes, strideBytes));
  if (m > 0) codec.encode(blocks.slice(0, k), blocks.slice(k));
  return blocks.map((block, at) => {
    const bytes = storedBytes[at] ?? 0;
    return bytes === 0 ? new Uint8Array(0) : digestBlock(block.subarray(0, bytes));
  });
}
