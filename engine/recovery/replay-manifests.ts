import { isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { Stripe, StripeId } from '../../core/model.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import { contentOf, type ManifestEntry, type PartEntry } from '../manifest.ts';
import { proveStripe, type StripeVariants } from './prove-stripe.ts';
import type { ChainReadParts } from './read-chain.ts';
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
/** Numbers that are looked up at once. */
const lookupBatch = 500;

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
      async (page) => {
        const known = await metadata.knownShards(page.map(({ cid }) => cid));
        return page.filter(({ cid }) => !known.has(cid));
      },
      (identity) => identity.profileName !== systemProfileName,
      signal,
    );
    const groups = groupByStripe(found);
    await this.#dropKnown(groups);
    const stripes = new Map<StripeId, Stripe>();
    const entries = await this.#proveStripes(groups, stripes, signal);
    entries.sort((a, b) => a.number - b.number);
    for (const entry of entries) {
      signal.throwIfAborted();
      await this.#apply(entry, stripes);
    }
    return {
      manifests: this.#manifests,
      versions: this.#versions,
      parts: this.#partCount,
      refused: this.#refused,
    };
  }

  /**
   * Leaves out stripes that the store knows. Shards of theirs that it does not know are of no use: they may be those that repair wrote
   * last, or made up; repair writes them again under the same names.
   */
  async #dropKnown(groups: Map<StripeId, StripeVariants>): Promise<void> {
    const { metadata } = this.#parts;
    const ids = [...groups.keys()];
    for (let start = 0; start < ids.length; start += lookupBatch) {
      const known = await metadata.findStripes(ids.slice(start, start + lookupBatch));
      for (const id of known.keys()) groups.delete(id);
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

  async #apply(entry: ManifestEntry, stripes: ReadonlyMap<StripeId, Stripe>): Promise<void> {
    const { metadata } = this.#parts;
    const bucket = await metadata.findBucket(entry.bucket);
    if (bucket?.id !== entry.bucketId) {
      this.#refused += 1;
      return;
    }
    const own = await this.#gatherStripes(entry, stripes);
    if (own === undefined) return;
    try {
      if (entry.kind === 'part') await this.#applyPart(entry, own);
      else {
        const { key, number, ownerId, modifiedAtMs, content, attributes, parts, condition } = entry;
        const version = { bucket: bucket.name, key, number, ownerId, modifiedAtMs, content, attributes, stripes: own };
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

  async #applyPart(entry: PartEntry, stripes: readonly NewStripe[]): Promise<void> {
    const { metadata } = this.#parts;
    const { bucket, key, uploadId, number, part } = entry;
    const { parts } = await metadata.listParts(bucket, key, uploadId, part.partNumber - 1, 1);
    const present = parts.find(({ partNumber }) => partNumber === part.partNumber);
    // It was replaced, and the last batch tells of its successor.
    if (present !== undefined && present.modifiedAtMs > part.modifiedAtMs) return;
    await metadata.putPart({ bucket, key, uploadId, number, part, stripes });
    this.#partCount += 1;
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
