import type { PlacedShard, Stripe } from '../../../core/model.ts';
import { completeRow, padBlock } from '../../../erasure/check-row.ts';
import { rowDataBytes, storedBlockBytes } from '../../../erasure/geometry.ts';
import type { EngineParts } from '../../engine-parts.ts';
import type { PiecePlace, SealedPiece } from './sealed-pieces.ts';

/** Data blocks of one row that were computed from others, by index. */
export type RebuiltBlocks = ReadonlyMap<number, Uint8Array>;

/** Rows of a stripe of which all blocks are in memory. */
export class RowWindow {
  readonly #parts: Pick<EngineParts, 'blocks' | 'codec'>;
  readonly #stripe: Stripe;
  readonly #rows = new Map<number, readonly Uint8Array[]>();

  /** @param stripe with all of its shards */
  constructor(parts: Pick<EngineParts, 'blocks' | 'codec'>, stripe: Stripe) {
    this.#parts = parts;
    this.#stripe = stripe;
  }

  /**
   * Reads a row, unless it is there.
   *
   * @returns all k+m blocks as they are coded, those that store nothing as zeros
   * @throws Failure where one of its blocks cannot be read; the signal's reason
   */
  async load(row: number, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const loaded = this.#rows.get(row);
    if (loaded !== undefined) return loaded;
    const { k, m, shards } = this.#stripe;
    const codedBytes = storedBlockBytes(this.#stripe, 0, row);
    const read = async (shard: PlacedShard | undefined): Promise<Uint8Array> => {
      if (shard === undefined || storedBlockBytes(this.#stripe, shard.index, row) === 0)
        return new Uint8Array(codedBytes);
      return padBlock(await this.#parts.blocks.readBlock(this.#stripe, shard, row, signal), codedBytes);
    };
    const byIndex = new Map(shards.map((shard) => [shard.index, shard]));
    const blocks = await Promise.all(Array.from({ length: k + m }, (_, index) => read(byIndex.get(index))));
    this.#rows.set(row, blocks);
    return blocks;
  }

  /** Gives up all rows but those of these pieces. */
  keepOnly(pieces: readonly SealedPiece[]): void {
    for (const row of this.#rows.keys()) if (!pieces.some(({ rows }) => rows.includes(row))) this.#rows.delete(row);
  }

  /**
   * The data blocks of a row that is there, as they must be if these shards are wrong and the others right.
   *
   * @returns undefined where that cannot be: the others do not go together, or bytes come out that are not stored and so are zeros
   */
  rebuild(row: number, wrong: readonly number[]): RebuiltBlocks | undefined {
    const stripe = this.#stripe;
    const { k } = stripe;
    const doubted = wrong.filter((index) => storedBlockBytes(stripe, index, row) > 0);
    const wanted = doubted.filter((index) => index < k);
    const others = this.#blocksOf(row).map((block, index) => (doubted.includes(index) ? undefined : block));
    const rebuilt = completeRow(this.#parts.codec, others, k, wanted);
    const isFitting = rebuilt?.every((block, at) => isZero(block.subarray(storedBlockBytes(stripe, wanted[at]!, row))));
    return rebuilt && isFitting ? new Map(rebuilt.map((block, at) => [wanted[at]!, block])) : undefined;
  }

  /**
   * The bytes of a piece whose rows are all there, in a buffer of their own.
   *
   * @param rebuilt what takes the place of stored blocks, by row
   */
  assemble(piece: SealedPiece, rebuilt?: ReadonlyMap<number, RebuiltBlocks>): Uint8Array {
    const bytes = new Uint8Array(piece.length);
    for (const other of piece.others) bytes.set(other.bytes, other.at);
    for (const place of piece.places) {
      for (const { row, index, from, to, at } of cutPlace(this.#stripe, place)) {
        const block = rebuilt?.get(row)?.get(index) ?? this.#blocksOf(row)[index]!;
        bytes.set(block.subarray(from, to), at);
      }
    }
    return bytes;
  }

  #blocksOf(row: number): readonly Uint8Array[] {
    const blocks = this.#rows.get(row);
    if (blocks === undefined) throw new Error(`row ${row} is not in memory`);
    return blocks;
  }
}

/** Bytes `from` to `to` (not included) of a data block. */
interface BlockSlice {
  readonly row: number;
  readonly index: number;
  readonly from: number;
  readonly to: number;
  /** From where on they stand in the piece. */
  readonly at: number;
}

/** The data blocks that hold a place, in order. */
export function* cutPlace(stripe: Stripe, { offset, length, at }: PiecePlace): Generator<BlockSlice, void, void> {
  const rowBytes = rowDataBytes(stripe);
  for (let done = 0; done < length; ) {
    const row = Math.floor((offset + done) / rowBytes);
    const inRow = offset + done - row * rowBytes;
    const index = Math.floor(inRow / stripe.blockBytes);
    const from = inRow - index * stripe.blockBytes;
    const to = Math.min(from + length - done, stripe.blockBytes);
    yield { row, index, from, to, at: at + done };
    done += to - from;
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
