import { markDurableStep } from '../../core/durable-steps.ts';
import { isFailure } from '../../core/failure.ts';
import type { Extent, Profile, SealedSpan, Stripe, StripeId } from '../../core/model.ts';
import { maxBlockBytes } from '../../erasure/geometry.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import { stripeTimeMs } from '../../erasure/stripe-id.ts';
import type { NewStripe, SparseStripe, StripeReference } from '../../metadata/metadata-store.ts';
import { discardStripes } from '../discard-stripes.ts';
import { type EngineParts, findProfile } from '../engine-parts.ts';
import { listPackages, opensPackage } from '../list-packages.ts';
import { boundManifest, contentOf, EntryText, type ManifestEntry } from '../manifest.ts';
import { layOutPack } from '../pack-layout.ts';
import { readExtent } from '../read-extents.ts';
import { RecentNotes } from '../recent-notes.ts';
import { corruptSpan } from '../span-opener.ts';
import { maxManifestBytes, type SealedItem, writePack } from '../write-pack.ts';

/** Stripes looked at in one pass: enough small ones to fill a pack. */
const candidateCount = 400;
/** A pack that is written anew is filled so far, with its manifest; the rest is room for what does not fit beside each other. */
const fillShare = 0.9;
/** After so many that do not fit in any more a pack counts as full. */
const maxMisfits = 20;
const unreadableAgeMs = 600_000;
/** Below this share of what the old stripes take, writing them anew is not worth its reads and writes. */
const worthwhileShare = 0.85;
/** The longest run of live bytes that goes into a pack. */
const maxItemBytes = maxBlockBytes / 2 + 1024;

export interface CompactPass {
  /** Bytes that were moved. */
  readonly movedBytes: number;
  /** Bytes at providers that will be free once the old stripes are collected. */
  readonly savedBytes: number;
}

/** A run of live bytes in an old stripe, and who refers to it. */
interface LiveRun {
  readonly from: Extent;
  readonly references: StripeReference[];
}

interface Candidate {
  readonly sparse: SparseStripe;
  readonly runs: readonly LiveRun[];
  readonly liveBytes: number;
  /** About how long the manifest's entries about it will be. */
  readonly manifestBytes: number;
}

/** Candidates that one pack has room for. */
interface PackPlan {
  readonly runs: readonly LiveRun[];
  /** Which runs lie in which block. */
  readonly blocks: readonly (readonly number[])[];
  readonly liveBytes: number;
  readonly manifestBytes: number;
  /** What the old stripes take. */
  readonly storedBytes: number;
  readonly stripes: number;
}

/**
 * Writes what still lives in sparse stripes anew, many of them into one full pack: stripes of which much was deleted, and stripes
 * that never were full, since nothing else arrived with them. Sealed bytes are moved as they are; nobody but the metadata
 * sees a difference. The old stripes lose their last reference by that and are collected like any others, so readers under way go on.
 */
export class Compactor {
  readonly #parts: EngineParts;
  /** Stripes that could not be read lately, which would keep all others from being compacted. */
  readonly #unreadable = new RecentNotes({ maxNotes: 10_000, ageMs: unreadableAgeMs });

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  /**
   * Fills one pack, if that is worthwhile. Nothing was moved where `movedBytes` is 0.
   *
   * @throws Failure where something cannot be read or written, or what was read does not open; the signal's reason
   */
  async compactOnce(signal: AbortSignal): Promise<CompactPass> {
    const { clock, limits, metadata, pins } = this.#parts;
    const sparse = await metadata.listSparseStripes(candidateCount);
    const oldMs = clock.now() - limits.compactAgeMs;
    const isFree = ({ id }: Stripe): boolean => !pins.isPinned(id) && !this.#unreadable.has(id);
    const old = sparse.filter(({ stripe }) => stripeTimeMs(stripe.id) <= oldMs && isFree(stripe));
    for (const [name, group] of Map.groupBy(old, ({ stripe }) => stripe.profileName)) {
      const pass = await this.#compactGroup(findProfile(this.#parts, name), group, signal);
      if (pass.movedBytes > 0) return pass;
    }
    return { movedBytes: 0, savedBytes: 0 };
  }

  async #compactGroup(profile: Profile, group: readonly SparseStripe[], signal: AbortSignal): Promise<CompactPass> {
    const plan = planPack(profile, await this.#choose(profile, group, signal));
    const newBytes = estimateStoredBytes(profile, plan);
    const isWorthwhile = plan.runs.length > 0 && newBytes <= plan.storedBytes * worthwhileShare;
    if (!isWorthwhile) return { movedBytes: 0, savedBytes: 0 };
    await this.#move(profile, plan, signal);
    this.#parts.metrics.stripesCompacted.inc(plan.stripes);
    this.#parts.metrics.compactedBytes.inc(plan.liveBytes);
    return { movedBytes: plan.liveBytes, savedBytes: plan.storedBytes - newBytes };
  }

  /** The worst ones, as many as go into one pack. */
  async #choose(profile: Profile, group: readonly SparseStripe[], signal: AbortSignal): Promise<Candidate[]> {
    const fullBytes = profile.k * maxBlockBytes * fillShare;
    const chosen: Candidate[] = [];
    let bytes = 0;
    let manifestBytes = 0;
    let misfits = 0;
    for (const sparse of group) {
      signal.throwIfAborted();
      const candidate = await this.#examine(sparse);
      if (candidate === undefined) continue;
      const candidateBytes = candidate.liveBytes + candidate.manifestBytes;
      if (bytes + candidateBytes > fullBytes || manifestBytes + candidate.manifestBytes > maxManifestBytes) {
        misfits += 1;
        if (misfits === maxMisfits) break;
        continue;
      }
      bytes += candidateBytes;
      manifestBytes += candidate.manifestBytes;
      chosen.push(candidate);
    }
    return chosen;
  }

  /** What lives in a stripe; undefined where it cannot go into a pack. */
  async #examine(sparse: SparseStripe): Promise<Candidate | undefined> {
    const references = await this.#parts.metadata.listReferences(sparse.stripe.id);
    const runs = mergeRuns(sparse.stripe.id, references);
    if (runs.length === 0 || runs.some(({ from }) => from.length > maxItemBytes)) return undefined;
    const manifestBytes = runs.reduce((sum, run) => sum + boundEntries(run), 0);
    // Of what so many refer to, no manifest could tell.
    if (manifestBytes > maxManifestBytes) return undefined;
    return { sparse, runs, liveBytes: runs.reduce((sum, { from }) => sum + from.length, 0), manifestBytes };
  }

  async #move(profile: Profile, { runs, blocks }: PackPlan, signal: AbortSignal): Promise<void> {
    const { metadata, pins, clock } = this.#parts;
    const ids = [...new Set(runs.map(({ from }) => from.stripeId))];
    const endWrite = pins.beginWrite(metadata.drawNumber(), clock.now());
    pins.pin(ids);
    try {
      const items: SealedItem[] = [];
      for (const run of runs) {
        const item = await this.#readRun(run, signal).catch((error: unknown) => {
          if (isFailure(error)) this.#unreadable.note(run.from.stripeId);
          if (isFailure(error, 'package-corrupt')) this.#parts.noteMiscoded(run.from.stripeId);
          throw error;
        });
        items.push(item);
      }
      const order = blocks.flat();
      const { stripe, extents } = await writePack(
        this.#parts,
        profile,
        blocks.map((block) => block.map((index) => items[index]!)),
      );
      markDurableStep('compaction-stored');
      const moves = order.map((index, at) => ({ from: runs[index]!.from, to: extents[at]! }));
      await this.#record({ moves, stripe });
      markDurableStep('compaction-moved');
    } finally {
      pins.unpin(ids);
      endWrite();
    }
  }

  async #record({ moves, stripe }: { moves: { from: Extent; to: Extent }[]; stripe: NewStripe }): Promise<void> {
    try {
      await this.#parts.metadata.moveExtents({ moves, stripes: [stripe] });
    } catch (error) {
      if (isFailure(error)) await discardStripes(this.#parts, [stripe]);
      throw error;
    }
  }

  async #readRun({ from, references }: LiveRun, signal: AbortSignal): Promise<SealedItem> {
    const bytes = await readExtent(this.#parts, from, signal);
    provePackages(this.#parts, { from, references }, bytes);
    return {
      bytes,
      sealedBytes: bytes.length,
      entryBytes: 0,
      describe: (extent) => references.map((reference) => renderEntry(describeMoved(reference, { from, to: extent }))),
    };
  }
}

/** Lays candidates out in the blocks of a pack; those go that have a run without room, since a stripe is emptied or left alone. */
function planPack({ k }: Profile, candidates: readonly Candidate[]): PackPlan {
  let chosen = candidates;
  for (;;) {
    const runs = chosen.flatMap((candidate) => candidate.runs);
    const manifestBytes = sum(chosen.map((candidate) => candidate.manifestBytes));
    const { blocks, left } = layOutPack(
      runs.map(({ from }) => from.length),
      k,
      manifestBytes,
    );
    const leftRuns = new Set(left.map((index) => runs[index]));
    if (leftRuns.size > 0) {
      chosen = chosen.filter((candidate) => !candidate.runs.some((run) => leftRuns.has(run)));
      continue;
    }
    const liveBytes = sum(chosen.map((candidate) => candidate.liveBytes));
    const storedBytes = sum(chosen.map(({ sparse }) => sparse.storedBytes));
    return { runs, blocks, liveBytes, manifestBytes, storedBytes, stripes: chosen.length };
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** The runs of a stripe's bytes that anybody refers to: extents that touch or overlap, as those of copies do, are one. */
function mergeRuns(stripeId: StripeId, references: readonly StripeReference[]): LiveRun[] {
  const found = references.flatMap((reference) =>
    extentsOf(reference)
      .filter((extent) => extent.stripeId === stripeId)
      .map((from): LiveRun => ({ from, references: [reference] })),
  );
  found.sort((a, b) => a.from.offset - b.from.offset);
  const merged: LiveRun[] = [];
  for (const run of found) {
    const last = merged.at(-1);
    const lastEnd = last ? last.from.offset + last.from.length : 0;
    if (last === undefined || run.from.offset >= lastEnd) {
      merged.push(run);
      continue;
    }
    const end = Math.max(lastEnd, run.from.offset + run.from.length);
    const references = [...new Set([...last.references, ...run.references])];
    merged[merged.length - 1] = { from: { ...last.from, length: end - last.from.offset }, references };
  }
  return merged;
}

/**
 * Bytes that are wrong where they lie may still be computed from others there; once they were coded anew they are wrong for good.
 *
 * @param bytes all of the run's
 * @throws Failure `package-corrupt`
 */
function provePackages({ masterKey }: EngineParts, { from, references }: LiveRun, bytes: Uint8Array): void {
  for (const each of listPackages(references.flatMap(spansOf), from.stripeId)) {
    const [extent, ...more] = each.extents;
    // What lies elsewhere in part moves only in part, and is proven by who reads it.
    if (extent === undefined || more.length > 0) continue;
    const start = extent.offset - from.offset;
    if (start < 0 || start + extent.length > bytes.length) continue;
    if (!opensPackage(masterKey, each, bytes.subarray(start, start + extent.length))) {
      throw corruptSpan(each.span, `package ${each.index} does not open`);
    }
  }
}

function spansOf(reference: StripeReference): readonly SealedSpan[] {
  return (reference.kind === 'version' ? reference.version : reference.part).spans;
}

function extentsOf(reference: StripeReference): Extent[] {
  return spansOf(reference).flatMap((span) => span.extents);
}

/** At least how long the manifest's entries about a run will be. */
function boundEntries({ from, references }: LiveRun): number {
  return references.reduce((sum, reference) => sum + boundManifest(describeMoved(reference, { from, to: from }), 0), 0);
}

/** What the manifest of the new stripe says: the reference as it will be. Its extents elsewhere stay as they are now. */
function describeMoved(reference: StripeReference, move: { from: Extent; to: Extent }): ManifestEntry {
  const { number, bucket } = reference;
  const target = { number, bucketId: bucket.id, bucket: bucket.name };
  if (reference.kind === 'part') {
    const { key, uploadId, part } = reference;
    return { kind: 'part', ...target, key, uploadId, part: { ...part, spans: moveSpans(part.spans, move) } };
  }
  const { key, ownerId, modifiedAtMs, sizeBytes, etag, checksum, spans, parts } = reference.version;
  const { headers, userMetadata, tags, storageClass } = reference.version;
  return {
    kind: 'version',
    ...target,
    key,
    ownerId,
    modifiedAtMs,
    content: { sizeBytes, etag, ...(checksum && { checksum }), spans: moveSpans(spans, move) },
    attributes: { headers, userMetadata, tags, storageClass },
    parts,
  };
}

function renderEntry(entry: ManifestEntry): string {
  return new EntryText(entry).in(contentOf(entry).spans);
}

function moveSpans(spans: readonly SealedSpan[], { from, to }: { from: Extent; to: Extent }): SealedSpan[] {
  const moveExtent = (extent: Extent): Extent => {
    const distance = extent.offset - from.offset;
    const isWithin = extent.stripeId === from.stripeId && distance >= 0 && distance + extent.length <= from.length;
    return isWithin ? { stripeId: to.stripeId, offset: to.offset + distance, length: extent.length } : extent;
  };
  return spans.map((span) => ({ ...span, extents: span.extents.map(moveExtent) }));
}

function estimateStoredBytes({ k, m }: Profile, { runs, blocks, manifestBytes }: PackPlan): number {
  const loads = blocks.map((block) => sum(block.map((index) => runs[index]!.from.length)));
  const last = (loads.at(-1) ?? 0) + manifestBytes;
  const blockBytes = Math.max(...loads, last, 1);
  const geometry = { k, m, blockBytes, dataBytes: (blocks.length - 1) * blockBytes + last };
  let bytes = 0;
  for (let index = 0; index < k + m; index++) {
    if (index < blocks.length || index >= k) bytes += shardBytes(geometry, index);
  }
  return bytes;
}
