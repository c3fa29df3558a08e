import { markDurableStep } from '../core/durable-steps.ts';
import type { Extent, Profile, StripeId } from '../core/model.ts';
import { type PendingKey, sealedRecordOverheadBytes } from '../crypto/master-key.ts';
import { maxBlockBytes } from '../erasure/geometry.ts';
import { createStripeId } from '../erasure/stripe-id.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import { joinManifest, sealManifest } from './manifest.ts';
import { layOutPack } from './pack-layout.ts';
import { StripeWriter } from './stripe-writer.ts';

/** What goes into a pack: sealed bytes, and what the manifest is to say of them. */
export interface PackItem {
  /** Must stay as they are until the item is stored. */
  readonly bytes: Uint8Array;
  /** About how long the entries are in the manifest. */
  readonly entryBytes: number;
  /** The text of what the manifest says, once it is known where the bytes lie. */
  describe(extent: Extent): readonly string[];
  /** The key of the bytes where it is still to be wrapped, which is done before `describe` is called. */
  readonly key?: PendingKey;
}

/** An item that is durable. */
export interface PackedItem {
  readonly extent: Extent;
  readonly stripe: NewStripe;
  /**
   * To be called once: whether the metadata store refers to the item now. `unknown` after an error that leaves it open.
   * A pack in which nothing is referred to is deleted at once.
   */
  settle(outcome: PackOutcome): void;
}

export type PackOutcome = 'registered' | 'refused' | 'unknown';

interface Entry {
  readonly item: PackItem;
  readonly resolve: (packed: PackedItem) => void;
  readonly reject: (error: unknown) => void;
}

/** Packs on their way at once, until the metadata store knows of their items: two as a rule, more only where full ones wait. */
export const maxPacksUnderWay = 4;
/**
 * A second pack sets out once it has this share of the items of the one on its way: then the processor codes the one while the
 * disks flush the other, and packs are hardly smaller than with one at a time.
 */
const secondShare = 0.75;
const maxItems = 400;
/** So many items are worth some turns of the event loop: with them a pack itself costs a fraction of what its items do. */
const gatherItems = 64;
/** After so many turns in a row that brought no item, none is waited for. */
const maxQuietTurns = 2;
/** The manifest shares the last block with items. */
export const maxManifestBytes = 96 * 1024;
/** How much of a pack's blocks is filled before it counts as full, so that items of any length fit in beside each other. */
const fullShare = 0.75;

/**
 * Gathers small objects into packs: stripes of one row. Group commit without a timer: the open pack is due when none is on its
 * way, when it has gathered nearly as many items as that one, or when it is full; and closes on the next turn of the event loop, or
 * after a few in which items come as long as the last pack had more. So a lone client waits for nobody, and many share each append
 * and each flush.
 */
export class Packer {
  readonly #parts: EngineParts;
  readonly #profile: Profile;
  readonly #fullBytes: number;
  #waiting: Entry[] = [];
  #waitingBytes = 0;
  #underWay = 0;
  /** How many items those have together. */
  #itemsUnderWay = 0;
  #isScheduled = false;
  /** How many items the last pack had: as many may be about to come again, from clients that were just answered. */
  #lastItems = 0;
  /** How many items waited a turn ago. */
  #seenItems = 0;
  #quietTurns = 0;

  constructor(parts: EngineParts, profile: Profile) {
    this.#parts = parts;
    this.#profile = profile;
    this.#fullBytes = profile.k * maxBlockBytes * fullShare;
  }

  /**
   * Resolves when the item is durable.
   *
   * @throws Failure `too-few-writes`, `storage-full`, `overloaded`
   */
  add(item: PackItem): Promise<PackedItem> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#waitingBytes += item.bytes.length + item.entryBytes;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return;
    if (!this.#isDue()) return;
    this.#isScheduled = true;
    this.#seenItems = 0;
    this.#quietTurns = 0;
    setImmediate(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    if (this.#isGathering()) setImmediate(this.#endTurn);
    else this.#closePack();
  };

  /** Whether the open pack had better wait for the next turn, since this one brought items and the last pack had more. */
  #isGathering(): boolean {
    const items = this.#waiting.length;
    this.#quietTurns = items > this.#seenItems ? 0 : this.#quietTurns + 1;
    this.#seenItems = items;
    const isLarge = items >= Math.min(this.#lastItems, gatherItems) || this.#waitingBytes >= this.#fullBytes;
    return !isLarge && this.#quietTurns < maxQuietTurns;
  }

  #isDue(): boolean {
    if (this.#underWay === 0) return true;
    if (this.#underWay >= maxPacksUnderWay) return false;
    if (this.#waitingBytes >= this.#fullBytes || this.#waiting.length >= maxItems) return true;
    return this.#underWay === 1 && this.#waiting.length >= this.#itemsUnderWay * secondShare;
  }

  #closePack(): void {
    this.#isScheduled = false;
    const { entries, blocks } = this.#takeEntries();
    const items = blocks.reduce((sum, block) => sum + block.length, 0);
    this.#underWay += 1;
    this.#lastItems = items;
    this.#itemsUnderWay += items;
    void this.#store(entries, blocks).finally(() => {
      this.#underWay -= 1;
      this.#itemsUnderWay -= items;
      this.#schedule();
    });
    this.#schedule();
  }

  /** The next pack's entries, and which of them go into which block; those without room go into the pack after. */
  #takeEntries(): { entries: Entry[]; blocks: readonly (readonly number[])[] } {
    const entries: Entry[] = [];
    let bytes = 0;
    let manifestBytes = 0;
    for (const entry of this.#waiting) {
      const { item } = entry;
      const isFull =
        entries.length === maxItems ||
        bytes + item.bytes.length + item.entryBytes > this.#fullBytes ||
        manifestBytes + item.entryBytes > maxManifestBytes;
      if (isFull && entries.length > 0) break;
      bytes += item.bytes.length + item.entryBytes;
      manifestBytes += item.entryBytes;
      entries.push(entry);
    }
    const itemBytes = entries.map(({ item }) => item.bytes.length);
    const { blocks, left } = layOutPack(itemBytes, this.#profile.k, manifestBytes);
    const passed = left.map((index) => entries[index]!);
    this.#waiting = [...passed, ...this.#waiting.slice(entries.length)];
    this.#waitingBytes = this.#waiting.reduce((sum, { item }) => sum + item.bytes.length + item.entryBytes, 0);
    return { entries, blocks };
  }

  async #store(entries: readonly Entry[], blocks: readonly (readonly number[])[]): Promise<void> {
    const taken = blocks.flat().map((index) => entries[index]!);
    try {
      const packed = await writePack(
        this.#parts,
        this.#profile,
        blocks.map((block) => block.map((index) => entries[index]!.item)),
      );
      markDurableStep('pack-stored');
      const { settle, settled } = this.#awaitSettling(packed.stripe, taken.length);
      for (const [at, entry] of taken.entries()) {
        entry.resolve({ extent: packed.extents[at]!, stripe: packed.stripe, settle });
      }
      await settled;
    } catch (error) {
      for (const entry of taken) entry.reject(error);
    }
  }

  /**
   * Deletes the pack when the last of its items was refused like all the others. Until then it stays whatever happens to
   * the first ones: one that is registered late must find it.
   */
  #awaitSettling(stripe: NewStripe, count: number): { settle: (outcome: PackOutcome) => void; settled: Promise<void> } {
    const { pins } = this.#parts;
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    let left = count;
    let isNeeded = false;
    pins.pin([stripe.id]);
    const settle = (outcome: PackOutcome): void => {
      left -= 1;
      if (outcome !== 'refused') isNeeded = true;
      if (left > 0) return;
      pins.unpin([stripe.id]);
      if (!isNeeded) void discardStripes(this.#parts, [stripe]);
      resolve();
    };
    return { settle, settled };
  }
}

/**
 * Writes one pack.
 *
 * @param blocks the items of each data block, in order
 * @returns where the items lie, in the order given
 * @throws Failure `too-few-writes`, `storage-full`, `overloaded`: nothing of it is kept then
 */
export async function writePack(
  parts: EngineParts,
  profile: Profile,
  blocks: readonly (readonly PackItem[])[],
): Promise<{ stripe: NewStripe; extents: Extent[] }> {
  const { masterKey, packRows, metrics } = parts;
  const id = createStripeId(parts.clock.now());
  const { extents, blockBytes, manifest } = planPack(masterKey, id, blocks);
  const controller = new AbortController();
  const row = await packRows.lease({ k: profile.k, m: profile.m, blockBytes }, controller.signal);
  const writer = new StripeWriter(parts, {
    id,
    profile,
    blockBytes,
    signal: controller.signal,
  });
  try {
    for (const [at, block] of blocks.entries()) {
      if (at > 0) row.padBlock();
      for (const item of block) row.fill(item.bytes);
    }
    row.fill(manifest);
    await writer.writeRow(row, { manifestBytes: manifest.length });
    const stripe = await writer.commit();
    metrics.stripesWritten.inc({ outcome: stripe.shards.length < stripe.shardCount ? 'degraded' : 'full' });
    metrics.packedObjects.inc(extents.length);
    return { stripe, extents };
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
function planPack(
  masterKey: EngineParts['masterKey'],
  stripeId: StripeId,
  blocks: readonly (readonly PackItem[])[],
): { extents: Extent[]; blockBytes: number; manifest: Uint8Array } {
  const place = (blockBytes: number): Extent[] =>
    blocks.flatMap((block, at) => {
      let offset = at * blockBytes;
      return block.map(({ bytes }) => {
        const extent = { stripeId, offset, length: bytes.length };
        offset += bytes.length;
        return extent;
      });
    });
  const items = blocks.flat();
  masterKey.wrapAll(items.map(({ key }) => key).filter((key) => key !== undefined));
  const describe = (extents: readonly Extent[]): Uint8Array =>
    joinManifest(items.flatMap((item, index) => item.describe(extents[index]!)));
  const loads = blocks.map((block) => block.reduce((sum, { bytes }) => sum + bytes.length, 0));
  const lastLoad = loads.at(-1) ?? 0;
  const endOf = (manifestBytes: number): number => lastLoad + manifestBytes + sealedRecordOverheadBytes;
  // Extents stand in the manifest, and the length of a block in them: as a rule it is as short as was thought, and is made once.
  const boundBytes = items.reduce((sum, { entryBytes }) => sum + entryBytes, 0);
  let blockBytes = Math.max(...loads, endOf(boundBytes));
  let manifest = describe(place(blockBytes));
  while (endOf(manifest.length) > blockBytes) {
    blockBytes = endOf(manifest.length);
    manifest = describe(place(blockBytes));
  }
  // A block alone begins at 0 in any case.
  if (blocks.length === 1) blockBytes = endOf(manifest.length);
  return { extents: place(blockBytes), blockBytes, manifest: sealManifest(masterKey, stripeId, manifest) };
}
