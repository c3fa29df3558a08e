import { AbortScope } from '../core/abort.ts';
import type { Lease } from '../core/byte-budget.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { Extent, Stripe } from '../core/model.ts';
import { maxSingleBlockBytes, rowDataBytes, storedBlockBytes } from '../erasure/geometry.ts';
import type { EngineParts } from './engine-parts.ts';
import { type RowRequest, readRow } from './read-row.ts';

/** Stripes are looked up in batches, so that a long object neither costs a query a stripe nor lies in memory whole. */
const lookupBatch = 32;
/** How often in one row it is looked up where shards have moved to. */
const maxLooks = 3;

/**
 * What proves that bytes are right: the digests of their blocks, before they are handed over; or the tags of the packages in them, which
 * are then for whoever takes them to check (docs/decisions/0030).
 */
export type Proof = 'digests' | 'tags';

/** Bytes `from` to `to` (not included) of one row of a stripe. */
interface RowSlice {
  readonly stripe: Stripe;
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/** How extents are read, and what becomes of their bytes. */
export interface ExtentsReading<Taken> {
  readonly proof: Proof;
  readonly signal: AbortSignal;
  /**
   * Takes the next run of chunks, each a buffer of its own that belongs to it from now on. Called in order as soon as a row is there,
   * which is before the consumer asks for it.
   */
  readonly take: (chunks: readonly Uint8Array[]) => Taken | Promise<Taken>;
}

/** A row on its way from the providers. */
interface RowJob<Taken> {
  readonly lease: Lease;
  /** Resolves once its blocks are there, and were taken. */
  readonly runs: Promise<readonly TakenRun<Taken>[]>;
}

interface TakenRun<Taken> {
  /** Of its blocks. */
  readonly bytes: number;
  readonly taken: Promise<Taken>;
}

/**
 * Blocks of a row are handed over together up to this length: enough for the socket, and not so much that work on it blocks the process.
 * An object of 1 MiB is one run.
 */
const maxRunBytes = 4 * maxSingleBlockBytes;

/**
 * What `take` makes of the bytes of extents, in order, run by run. Reads only the blocks that they touch, and only what is needed of one alone
 * where tags are to prove it; the next row is read and taken while the consumer is busy with this one, where memory allows. The stripes
 * stay pinned until the end. What was taken counts against the read budget until the consumer asks for the next one.
 *
 * @throws Failure `too-few-shards`, `overloaded`, `stripe-missing`; the signal's reason; what `take` throws
 */
export async function* readExtents<Taken>(
  parts: EngineParts,
  extents: readonly Extent[],
  reading: ExtentsReading<Taken>,
): AsyncGenerator<Taken, void, void> {
  const { signal } = reading;
  const ids = extents.map((extent) => extent.stripeId);
  const scope = new AbortScope(signal);
  const slices = listSlices(parts, extents);
  const start = (slice: RowSlice, lease: Lease): RowJob<Taken> => {
    return { lease, runs: startRow(parts, slice, { ...reading, signal: scope.signal }) };
  };
  let current: RowJob<Taken> | undefined;
  let ahead: RowJob<Taken> | undefined;
  parts.pins.pin(ids);
  try {
    let slice = (await slices.next()).value;
    while (slice) {
      current = ahead ?? start(slice, await parts.readBudget.acquire(leaseBytes(parts, slice), signal));
      ahead = undefined;
      const runs = await current.runs;
      slice = (await slices.next()).value;
      const lease = slice && parts.readBudget.tryAcquire(leaseBytes(parts, slice));
      if (slice && lease) ahead = start(slice, lease);
      let leftBytes = runs.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const { bytes, taken } of runs) {
        current.lease.shrink(leftBytes);
        leftBytes -= bytes;
        yield await taken;
      }
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

/**
 * The sealed bytes of one extent, proven by digests.
 *
 * @throws as `readExtents`
 */
export async function readExtent(parts: EngineParts, extent: Extent, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(extent.length);
  let filled = 0;
  const take = (chunks: readonly Uint8Array[]): void => {
    for (const chunk of chunks) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
  };
  for await (const _ of readExtents(parts, [extent], { proof: 'digests', signal, take }));
  return bytes;
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

function startRow<Taken>(
  parts: EngineParts,
  slice: RowSlice,
  { proof, signal, take }: ExtentsReading<Taken>,
): Promise<readonly TakenRun<Taken>[]> {
  const { stripe, row, from, to } = slice;
  const firstIndex = Math.floor(from / stripe.blockBytes);
  const lastIndex = Math.floor((to - 1) / stripe.blockBytes);
  const wanted = Array.from({ length: lastIndex - firstIndex + 1 }, (_, at) => firstIndex + at);
  const piece = proof === 'tags' ? findPiece(slice, wanted) : undefined;
  const start = firstIndex * stripe.blockBytes + (piece?.offset ?? 0);
  const takeRun = async (chunks: readonly Uint8Array[]): Promise<Taken> => take(chunks);
  const runs = readPlacedRow(parts, { stripe, row, wanted, ...(piece && { piece }) }, signal).then((blocks) =>
    cutRuns(slice, blocks, start).map((chunks): TakenRun<Taken> => {
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
      return { bytes, taken: letWait(takeRun(chunks)) };
    }),
  );
  return letWait(runs);
}

/** Whoever waits for it sees the error; nobody may be waiting yet, or ever. */
function letWait<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** The least that must be read of every block to have what is wanted of them. */
function findPiece({ stripe, row, from, to }: RowSlice, wanted: readonly number[]): { offset: number; length: number } {
  const [index, ...others] = wanted as [number, ...number[]];
  if (others.length > 0) return { offset: 0, length: storedBlockBytes(stripe, 0, row) };
  return { offset: from - index * stripe.blockBytes, length: to - from };
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

/** What is wanted of a row, as it is handed over together. The first of `blocks` begins at `start` in the row. */
function cutRuns({ from, to }: RowSlice, blocks: readonly Uint8Array[], start: number): Uint8Array[][] {
  const runs: Uint8Array[][] = [];
  let runBytes = Number.POSITIVE_INFINITY;
  let blockStart = start;
  for (const block of blocks) {
    if (runBytes + block.length > maxRunBytes) {
      runs.push([]);
      runBytes = 0;
    }
    runs.at(-1)!.push(block.subarray(Math.max(from - blockStart, 0), to - blockStart));
    runBytes += block.length;
    blockStart += block.length;
  }
  return runs;
}
