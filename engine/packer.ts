import { markDurableStep } from '../core/durable-steps.ts';
import type { Extent, Profile } from '../core/model.ts';
import { maxBlockBytes } from '../erasure/geometry.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import { layOutPack } from './pack-layout.ts';
import { type FreshItem, maxManifestBytes, type SealedObject, writePack } from './write-pack.ts';

/** A fresh object that is durable. */
export interface PackedItem extends SealedObject {
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
  readonly item: FreshItem;
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
const maxQuietTurns = 6;
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
  add(item: FreshItem): Promise<PackedItem> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#waitingBytes += packedBytes(item);
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
        bytes + packedBytes(item) > this.#fullBytes ||
        manifestBytes + item.entryBytes > maxManifestBytes;
      if (isFull && entries.length > 0) break;
      bytes += packedBytes(item);
      manifestBytes += item.entryBytes;
      entries.push(entry);
    }
    const itemBytes = entries.map(({ item }) => item.sealedBytes);
    const { blocks, left } = layOutPack(itemBytes, this.#profile.k, manifestBytes);
    const passed = left.map((index) => entries[index]!);
    this.#waiting = [...passed, ...this.#waiting.slice(entries.length)];
    this.#waitingBytes = this.#waiting.reduce((sum, { item }) => sum + packedBytes(item), 0);
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
        entry.resolve({ extent: packed.extents[at]!, stripe: packed.stripe, settle, ...packed.sealed[at]! });
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

function packedBytes({ sealedBytes, entryBytes }: FreshItem): number {
  return sealedBytes + entryBytes;
}
