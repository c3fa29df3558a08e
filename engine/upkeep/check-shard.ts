import { Failure, isFailure } from '../../core/failure.ts';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import { releaseWhole } from '../../core/release-memory.ts';
import { storedBlockBytes, storedBlockCount } from '../../erasure/geometry.ts';
import {
  type DigestTable,
  encodeShardHeader,
  footerBytes,
  openShardFooter,
  shardBlockOffset,
  shardBytes,
  shardFooterOffset,
  shardHeaderBytes,
} from '../../erasure/shard-format.ts';
import type { Provider } from '../../placement/providers/provider.ts';

/** Read in one call, and held in memory at once: a call is dear at a node or a bucket. */
const maxReadBytes = 1024 * 1024;

/**
 * Reads a shard whole from where it lies, and compares all there is to it: length, header, the digest of each block, and the footer that
 * its name stands for. Takes about a megabyte of memory.
 *
 * @param onBlock is given each block once it was found right; the bytes are good until it returns
 * @throws Failure `shard-missing`, `shard-corrupt`; what the provider throws, where that says nothing of the shard; the signal's reason
 */
export async function checkShard(
  provider: Provider,
  stripe: Stripe,
  shard: Pick<PlacedShard, 'index' | 'cid'>,
  signal: AbortSignal,
  onBlock?: (row: number, block: Uint8Array) => void,
): Promise<void> {
  try {
    await new ShardCheck(provider, stripe, shard, signal, onBlock).run();
  } catch (error) {
    signal.throwIfAborted();
    if (isFailure(error, 'provider-error')) await checkLength(provider, stripe, shard, signal);
    throw error;
  }
}

/** How much `checkShard` reads, in bytes and in calls. */
export function checkCost(stripe: Stripe, index: number): { bytes: number; operations: number } {
  const bytes = shardBytes(stripe, index);
  return { bytes, operations: bytes <= maxReadBytes ? 1 : 1 + Math.ceil(bytes / maxReadBytes) };
}

class ShardCheck {
  readonly #provider: Provider;
  readonly #stripe: Stripe;
  readonly #shard: Pick<PlacedShard, 'index' | 'cid'>;
  readonly #signal: AbortSignal;
  readonly #onBlock: ((row: number, block: Uint8Array) => void) | undefined;

  constructor(
    provider: Provider,
    stripe: Stripe,
    shard: Pick<PlacedShard, 'index' | 'cid'>,
    signal: AbortSignal,
    onBlock: ((row: number, block: Uint8Array) => void) | undefined,
  ) {
    this.#onBlock = onBlock;
    this.#provider = provider;
    this.#stripe = stripe;
    this.#shard = shard;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const { index } = this.#shard;
    const bytes = shardBytes(this.#stripe, index);
    const footerOffset = shardFooterOffset(this.#stripe, index);
    if (bytes <= maxReadBytes) {
      const whole = await this.#read(0, bytes);
      const table = this.#openFooter(whole.subarray(footerOffset));
      this.#checkHeader(whole.subarray(0, shardHeaderBytes));
      this.#checkBlocks(table, 0, whole.subarray(shardHeaderBytes, footerOffset));
      releaseWhole(whole);
      return;
    }
    const table = this.#openFooter(await this.#read(footerOffset, footerBytes(this.#stripe, index)));
    const rows = storedBlockCount(this.#stripe, index);
    const rowsAtOnce = Math.max(Math.floor(maxReadBytes / this.#stripe.blockBytes), 1);
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const start = row === 0 ? 0 : shardBlockOffset(this.#stripe, row);
      const isLast = row + rowsAtOnce >= rows;
      const end = isLast ? footerOffset : shardBlockOffset(this.#stripe, row + rowsAtOnce);
      const piece = await this.#read(start, end - start);
      if (row === 0) this.#checkHeader(piece.subarray(0, shardHeaderBytes));
      this.#checkBlocks(table, row, row === 0 ? piece.subarray(shardHeaderBytes) : piece);
      releaseWhole(piece);
    }
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#provider.readShard(this.#shard.cid, offset, length, this.#signal);
    if (bytes.length !== length) throw this.#corrupt(`${bytes.length} bytes where there should be ${length}`);
    return bytes;
  }

  #openFooter(footer: Uint8Array): DigestTable {
    const table = openShardFooter(this.#identity(), this.#stripe, footer, this.#shard.cid);
    if (table === undefined) throw this.#corrupt('the footer is not the one that the shard is named after');
    return table;
  }

  #checkHeader(header: Uint8Array): void {
    if (Buffer.compare(header, encodeShardHeader(this.#identity())) !== 0) throw this.#corrupt('its header is wrong');
  }

  #checkBlocks(table: DigestTable, firstRow: number, bytes: Uint8Array): void {
    let row = firstRow;
    for (let at = 0; at < bytes.length; row++) {
      const blockBytes = storedBlockBytes(this.#stripe, this.#shard.index, row);
      const block = bytes.subarray(at, at + blockBytes);
      if (!table.matches(row, block)) throw this.#corrupt(`block ${row} does not have its digest`);
      this.#onBlock?.(row, block);
      at += blockBytes;
    }
  }

  #identity() {
    const { id: stripeId, profileName, k, m, blockBytes } = this.#stripe;
    return { stripeId, profileName, k, m, index: this.#shard.index, blockBytes };
  }

  #corrupt(reason: string): Failure {
    return new Failure('shard-corrupt', { providerId: this.#provider.id, cid: this.#shard.cid, reason });
  }
}

/** A read beyond the end of a shard that was cut short fails like any other: only its length tells. */
async function checkLength(
  provider: Provider,
  stripe: Stripe,
  { index, cid }: Pick<PlacedShard, 'index' | 'cid'>,
  signal: AbortSignal,
): Promise<void> {
  const { bytes } = await provider.statShard(cid, signal);
  const expected = shardBytes(stripe, index);
  if (bytes === expected) return;
  throw new Failure('shard-corrupt', { providerId: provider.id, cid, reason: `${bytes} bytes instead of ${expected}` });
}
