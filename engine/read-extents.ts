import { AbortScope } from '../core/abort.ts';
import type { Lease } from '../core/byte-budget.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { Extent, Stripe } from '../core/model.ts';
import { rowDataBytes, storedBlockBytes } from '../erasure/geometry.ts';
import type { EngineParts } from './engine-parts.ts';
import { type RowRequest, readRow } from './read-row.ts';

/** Stripes are looked up in batches, so that a long object neither costs a query a stripe nor lies in memory whole. */
const lookupBatch = 32;
/** How often in one row it is looked up where shards have moved to. */
const maxLooks = 3;

/** Bytes `from` to `to` (not included) of one row of a stripe. */
interface RowSlice {
  readonly stripe: Stripe;
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/** A row on its way from the providers. */
interface RowJob {
  readonly slice: RowSlice;
  /** Index of the shard that the first of `blocks` comes from. */
  readonly firstIndex: number;
  readonly blocks: Promise<Uint8Array[]>;
  readonly lease: Lease;
}

/** Blocks of a row are handed over together up to this length: enough for the socket, and not so much that work on it blocks the process. */
const maxRunBytes = 2 ** 20;

/**
 * The verified bytes of extents, in order, in runs of chunks. Reads only the blocks that they touch; the next row is read while the
 * consumer takes this one, where memory allows. The stripes stay pinned until the end. Chunks belong to the consumer,
 * each a buffer of its own, and count against the read budget until it asks for the next run.
 *
 * @throws Failure `too-few-shards`, `overloaded`, `stripe-missing`; the signal's reason
 */
export async function* readExtents(
  parts: EngineParts,
  extents: readonly Extent[],
  signal: AbortSignal,
): AsyncGenerator<readonly Uint8Array[], void, void> {
  const ids = extents.map((extent) => extent.stripeId);
  const scope = new AbortScope(signal);
  const slices = listSlices(parts, extents);
  let current: RowJob | undefined;
  let ahead: RowJob | undefined;
  parts.pins.pin(ids);
  try {
    let slice = (await slices.next()).value;
    while (slice) {
      const lease = ahead?.lease ?? (await parts.readBudget.acquire(leaseBytes(parts, slice), signal));
      current = ahead ?? startRow(parts, slice, lease, scope.signal);
      ahead = undefined;
      const blocks = await current.blocks;
      slice = (await slices.next()).value;
      const aheadLease = slice && parts.readBudget.tryAcquire(leaseBytes(parts, slice));
      if (slice && aheadLease) ahead = startRow(parts, slice, aheadLease, scope.signal);
      yield* cutRuns(current, blocks);
      signal.throwIfAborted();
      current.lease.release();
    }
  } finally {
    scope.close();
    current?.lease.release();
    ahead?.lease.release();
    parts.pins.unpin(ids);
  }
}

async function* listSlices(
  { metadata }: Pick<EngineParts, 'metadata'>,
  extents: readonly Extent[],
): AsyncGenerator<RowSlice, undefined, void> {
  for (let start = 0; start < extents.length; start += lookupBatch) {
    const batch = extents.slice(start, start + lookupBatch);
    const stripes = await metadata.findStripes([...new Set(batch.map((extent) => extent.stripeId))]);
    for (const { stripeId, offset, length } of batch) {
      const stripe = stripes.get(stripeId);
      if (stripe === undefined) throw new Failure('stripe-missing', { stripeId });
      const rowBytes = rowDataBytes(stripe);
      const end = offset + length;
      for (let row = Math.floor(offset / rowBytes); row * rowBytes < end; row++) {
        const rowStart = row * rowBytes;
        yield { stripe, row, from: Math.max(offset - rowStart, 0), to: Math.min(end - rowStart, rowBytes) };
      }
    }
  }
}

/** As much as the row may take at worst, when it has to be rebuilt. */
function leaseBytes({ readBudget }: Pick<EngineParts, 'readBudget'>, { stripe, row }: RowSlice): number {
  return Math.min((stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row), readBudget.capacityBytes);
}

function startRow(parts: EngineParts, slice: RowSlice, lease: Lease, signal: AbortSignal): RowJob {
  const { stripe, row, from, to } = slice;
  const firstIndex = Math.floor(from / stripe.blockBytes);
  const lastIndex = Math.floor((to - 1) / stripe.blockBytes);
  const wanted = Array.from({ length: lastIndex - firstIndex + 1 }, (_, at) => firstIndex + at);
  const blocks = readPlacedRow(parts, { stripe, row, wanted }, signal);
  // Whoever waits for it sees the error; nobody may be waiting yet, or ever.
  blocks.catch(() => {});
  return { slice, firstIndex, blocks, lease };
}

/**
 * As `readRow`, but where too few shards are where they were when the reading began, it is looked up again where they lie: repair, or a
 * drain, may have moved them meanwhile.
 */
async function readPlacedRow(
  parts: EngineParts,
  request: RowRequest,
  signal: AbortSignal,
  looksLeft = maxLooks,
): Promise<Uint8Array[]> {
  const { blocks, codec, metrics, limits, metadata } = parts;
  try {
    return await readRow({ blocks, codec, metrics, hedgeMs: limits.hedgeMs, isUrgent: true }, request, signal);
  } catch (error) {
    if (!isFailure(error, 'too-few-shards') || looksLeft === 0) throw error;
    const { id } = request.stripe;
    const stripe = (await metadata.findStripes([id])).get(id);
    if (stripe === undefined || !hasMoved(request.stripe, stripe)) throw error;
    return readPlacedRow(parts, { ...request, stripe }, signal, looksLeft - 1);
  }
}

/** Whether a shard lies now where it did not lie before. */
function hasMoved(before: Stripe, now: Stripe): boolean {
  return now.shards.some(
    ({ index, providerId }) => !before.shards.some((shard) => shard.index === index && shard.providerId === providerId),
  );
}

function* cutRuns({ slice, firstIndex, lease }: RowJob, blocks: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let leftBytes = blocks.reduce((sum, block) => sum + block.length, 0);
  for (let at = 0; at < blocks.length; ) {
    lease.shrink(leftBytes);
    const run: Uint8Array[] = [];
    let runBytes = 0;
    while (at < blocks.length && (run.length === 0 || runBytes + blocks[at]!.length <= maxRunBytes)) {
      const block = blocks[at]!;
      const blockStart = (firstIndex + at) * slice.stripe.blockBytes;
      run.push(block.subarray(Math.max(slice.from - blockStart, 0), slice.to - blockStart));
      runBytes += block.length;
      at += 1;
    }
    leftBytes -= runBytes;
    yield run;
  }
}
