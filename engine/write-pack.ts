import type { Extent, Profile, StripeId } from '../core/model.ts';
import { wrappedKeyBytes } from '../crypto/master-key.ts';
import { sealedRecordOverheadBytes } from '../crypto/sealed-record.ts';
import { packageBytes, tagBytes } from '../crypto/sealed-stream.ts';
import { createStripeId } from '../erasure/stripe-id.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import type { EngineParts } from './engine-parts.ts';
import { type EntryText, joinManifest, manifestGapBytes, manifestRecordName, manifestStartBytes } from './manifest.ts';
import type { Row } from './row-pool.ts';
import type { CodedPack, FreshBytes } from './row-work/code-pack.ts';
import { StripeWriter } from './stripe-writer.ts';

/** What goes into a pack: an object that just came, or bytes that are sealed already. */
export type PackItem = FreshItem | SealedItem;

interface AnyItem {
  /** How long it is once it is sealed. */
  readonly sealedBytes: number;
  /** About how long the entries are in the manifest. */
  readonly entryBytes: number;
}

/** An object that is to be sealed, whole, when its pack is written. */
export interface FreshItem extends AnyItem {
  /** Must stay as it is until the item is stored. */
  readonly plain: Uint8Array;
  /** What the manifest says of it, with `pendingMd5` for an ETag that is to be its MD5. */
  readonly entry: EntryText;
  readonly isMd5Wanted: boolean;
}

/** Bytes that others wrote. */
export interface SealedItem extends AnyItem {
  /** Must stay as they are until the item is stored. */
  readonly bytes: Uint8Array;
  /** The text of what the manifest says, once it is known where the bytes lie. */
  describe(extent: Extent): readonly string[];
}

/** What became known of a fresh object when it was sealed. */
export interface SealedObject {
  readonly wrappedKey: Uint8Array;
  /** In hex, where it was wanted. */
  readonly md5Hex: string | undefined;
}

export interface WrittenPack {
  readonly stripe: NewStripe;
  /** Where the items lie, in the order given. */
  readonly extents: readonly Extent[];
  /** Of the items that were fresh, in the order given. */
  readonly sealed: readonly SealedObject[];
}

/** The manifest shares the last block with items. */
export const maxManifestBytes = 96 * 1024;

/** Where everything lies in the row of a pack. */
interface PackPlan {
  readonly extents: readonly Extent[];
  readonly blockBytes: number;
  /** The manifest, in which keys and MD5s of fresh items are pending. */
  readonly manifest: Uint8Array;
  readonly manifestAt: number;
  readonly fresh: readonly FreshBytes[];
}

/**
 * Writes one pack.
 *
 * @param blocks the items of each data block, in order
 * @throws Failure `too-few-writes`, `storage-full`, `overloaded`: nothing of it is kept then
 */
export async function writePack(
  parts: EngineParts,
  profile: Profile,
  blocks: readonly (readonly PackItem[])[],
): Promise<WrittenPack> {
  const { packRows, metrics } = parts;
  const id = createStripeId(parts.clock.now());
  const plan = planPack(id, blocks);
  const { extents, blockBytes, manifest } = plan;
  const controller = new AbortController();
  const row = await packRows.lease({ k: profile.k, m: profile.m, blockBytes }, controller.signal);
  const writer = new StripeWriter(parts, {
    id,
    profile,
    blockBytes,
    signal: controller.signal,
  });
  try {
    fillRow(row, blocks, manifest);
    row.layOut();
    const coded = await parts.rowWork.pack({
      ...row.describe(),
      fresh: plan.fresh,
      manifest: { recordName: manifestRecordName(id), at: plan.manifestAt, plainBytes: manifest.length },
    });
    noteHashed(parts, plan.fresh);
    await writer.writeRow(row, { manifestBytes: manifest.length + sealedRecordOverheadBytes }, coded.digests);
    const stripe = await writer.commit();
    metrics.stripesWritten.inc({ outcome: stripe.shards.length < stripe.shardCount ? 'degraded' : 'full' });
    metrics.packedObjects.inc(extents.length);
    return { stripe, extents, sealed: listSealed(coded) };
  } catch (error) {
    metrics.stripesWritten.inc({ outcome: 'failed' });
    controller.abort(error);
    await writer.abort();
    throw error;
  } finally {
    row.release(!writer.hasFailures);
  }
}

/** Where each item will lie. A block is as long as the fullest one, the last with the manifest in it. */
function planPack(stripeId: StripeId, blocks: readonly (readonly PackItem[])[]): PackPlan {
  const place = (blockBytes: number): Extent[] =>
    blocks.flatMap((block, at) => {
      let offset = at * blockBytes;
      return block.map(({ sealedBytes }) => {
        const extent = { stripeId, offset, length: sealedBytes };
        offset += sealedBytes;
        return extent;
      });
    });
  const items = blocks.flat();
  const loads = blocks.map((block) => block.reduce((sum, { sealedBytes }) => sum + sealedBytes, 0));
  const lastLoad = loads.at(-1) ?? 0;
  const endOf = (manifestBytes: number): number => lastLoad + manifestBytes + sealedRecordOverheadBytes;
  // Extents stand in the manifest, and the length of a block in them: as a rule it is as short as was thought, and is made once.
  const boundBytes = items.reduce((sum, { entryBytes }) => sum + entryBytes, 0);
  let blockBytes = Math.max(...loads, endOf(boundBytes));
  for (;;) {
    const extents = place(blockBytes);
    const manifestAt = (blocks.length - 1) * blockBytes + lastLoad;
    const { manifest, fresh } = describePack(items, extents, manifestAt);
    if (endOf(manifest.length) <= blockBytes) {
      // A block alone begins at 0 in any case.
      const isAlone = blocks.length === 1;
      return { extents, blockBytes: isAlone ? endOf(manifest.length) : blockBytes, manifest, manifestAt, fresh };
    }
    blockBytes = endOf(manifest.length);
  }
}

/** The manifest of items that lie there, and where in the row there is something to seal or to write into it. */
function describePack(
  items: readonly PackItem[],
  extents: readonly Extent[],
  manifestAt: number,
): Pick<PackPlan, 'manifest' | 'fresh'> {
  const texts: string[] = [];
  const fresh: FreshBytes[] = [];
  let textAt = manifestAt + manifestStartBytes;
  for (const [index, item] of items.entries()) {
    const extent = extents[index]!;
    if (!('plain' in item)) {
      for (const text of item.describe(extent)) {
        texts.push(text);
        textAt += Buffer.byteLength(text) + manifestGapBytes;
      }
      continue;
    }
    const { plain, entry, isMd5Wanted } = item;
    const span = { streamBytes: plain.length, offset: 0, length: plain.length, extents: [extent] };
    const { text, bytes, etagAt, keyAt } = entry.pendingIn(span);
    texts.push(text);
    const md5At = isMd5Wanted ? textAt + etagAt : undefined;
    fresh.push({ at: extent.offset, plainBytes: plain.length, md5At, keyAt: textAt + keyAt });
    textAt += bytes + manifestGapBytes;
  }
  return { manifest: joinManifest(texts), fresh };
}

/** Fresh items lie plain, with room for the tag behind each of their packages, as the manifest does. */
function fillRow(row: Row, blocks: readonly (readonly PackItem[])[], manifest: Uint8Array): void {
  for (const [at, block] of blocks.entries()) {
    if (at > 0) row.padBlock();
    for (const item of block) {
      if ('plain' in item) fillPlain(row, item.plain);
      else row.fill(item.bytes);
    }
  }
  row.fill(manifest);
  row.skip(sealedRecordOverheadBytes);
}

function fillPlain(row: Row, plain: Uint8Array): void {
  for (let at = 0; at < plain.length; at += packageBytes) {
    row.fill(plain.length <= packageBytes ? plain : plain.subarray(at, at + packageBytes));
    row.skip(tagBytes);
  }
}

function listSealed({ wrappedKeys, md5s }: CodedPack): SealedObject[] {
  return md5s.map((md5Hex, index) => ({
    // Of its own: it stays in memory for as long as the metadata of the object do.
    wrappedKey: wrappedKeys.slice(index * wrappedKeyBytes, (index + 1) * wrappedKeyBytes),
    md5Hex,
  }));
}

function noteHashed({ metrics }: EngineParts, fresh: readonly FreshBytes[]): void {
  const hashed = fresh.filter(({ md5At }) => md5At !== undefined);
  if (hashed.length === 0) return;
  metrics.noteMd5(
    hashed.length > 1 ? 'lanes' : 'alone',
    hashed.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
  );
}
