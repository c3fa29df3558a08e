import { isFailure } from '../../core/failure.ts';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, SealedSpan, Stripe, StripeId } from '../../core/model.ts';
import { storedBlockCount, storedShardCount } from '../../erasure/geometry.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import type { EngineParts } from '../engine-parts.ts';
import { readSpans } from '../read-spans.ts';
import { countBearable } from '../upkeep/redundancy.ts';
import { listOwners, type OwnedContent } from './list-owners.ts';
import type { Endangered, Finding, FindingKind, VerifyReport } from './verify-report.ts';

export interface VerifyOptions {
  /** Read every byte: digests of all blocks, tags of all packages. */
  readonly isDeep: boolean;
  readonly onProgress: (step: string, count: number) => void;
}

const pageRecords = 1_000;
const pageShards = 1_000;
/** Stripes or objects looked at at once. */
const width = 16;
const maxExamples = 20;
const maxNamed = 1_000;

/** Checks the metadata against what the providers hold. Nothing is changed; nobody else may write meanwhile. */
export async function verifyStore(
  parts: EngineParts,
  { isDeep, onProgress }: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const verifier = new Verifier(parts, isDeep, onProgress);
  await verifier.verifyStripes(signal);
  await verifier.verifyOwners(signal);
  await verifier.countOrphans(signal);
  return verifier.report();
}

class Verifier {
  readonly #parts: EngineParts;
  readonly #isDeep: boolean;
  readonly #onProgress: VerifyOptions['onProgress'];
  readonly #findings: Partial<Record<FindingKind, number>> = {};
  readonly #examples: Finding[] = [];
  readonly #atRisk: Endangered[] = [];
  readonly #lost: Endangered[] = [];
  /** How many further shards a stripe can lose, where it is not as many as it should be. */
  readonly #margins = new Map<StripeId, number>();
  readonly #counts = { stripes: 0, shards: 0, version: 0, part: 0, system: 0 };
  #atRiskCount = 0;
  #lostCount = 0;
  #orphans = 0;
  #orphanBytes = 0;

  constructor(parts: EngineParts, isDeep: boolean, onProgress: VerifyOptions['onProgress']) {
    this.#parts = parts;
    this.#isDeep = isDeep;
    this.#onProgress = onProgress;
  }

  /** All stripes that hold objects, and those of system objects, which are among no records. */
  async verifyStripes(signal: AbortSignal): Promise<void> {
    const { metadata } = this.#parts;
    let cursor: string | undefined;
    do {
      const page = await metadata.readRecords(cursor, pageRecords);
      const isLive = ({ value }: { value: unknown }): boolean => (value as { freedMs?: number }).freedMs === undefined;
      const stripes = page.records.filter((record) => record.kind === 'stripe' && isLive(record));
      await this.#verifyPage(
        stripes.map(({ key }) => key as StripeId),
        signal,
      );
      cursor = page.cursor;
    } while (cursor !== undefined);
    const system = (await metadata.listSystemObjects()).flatMap(({ spans }) => stripesOf(spans));
    for (let start = 0; start < system.length; start += pageRecords) {
      await this.#verifyPage(system.slice(start, start + pageRecords), signal);
    }
  }

  async #verifyPage(ids: readonly StripeId[], signal: AbortSignal): Promise<void> {
    const stripes = await this.#parts.metadata.findStripes(ids);
    await forEachBounded(stripes.values(), width, async (stripe) => {
      signal.throwIfAborted();
      await this.#verifyStripe(stripe, signal);
      this.#counts.stripes += 1;
      this.#onProgress('stripes', this.#counts.stripes);
    });
  }

  async #verifyStripe(stripe: Stripe, signal: AbortSignal): Promise<void> {
    const outcomes = await Promise.all(stripe.shards.map((shard) => this.#verifyShard(stripe, shard, signal)));
    const holders = stripe.shards.filter((_, at) => outcomes[at]).map(({ providerId }) => providerId);
    const expected = storedShardCount(stripe);
    const { lostShards = [] } = stripe;
    for (const { index, providerId, cid } of lostShards) {
      this.#find({ kind: 'shard-lost', stripeId: stripe.id, index, providerId, cid });
    }
    const unwritten = expected - stripe.shards.length - lostShards.length;
    if (unwritten > 0) this.#find({ kind: 'shards-unwritten', stripeId: stripe.id, count: unwritten });
    for (const [providerId, { length: count }] of Map.groupBy(holders, (id) => id)) {
      if (count > 1) this.#find({ kind: 'shards-together', stripeId: stripe.id, providerId, count });
    }
    const margin = countBearable(holders, expected - stripe.m);
    if (margin < stripe.m) this.#margins.set(stripe.id, margin);
  }

  async #verifyShard(stripe: Stripe, shard: PlacedShard, signal: AbortSignal): Promise<boolean> {
    const { index, providerId, cid } = shard;
    const found = (kind: Extract<Finding, { cid: unknown }>['kind']): false => {
      this.#find({ kind, stripeId: stripe.id, index, providerId, cid });
      return false;
    };
    this.#counts.shards += 1;
    const provider = this.#parts.fleet.find(providerId);
    if (provider === undefined) return found('provider-missing');
    try {
      const { bytes } = await provider.statShard(cid, signal);
      if (bytes !== shardBytes(stripe, index)) return found('shard-length');
      if (!this.#isDeep) return true;
      for (let row = 0; row < storedBlockCount(stripe, index); row++) {
        await this.#parts.blocks.readBlock(stripe, shard, row, signal);
      }
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (isFailure(error, 'shard-missing')) return found('shard-missing');
      return found(isFailure(error, 'shard-corrupt') ? 'shard-corrupt' : 'shard-unreadable');
    }
  }

  /** Whoever refers to stripes: whether they are there, and what they could lose. */
  async verifyOwners(signal: AbortSignal): Promise<void> {
    for await (const page of listOwners(this.#parts.metadata)) {
      await forEachBounded(page, width, async (owned) => {
        signal.throwIfAborted();
        await this.#verifyOwner(owned, signal);
        this.#counts[owned.owner.kind] += 1;
        this.#onProgress('objects and parts', this.#counts.version + this.#counts.part);
      });
    }
  }

  async #verifyOwner({ owner, spans, sizeBytes }: OwnedContent, signal: AbortSignal): Promise<void> {
    const ids = [...new Set(stripesOf(spans))];
    const stripes = await this.#parts.metadata.findStripes(ids);
    let margin = Number.POSITIVE_INFINITY;
    for (const id of ids) {
      if (!stripes.has(id)) this.#find({ kind: 'stripe-missing', stripeId: id, owner });
      margin = Math.min(margin, stripes.has(id) ? (this.#margins.get(id) ?? Number.POSITIVE_INFINITY) : -1);
    }
    if (this.#isDeep && margin >= 0) {
      const reason = await this.#findContentFault(spans, sizeBytes, signal);
      if (reason !== undefined) {
        this.#find({ kind: 'content-corrupt', owner, reason });
        margin = -1;
      }
    }
    if (margin === Number.POSITIVE_INFINITY) return;
    if (margin < 0) this.#lostCount += 1;
    else this.#atRiskCount += 1;
    const list = margin < 0 ? this.#lost : this.#atRisk;
    if (list.length < maxNamed) list.push({ owner, margin });
  }

  async #findContentFault(
    spans: readonly SealedSpan[],
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    let bytes = 0;
    try {
      for await (const chunk of readSpans(this.#parts, spans, signal)) bytes += chunk.length;
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof Error ? error.message : String(error);
    }
    return bytes === sizeBytes ? undefined : `${bytes} bytes instead of ${sizeBytes}`;
  }

  async countOrphans(signal: AbortSignal): Promise<void> {
    const { fleet, metadata, log } = this.#parts;
    for (const { provider } of fleet.members) {
      let cursor: string | undefined;
      try {
        do {
          const page = await provider.listShards(cursor, pageShards, signal);
          const cids = page.shards.map(({ cid }) => cid);
          const known = await metadata.knownShards(cids, provider.id);
          for (const { cid, bytes } of page.shards) {
            if (known.has(cid)) continue;
            this.#orphans += 1;
            this.#orphanBytes += bytes;
          }
          cursor = page.cursor;
        } while (cursor !== undefined);
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ provider: provider.id, err: error }, 'provider cannot be listed');
      }
    }
  }

  report(): VerifyReport {
    const { stripes, shards, version: versions, part, system } = this.#counts;
    return {
      isDeep: this.#isDeep,
      stripes,
      shards,
      versions,
      parts: part,
      systemObjects: system,
      findings: this.#findings,
      examples: this.#examples,
      atRisk: this.#atRisk,
      atRiskCount: this.#atRiskCount,
      lost: this.#lost,
      lostCount: this.#lostCount,
      orphans: this.#orphans,
      orphanBytes: this.#orphanBytes,
    };
  }

  #find(finding: Finding): void {
    const count = (this.#findings[finding.kind] ?? 0) + 1;
    this.#findings[finding.kind] = count;
    if (count <= maxExamples) this.#examples.push(finding);
  }
}

function stripesOf(spans: readonly SealedSpan[]): StripeId[] {
  return spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId));
}
