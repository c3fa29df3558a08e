import type { PlacedShard, Stripe } from '../../core/model.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import { openPackage, packageCount, sealedBytes, sealedPackageBytes } from '../../crypto/sealed-stream.ts';
import { completeRow, padBlock } from '../../erasure/check-row.ts';
import { rowCount, storedBlockBytes } from '../../erasure/geometry.ts';
import { contentOf, type ManifestEntry, openManifest } from '../manifest.ts';
import { chooseHolders, readStripe, type StripeReadParts } from './read-stripe.ts';

export type ProofParts = StripeReadParts & { readonly masterKey: MasterKey };

/**
 * What one stripe may be: several, where providers contradict each other. Of an index there may be several shards, and
 * one shard at several providers.
 */
export type StripeVariants = readonly Stripe[];

/** A stripe whose shards belong together. */
export interface ProvenStripe {
  readonly stripe: Stripe;
  /** Empty where it has no manifest. */
  readonly entries: readonly ManifestEntry[];
}

/** Combinations of shards that are tried where they contradict each other. */
const maxTries = 2_000;

/**
 * Finds out which of the shards that providers show of a stripe are its own. A shard's name proves that it is whole, not that it is the
 * right one: no metadata name it, and a provider can make up another, name and all. So all of them are read and must be
 * pieces of one code word; where they are not, those are chosen that are and whose contents open, which nobody can make up without the master key.
 *
 * @returns undefined where no k shards belong together, or the manifest does not open; the signal's reason is thrown
 */
export async function proveStripe(
  parts: ProofParts,
  found: StripeVariants,
  signal: AbortSignal,
): Promise<ProvenStripe | undefined> {
  const variants: Stripe[] = [];
  for (const stripe of found) variants.push(await chooseHolders(parts, stripe, signal));
  for (const stripe of variants) {
    const isSingle = new Set(stripe.shards.map(({ index }) => index)).size === stripe.shards.length;
    const agreeing = isSingle ? await keepAgreeing(parts, stripe, signal) : undefined;
    const proven = agreeing && (await openEntries(parts, agreeing, signal));
    if (proven !== undefined) return proven;
  }
  let tries = 0;
  for (const stripe of variants) {
    for (const shards of chooseShards(stripe)) {
      tries += 1;
      if (tries > maxTries) return undefined;
      const chosen = await keepAgreeing(parts, { ...stripe, shards }, signal);
      const proven = chosen && (await openEntries(parts, chosen, signal));
      if (proven === undefined || !(await areContentsRight(parts, proven, signal))) continue;
      return { ...proven, stripe: await addAgreeing(parts, proven.stripe, stripe.shards, signal) };
    }
  }
  return undefined;
}

/** The stripe without shards that cannot be read. Undefined where the rest are fewer than k, or no pieces of one code word. */
async function keepAgreeing(parts: ProofParts, stripe: Stripe, signal: AbortSignal): Promise<Stripe | undefined> {
  const { k, m } = stripe;
  let shards = stripe.shards;
  for (let row = 0; row < rowCount(stripe); row++) {
    const codedBytes = storedBlockBytes(stripe, 0, row);
    const blocks: (Uint8Array | undefined)[] = Array.from({ length: k + m }, (_, index) =>
      storedBlockBytes(stripe, index, row) === 0 ? new Uint8Array(codedBytes) : undefined,
    );
    const read = await Promise.all(
      shards.map(async (shard) => {
        if (storedBlockBytes(stripe, shard.index, row) === 0) return true;
        const block = await parts.blocks.readBlock(stripe, shard, row, signal).catch(() => undefined);
        signal.throwIfAborted();
        if (block !== undefined) blocks[shard.index] = padBlock(block, codedBytes);
        return block !== undefined;
      }),
    );
    shards = shards.filter((_, at) => read[at]);
    if (blocks.filter((block) => block !== undefined).length < k) return undefined;
    if (completeRow(parts.codec, blocks, k) === undefined) return undefined;
  }
  return { ...stripe, shards };
}

/** Ways to choose as many shards as a code word needs, one of an index. */
function* chooseShards(stripe: Stripe): Generator<PlacedShard[], void, void> {
  const { k, m, shards } = stripe;
  let known = 0;
  // In a later row, shards that store nothing there are known as well; that only helps.
  for (let index = 0; index < k + m; index++) if (storedBlockBytes(stripe, index, 0) === 0) known += 1;
  yield* choose(shards, Math.max(k - known, 1), 0, []);
}

function* choose(
  shards: readonly PlacedShard[],
  count: number,
  from: number,
  chosen: readonly PlacedShard[],
): Generator<PlacedShard[], void, void> {
  if (chosen.length === count) {
    yield [...chosen];
    return;
  }
  for (let at = from; at <= shards.length - (count - chosen.length); at++) {
    const shard = shards[at]!;
    if (chosen.some(({ index }) => index === shard.index)) continue;
    yield* choose(shards, count, at + 1, [...chosen, shard]);
  }
}

/** The shards that are right, and every other one that goes with them. */
async function addAgreeing(
  parts: ProofParts,
  right: Stripe,
  others: readonly PlacedShard[],
  signal: AbortSignal,
): Promise<Stripe> {
  let stripe = right;
  for (const shard of others) {
    if (stripe.shards.some(({ index }) => index === shard.index)) continue;
    const more = await keepAgreeing(parts, { ...stripe, shards: [...stripe.shards, shard] }, signal);
    if (more !== undefined) stripe = more;
  }
  return { ...stripe, shards: stripe.shards.toSorted((a, b) => a.index - b.index) };
}

async function openEntries(parts: ProofParts, stripe: Stripe, signal: AbortSignal): Promise<ProvenStripe | undefined> {
  const { dataBytes, manifestBytes } = stripe;
  if (manifestBytes === 0) return { stripe, entries: [] };
  const place = { offset: dataBytes - manifestBytes, length: manifestBytes };
  const sealed = await readStripe(parts, stripe, place, signal).catch(() => undefined);
  signal.throwIfAborted();
  const entries = sealed && openManifest(parts.masterKey, stripe.id, sealed);
  return entries && { stripe, entries };
}

/** Whether all streams that lie whole in this stripe open. */
async function areContentsRight(
  parts: ProofParts,
  { stripe, entries }: ProvenStripe,
  signal: AbortSignal,
): Promise<boolean> {
  for (const { wrappedKey, streamBytes, extents } of entries.flatMap((entry) => contentOf(entry).spans)) {
    const [extent, ...more] = extents;
    const isWhole = extent?.stripeId === stripe.id && more.length === 0 && extent.length === sealedBytes(streamBytes);
    if (!isWhole) continue;
    const dataKey = parts.masterKey.unwrap(wrappedKey);
    const sealed = await readStripe(parts, stripe, extent, signal).catch(() => undefined);
    signal.throwIfAborted();
    if (dataKey === undefined || sealed === undefined) return false;
    for (let index = 0; index < packageCount(streamBytes); index++) {
      if (openPackage(dataKey, streamBytes, index, sliceOfPackage(sealed, index)) === undefined) return false;
    }
  }
  return true;
}

function sliceOfPackage(sealed: Uint8Array, index: number): Uint8Array {
  return sealed.subarray(index * sealedPackageBytes, (index + 1) * sealedPackageBytes);
}
