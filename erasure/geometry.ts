/**
 * All arithmetic of stripes, rows, blocks and shards, in one place.
 *
 * A stripe's data bytes are laid out row by row. A row is k data blocks side by side, one for each data shard, and m parity blocks
 * computed from them; a shard is its blocks of all rows in order. Only the last row can be short: there data shard i
 * holds what is left for it, perhaps nothing, and the parity blocks are as long as the longest data block. What is not stored counts as zeros.
 * So an object that fits one block costs 1 + m stored blocks, and each row can be coded and sent on as soon as it is full.
 */

/** The length of blocks in long stripes, and in packs at the most: the unit that is read and verified alone. */
export const maxBlockBytes = 256 * 1024;
/**
 * The longest block there is: that of a stripe which is then one row, and would be two shorter ones. So an object of 1 MiB, with its tags
 * and its manifest, is written with one call to each of k+m providers.
 */
export const maxSingleBlockBytes = 272 * 1024;
/** Blocks are a multiple of this. */
export const blockAlignBytes = 4096;

export interface StripeGeometry {
  readonly k: number;
  readonly m: number;
  readonly blockBytes: number;
  readonly dataBytes: number;
}

/** Data bytes in a full row. */
export function rowDataBytes(g: Pick<StripeGeometry, 'k' | 'blockBytes'>): number {
  return g.k * g.blockBytes;
}

export function rowCount(g: StripeGeometry): number {
  return Math.ceil(g.dataBytes / rowDataBytes(g));
}

/** Stored bytes of shard `index`'s block in `row`, 0 to blockBytes. */
export function storedBlockBytes(g: StripeGeometry, index: number, row: number): number {
  const left = g.dataBytes - row * rowDataBytes(g) - (index < g.k ? index * g.blockBytes : 0);
  return Math.max(0, Math.min(g.blockBytes, left));
}

/** How many blocks shard `index` stores; 0 means that the shard does not exist. */
export function storedBlockCount(g: StripeGeometry, index: number): number {
  const rows = rowCount(g);
  return rows === 0 ? 0 : storedBlockBytes(g, index, rows - 1) > 0 ? rows : rows - 1;
}

/** Stored block bytes of shard `index`, without header and footer. */
export function shardPayloadBytes(g: StripeGeometry, index: number): number {
  const rows = rowCount(g);
  return rows === 0 ? 0 : (rows - 1) * g.blockBytes + storedBlockBytes(g, index, rows - 1);
}

/** How many of the k+m shards store anything. */
export function storedShardCount(g: StripeGeometry): number {
  let count = 0;
  for (let index = 0; index < g.k + g.m; index++) if (storedBlockCount(g, index) > 0) count++;
  return count;
}
