import { isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import { contentOf, type ManifestEntry, type PartEntry } from '../manifest.ts';
import { checkShard } from '../upkeep/check-shard.ts';
import { proveStripe, type StripeVariants } from './prove-stripe.ts';
import type { ChainReadParts } from './read-chain.ts';
import { isHeld } from './read-stripe.ts';
import type { ManifestReport } from './recovery-report.ts';
import { groupByStripe, type ScanParts, scanShards } from './scan-shards.ts';
import { measureStripe } from './system-location.ts';

/** Which entries of manifests the journal does not know of yet. */
export interface JournalEnd {
  /** Numbers from this one on were drawn after the last batch. */
  readonly next: number;
  /** Numbers of writes that were under way at that time. */
  readonly outstanding: ReadonlySet<number>;
  /** Numbers that the last batch says are gone. */
  readonly removed: ReadonlySet<number>;
}

export type ReplayParts = ChainReadParts & { readonly metadata: MetadataStore };

/** Manifests that are read at once. */
const width = 8;
/** Numbers and stripes that are looked up at once, and entries that are applied. */
const lookupBatch = 500;
const applyBatch = 500;

/**
 * Makes exist what was acknowledged after the last batch of the journal: objects and parts of which only the manifests of
 * their stripes tell. They are applied in the order of their numbers, and with their conditions.
 */
export class ManifestReplay {
  readonly #parts: ReplayParts;
  readonly #end: JournalEnd;
  readonly #problems: string[];
  #manifests = 0;
  #versions = 0;
  #partCount = 0;
  #refused = 0;
  #shardsMoved = 0;

  /** @param problems what goes wrong is added to it */
  constructor(parts: ReplayParts, end: JournalEnd, problems: string[]) {
    this.#parts = parts;
    this.#end = end;
    this.#problems = problems;
  }

  async run(scan: ScanParts, signal: AbortSignal): Promise<ManifestReport> {
    const { metadata } = this.#parts;
    const found = await scanShards(
      scan,
      async (page, holder) => {
        const cids = page.map(({ cid }) => cid);
        const known = await metadata.knownShards(cids, holder);
        return page.filter(({ cid }) => !known.has(cid));
      },
      (identity) => identity.profileName !== systemProfileName,
      signal,
    );
    const groups = groupByStripe(found);
    await this.#dropKnown(groups, signal);
    const stripes = new Map<StripeId, Stripe>();
    const entries = await this.#proveStripes(groups, stripes, signal);
    entries.sort((a, b) => a.number - b.number);
    // Of a pack one object may have been replaced before the next one was written.
    await metadata.withoutFreeing(async () => {
      for (let start = 0; start < entries.length; start += applyBatch) {
        signal.throwIfAborted();
        await this.#applyAll(entries.slice(start, start + applyBatch), stripes);
      }
    });
    return {
      manifests: this.#manifests,
      versions: this.#versions,
      parts: this.#partCount,
      refused: this.#refused,
      shardsMoved: this.#shardsMoved,
    };
  }

  /**
   * Leaves out stripes that the store knows. A shard that was moved after the last batch is recorded where it lies now. Others of
   * theirs that it does not know are of no use: they may be made up; repair writes what is lacking again under the same names.
   */
  async #dropKnown(groups: Map<StripeId, StripeVariants>, signal: AbortSignal): Promise<void> {
    const { metadata } = this.#parts;
    const ids = [...groups.keys()];
    for (let start = 0; start < ids.length; start += lookupBatch) {
      const known = await metadata.findStripes(ids.slice(start, start + lookupBatch));
      await forEachBounded(known.values(), width, async (stripe) => {
        signal.throwIfAborted();
        const found = groups.get(stripe.id)?.flatMap(({ shards }) => shards) ?? [];
        groups.delete(stripe.id);
        await this.#adoptMoved(stripe, found, signal);
      });
    }
  }

  /**
   * Records shards that were found elsewhere than where the store knows them, if they are not there any more, or another one is by
   * now: what was moved lies for a while where it lay as well.
   */
  async #adoptMoved(stripe: Stripe, found: readonly PlacedShard[], signal: AbortSignal): Promise<void> {
    const { fleet, metadata } = this.#parts;
    const isHeldThere = (shard: PlacedShard): Promise<boolean> => isHeld(fleet.find(shard.providerId), shard, signal);
    const places = new Map(stripe.shards.map((shard) => [shard.index, shard]));
    const isShared = ({ index, providerId }: PlacedShard): boolean =>
      Array.from(places.values()).some((other) => other.index !== index && other.providerId === providerId);
    const adopt = async (shard: PlacedShard): Promise<void> => {
      if (!(await this.#isRight(stripe, shard, signal))) return;
      await metadata.recordShard(stripe.id, shard);
      places.set(shard.index, shard);
      this.#shardsMoved += 1;
    };
    const named = [...stripe.shards, ...(stripe.lostShards ?? [])];
    const known = found.filter((shard) => named.some(({ index, cid }) => index === shard.index && cid === shard.cid));
    for (const shard of known) {
      const recorded = places.get(shard.index);
      if (recorded === undefined || !(await isHeldThere(recorded))) await adopt(shard);
    }
    for (const shard of known) {
      const recorded = places.get(shard.index);
      if (recorded !== undefined && isShared(recorded) && !isShared(shard)) await adopt(shard);
    }
  }

  async #isRight(stripe: Stripe, shard: PlacedShard, signal: AbortSignal): Promise<boolean> {
    const provider = this.#parts.fleet.find(shard.providerId);
    if (provider === undefined) return false;
    try {
      await checkShard(provider, stripe, shard, signal);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      return false;
    }
  }

  /**
   * Adds the stripes that are what they seem to be to `stripes`, and returns what their manifests tell that the store does not know
   * and that was not removed.
   */
  async #proveStripes(
    groups: ReadonlyMap<StripeId, StripeVariants>,
    stripes: Map<StripeId, Stripe>,
    signal: AbortSignal,
  ): Promise<ManifestEntry[]> {
    const { metadata } = this.#parts;
    const { next, outstanding, removed } = this.#end;
    const byNumber = new Map<number, ManifestEntry>();
    await forEachBounded(groups.values(), width, async (variants) => {
      // Where it fails, too few of its shards became durable, so nobody was told that it exists; or it was being deleted.
      const proven = await proveStripe(this.#parts, variants, signal);
      if (proven === undefined) return;
      stripes.set(proven.stripe.id, proven.stripe);
      if (proven.entries.length > 0) this.#manifests += 1;
      for (const entry of proven.entries) {
        const { number } = entry;
        if ((number >= next || outstanding.has(number)) && !removed.has(number)) byNumber.set(number, entry);
      }
    });
    const numbers = [...byNumber.keys()];
    for (let start = 0; start < numbers.length; start += lookupBatch) {
      for (const number of await metadata.knownNumbers(numbers.slice(start, start + lookupBatch)))
        byNumber.delete(number);
    }
    return [...byNumber.values()];
  }

  /** The store runs verbs in the order in which they are called; called in one turn, they share a commit. */
  async #applyAll(entries: readonly ManifestEntry[], stripes: ReadonlyMap<StripeId, Stripe>): Promise<void> {
    const prepared = await Promise.all(entries.map((entry) => this.#prepare(entry, stripes)));
    await Promise.all(
      entries.map(async (entry, at) => {
        const own = prepared[at];
        if (own !== undefined) await this.#apply(entry, own);
      }),
    );
  }

  /** The stripes to be registered with an entry; undefined where it is not to be, or cannot be. */
  async #prepare(entry: ManifestEntry, stripes: ReadonlyMap<StripeId, Stripe>): Promise<NewStripe[] | undefined> {
    const bucket = await this.#parts.metadata.findBucket(entry.bucket);
    if (bucket?.id !== entry.bucketId || (entry.kind === 'part' && !(await this.#isPartWanted(entry)))) {
      this.#refused += 1;
      return undefined;
    }
    return this.#gatherStripes(entry, stripes);
  }

  async #apply(entry: ManifestEntry, stripes: readonly NewStripe[]): Promise<void> {
    const { metadata } = this.#parts;
    const { bucket, key, number } = entry;
    try {
      if (entry.kind === 'part') {
        const { uploadId, part } = entry;
        await metadata.putPart({ bucket, key, uploadId, number, part, stripes });
        this.#partCount += 1;
      } else {
        const { ownerId, modifiedAtMs, content, attributes, parts, condition } = entry;
        const version = { bucket, key, number, ownerId, modifiedAtMs, content, attributes, stripes };
        await metadata.putVersion({ ...version, ...(parts && { parts }), ...(condition && { condition }) });
        this.#versions += 1;
      }
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (isFailure(error, 'stripe-missing')) {
        this.#problems.push(`${describe(entry)} refers to stripe ${error.detail.stripeId}, which is gone`);
      }
      this.#refused += 1;
    }
  }

  /** Not where its upload is gone, or where it was replaced and the last batch tells of its successor. */
  async #isPartWanted({ bucket, key, uploadId, part }: PartEntry): Promise<boolean> {
    const { partNumber, modifiedAtMs } = part;
    try {
      const { parts } = await this.#parts.metadata.listParts(bucket, key, uploadId, partNumber - 1, 1);
      const present = parts.find((each) => each.partNumber === partNumber);
      return present === undefined || present.modifiedAtMs <= modifiedAtMs;
    } catch (error) {
      if (isFailure(error, 'upload-missing')) return false;
      throw error;
    }
  }

  /** The stripes that are to be registered with an entry; undefined where it cannot be read without one that is missing. */
  async #gatherStripes(entry: ManifestEntry, stripes: ReadonlyMap<StripeId, Stripe>): Promise<NewStripe[] | undefined> {
    const ids = new Set(contentOf(entry).spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId)));
    const own: NewStripe[] = [];
    const others: StripeId[] = [];
    for (const id of ids) {
      const stripe = stripes.get(id);
      if (stripe === undefined) others.push(id);
      else own.push(measureStripe(stripe));
    }
    const lacking = own
      .filter((stripe) => stripe.shards.length < storedShardCount(stripe) - stripe.m)
      .map(({ id }) => id);
    const known = await this.#parts.metadata.findStripes(others);
    lacking.push(...others.filter((id) => !known.has(id)));
    if (lacking.length === 0) return own;
    this.#problems.push(`${describe(entry)} cannot be recovered: too few shards of stripe ${lacking.join(', ')}`);
    return undefined;
  }
}

function describe({ kind, bucket, key, number }: ManifestEntry): string {
  return `${kind === 'part' ? 'a part of' : 'object'} ${JSON.stringify(`${bucket}/${key}`)} (number ${number})`;
}
