import { maxBlockBytes } from '../erasure/geometry.ts';

/** So many bytes to a data shard before another one is used: below it, fewer and longer writes win. */
const spreadBytes = 16 * 1024;

/** How the items of a pack lie in its data blocks. */
export interface PackLayout {
  /** Of each data block that is used, the items in it (by their place in the input), in order. */
  readonly blocks: readonly (readonly number[])[];
  /** Items for which there was no room. */
  readonly left: readonly number[];
}

/**
 * Spreads items over up to k data blocks, each item whole within one block, so that a read asks one provider. Few bytes go
 * into one block alone, since blocks that are not used are not stored; nor are there more blocks than the longest item pays
 * for, since all are as long as the fullest. The last block keeps room for the manifest, which ends the stripe.
 *
 * Longest item first, always into the emptiest block: Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM Journal
 * on Applied Mathematics 17(2), 1969.
 *
 * @param manifestBytes about how long the manifest will be
 */
export function layOutPack(itemBytes: readonly number[], k: number, manifestBytes: number): PackLayout {
  const totalBytes = itemBytes.reduce((sum, bytes) => sum + bytes, manifestBytes);
  const longestBytes = itemBytes.reduce((longest, bytes) => Math.max(longest, bytes), manifestBytes);
  const paidBlocks = Math.floor((totalBytes - spreadBytes) / longestBytes) + 1;
  const blockCount = Math.max(1, Math.min(k, Math.ceil(totalBytes / spreadBytes), paidBlocks));
  const blocks = Array.from({ length: blockCount }, (): number[] => []);
  const loads = new Array<number>(blockCount).fill(0);
  loads[blockCount - 1] = manifestBytes;
  const left: number[] = [];
  const order = Array.from(itemBytes.keys()).sort((a, b) => itemBytes[b]! - itemBytes[a]!);
  for (const item of order) {
    let best = 0;
    for (let block = 1; block < blockCount; block++) if (loads[block]! < loads[best]!) best = block;
    if (loads[best]! + itemBytes[item]! > maxBlockBytes) {
      left.push(item);
      continue;
    }
    blocks[best]!.push(item);
    loads[best]! += itemBytes[item]!;
  }
  return { blocks, left: left.sort((a, b) => a - b) };
}
