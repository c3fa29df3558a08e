import type { Metrics } from '../../core/metrics.ts';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { rowDataBytes } from '../../erasure/geometry.ts';
import type { Fleet } from '../../placement/fleet.ts';
import type { BlockReader } from '../block-reader.ts';
import { readRow } from '../read-row.ts';

/** What it takes to read stripes without a metadata store. */
export interface StripeReadParts {
  readonly fleet: Fleet;
  readonly blocks: BlockReader;
  readonly codec: ErasureCodec;
  readonly metrics: Metrics;
  /** See `EngineLimits`. */
  readonly hedgeMs: number;
}

/**
 * `length` bytes of a stripe's data from `offset`, verified and where need be rebuilt. The whole of it lies in memory. The
 * buffer belongs to the caller.
 *
 * @throws Failure `too-few-shards`; the signal's reason
 */
export async function readStripe(
  parts: StripeReadParts,
  stripe: Stripe,
  { offset, length }: { readonly offset: number; readonly length: number },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const rowBytes = rowDataBytes(stripe);
  let at = 0;
  while (at < length) {
    const row = Math.floor((offset + at) / rowBytes);
    const from = offset + at - row * rowBytes;
    const to = Math.min(from + length - at, rowBytes);
    const first = Math.floor(from / stripe.blockBytes);
    const last = Math.floor((to - 1) / stripe.blockBytes);
    const wanted = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const blocks = await readRow(parts, { stripe, row, wanted }, signal);
    for (const [index, block] of blocks.entries()) {
      const start = (first + index) * stripe.blockBytes;
      const piece = block.subarray(Math.max(from - start, 0), to - start);
      bytes.set(piece, at);
      at += piece.length;
    }
  }
  return bytes;
}

/**
 * The same stripe with its shards where they are by now: one that is not where it was said to be is looked for at every
 * other provider. One that nobody has, and one whose provider does not answer, is left out.
 */
export async function locateShards(fleet: Fleet, stripe: Stripe, signal: AbortSignal): Promise<Stripe> {
  const found = await Promise.all(stripe.shards.map((shard) => locateShard(fleet, shard, signal)));
  signal.throwIfAborted();
  return { ...stripe, shards: found.filter((shard): shard is PlacedShard => shard !== undefined) };
}

async function locateShard(fleet: Fleet, shard: PlacedShard, signal: AbortSignal): Promise<PlacedShard | undefined> {
  const others = fleet.members.map(({ provider }) => provider).filter(({ id }) => id !== shard.providerId);
  const expected = fleet.find(shard.providerId);
  for (const provider of expected ? [expected, ...others] : others) {
    const isThere = await provider.statShard(shard.cid, signal).then(
      () => true,
      () => false,
    );
    if (isThere) return { ...shard, providerId: provider.id };
  }
  return undefined;
}
