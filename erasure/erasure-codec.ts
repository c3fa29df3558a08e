/**
 * A systematic Reed-Solomon code over GF(2^8), polynomial 0x11d, with the matrix of Backblaze's and klauspost's
 * implementations (a Vandermonde matrix made systematic). That matrix is part of the on-disk format: every codec gives
 * the same bytes for the same input.
 *
 * All shards of one call have the same length, at least 1, and what is written overlaps with nothing else. Nobody keeps a
 * reference to a buffer after the call returns. Buffers may be views of any larger buffer; a codec is fastest where all
 * of a call are views of one `allocateSlots`, each of its own slot in order of index and from the same place in it, since
 * then nothing is copied. It is never different for that.
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
   * @param into a buffer for each wanted index, in that order, that is overwritten; new ones are made unless given
   * @returns these buffers; they belong to the caller
   */
  reconstruct(
    shards: readonly (Uint8Array | undefined)[],
    k: number,
    wanted: readonly number[],
    into?: readonly Uint8Array[],
  ): Uint8Array[];
  /**
   * Memory for `count` shards of up to `slotBytes` each, a slot a shard, where this codec works without copying: bytes
   * that come from elsewhere land there, and are written to providers from there. It does not bound what is allocated;
   * who calls does.
   *
   * @throws RangeError unless there are 1 to 256 slots of 1 byte to 64 MiB
   */
  allocateSlots(count: number, slotBytes: number): ShardSlots;
}

/** The slots of one row, until they are released. */
export interface ShardSlots {
  /** One view a slot, of `slotBytes`, in order; what they hold at first is not known. Slots do not touch: there is padding between. */
  readonly views: readonly Uint8Array[];
  /** All of it with the padding: what counts against a budget. See `slotsBytes`. */
  readonly bytes: number;
  /**
   * Gives the memory back for other slots: whoever still reads or writes the views would see or spoil theirs. Memory that
   * is not released stays taken for good. May be called twice.
   */
  release(): void;
}
