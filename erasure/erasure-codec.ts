/**
 * A systematic Reed-Solomon code over GF(2^8), polynomial 0x11d, with the matrix of Backblaze's and klauspost's
 * implementations (a Vandermonde matrix made systematic). That matrix is part of the on-disk format: every codec gives
 * the same bytes for the same input.
 *
 * All shards of one call have the same length, at least 1. Nobody keeps a reference to a buffer after the call returns. Buffers may be
 * views of one larger buffer; where they lie one after the other a codec may go faster, never differently.
 *
 * Calls are synchronous and throw RangeError on arguments that break this contract; they have no other failure.
 */
export interface ErasureCodec {
  /** For logs and metrics, such as `wasm-package`. */
  readonly name: string;
  /** Computes the m `parity` shards of the k `data` shards into the buffers given. k and m are the lengths. */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void;
  /**
   * Rebuilds missing shards from any k of the others.
   *
   * @param shards all k+m in order of index, `undefined` where not at hand; at least k present
   * @param k data shards among them
   * @param wanted the indexes to rebuild, data or parity, each `undefined` in `shards`
   * @returns a buffer for each wanted index, in that order; they belong to the caller
   */
  reconstruct(shards: readonly (Uint8Array | undefined)[], k: number, wanted: readonly number[]): Uint8Array[];
}
