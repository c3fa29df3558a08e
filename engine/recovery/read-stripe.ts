import type { Metrics } from '../../core/metrics.ts';
import type { PlacedShard, ProviderId, Stripe } from '../../core/model.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { rowDataBytes, storedBlockCount } from '../../erasure/geometry.ts';
import type { Fleet } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
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
 * The same stripe with its shards where they are by now: all providers are asked. A shard that nobody has, and one whose
 * provider does not answer, is left out.
 */
export async function locateShards(parts: StripeReadParts, stripe: Stripe, signal: AbortSignal): Promise<Stripe> {
  const found = await Promise.all(stripe.shards.map((shard) => findHolders(parts.fleet, shard, signal)));
  signal.throwIfAborted();
  return chooseHolders(parts, { ...stripe, shards: found.flat() }, signal);
}

/**
 * The same stripe with each shard where it is by now. One that nobody shows stays where it was said to be, since its provider may be away.
 */
export async function followShards(parts: StripeReadParts, stripe: Stripe, signal: AbortSignal): Promise<Stripe> {
  const { fleet } = parts;
  const followed = await Promise.all(
    stripe.shards.map(async (shard) => {
      if (await isHeld(fleet.find(shard.providerId), shard, signal)) return [shard];
      const holders = await findHolders(fleet, shard, signal);
      return holders.length > 0 ? holders : [shard];
    }),
  );
  return chooseHolders(parts, { ...stripe, shards: followed.flat() }, signal);
}

/** Whether a provider shows a shard. */
export async function isHeld(
  provider: Provider | undefined,
  { cid }: Pick<PlacedShard, 'cid'>,
  signal: AbortSignal,
): Promise<boolean> {
  if (provider === undefined) return false;
  try {
    await provider.statShard(cid, signal);
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

async function findHolders(fleet: Fleet, shard: PlacedShard, signal: AbortSignal): Promise<PlacedShard[]> {
  const holders = await Promise.all(
    fleet.members.map(async ({ provider }) =>
      (await isHeld(provider, shard, signal)) ? [{ ...shard, providerId: provider.id }] : [],
    ),
  );
  return holders.flat();
}

/**
 * Of a shard that several providers show, one that really has it: names are no secret, and anybody can list them. What was moved
 * may still lie where it lay, so each goes to a provider that has no other of the stripe, wherever there is one.
 */
export async function chooseHolders(parts: StripeReadParts, stripe: Stripe, signal: AbortSignal): Promise<Stripe> {
  const choices = [...Map.groupBy(stripe.shards, ({ cid }) => cid).values()];
  const chosen = new Map<PlacedShard['cid'], PlacedShard>();
  const taken = new Set<ProviderId>();
  // Who has the fewest to choose from goes first.
  for (const holders of choices.toSorted((a, b) => a.length - b.length)) {
    const isFree = ({ providerId }: PlacedShard): boolean => !taken.has(providerId);
    const [first, ...others] = [...holders.filter(isFree), ...holders.filter((holder) => !isFree(holder))];
    let holder = first!;
    for (const other of others) {
      if (await isReadable(parts, stripe, holder, signal)) break;
      holder = other;
    }
    chosen.set(holder.cid, holder);
    taken.add(holder.providerId);
  }
  return { ...stripe, shards: choices.map((holders) => chosen.get(holders[0]!.cid)!) };
}

async function isReadable(
  parts: StripeReadParts,
  stripe: Stripe,
  shard: PlacedShard,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    for (let row = 0; row < storedBlockCount(stripe, shard.index); row++) {
      await parts.blocks.readBlock(stripe, shard, row, signal);
    }
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
