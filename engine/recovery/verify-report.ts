import type { ProviderId, ShardCid, StripeId } from '../../core/model.ts';

/** Something that is not as it should be. */
export type Finding =
  /** The metadata name a provider that is not there. */
  | ShardFinding<'provider-missing'>
  | ShardFinding<'shard-missing'>
  /** The provider did not answer, or not in time. */
  | ShardFinding<'shard-unreadable'>
  | ShardFinding<'shard-length'>
  /** The footer is not the one that the shard is named after, or a block does not have its digest. Only with `isDeep`. */
  | ShardFinding<'shard-corrupt'>
  /** Known to be gone or wrong, and not rebuilt yet. */
  | ShardFinding<'shard-lost'>
  /** The metadata know of fewer shards than the stripe should have. */
  | { readonly kind: 'shards-unwritten'; readonly stripeId: StripeId; readonly count: number }
  /** A provider has several shards of the stripe, which would be lost together. */
  | {
      readonly kind: 'shards-together';
      readonly stripeId: StripeId;
      readonly providerId: ProviderId;
      readonly count: number;
    }
  /** A version, part or system object refers to a stripe that the store does not know. */
  | { readonly kind: 'stripe-missing'; readonly stripeId: StripeId; readonly owner: Owner }
  /** Blocks are right, and what they hold does not open, or has another length. Only with `isDeep`. */
  | { readonly kind: 'content-corrupt'; readonly owner: Owner; readonly reason: string };

export type FindingKind = Finding['kind'];

export interface ShardFinding<K extends string> {
  readonly kind: K;
  readonly stripeId: StripeId;
  readonly index: number;
  readonly providerId: ProviderId;
  readonly cid: ShardCid;
}

/** Who refers to stripes. */
export type Owner =
  | { readonly kind: 'version'; readonly bucket: string; readonly key: string; readonly versionId: string }
  | {
      readonly kind: 'part';
      readonly bucket: string;
      readonly key: string;
      readonly uploadId: string;
      readonly partNumber: number;
    }
  | { readonly kind: 'system'; readonly name: string };

/** Something that lives in stripes which lack shards. */
export interface Endangered {
  readonly owner: Owner;
  /** How many further providers each of its stripes can lose; below 0 it cannot be read any more. */
  readonly margin: number;
}

export interface VerifyReport {
  readonly isDeep: boolean;
  readonly stripes: number;
  readonly shards: number;
  readonly versions: number;
  readonly parts: number;
  readonly systemObjects: number;
  /** How many findings of each kind there are. */
  readonly findings: Readonly<Partial<Record<FindingKind, number>>>;
  /** The first of each kind. */
  readonly examples: readonly Finding[];
  /** What can be read, and could lose less than it should be able to; the first ones. */
  readonly atRisk: readonly Endangered[];
  readonly atRiskCount: number;
  /** What cannot be read; the first ones. */
  readonly lost: readonly Endangered[];
  readonly lostCount: number;
  /** Shards that no stripe is known for. They are no finding: `collect` deletes them when they are old enough. */
  readonly orphans: number;
  readonly orphanBytes: number;
}

export function isClean({ findings, lostCount }: VerifyReport): boolean {
  return Object.keys(findings).length === 0 && lostCount === 0;
}
