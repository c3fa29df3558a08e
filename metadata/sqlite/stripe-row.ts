import type { Stripe, StripeId } from '../../core/model.ts';
import type { NewStripe } from '../metadata-store.ts';
import type { NameTable } from './name-table.ts';
import { decodeShards } from './shard-codec.ts';
import { decodeStripeId } from './stripe-id.ts';

/** A row of `stripes`. */
export interface StripeRow {
  readonly id: Buffer;
  readonly profile: number;
  readonly k: number;
  readonly m: number;
  readonly block_bytes: number;
  readonly data_bytes: number;
  readonly manifest_bytes: number;
  readonly shard_count: number;
  readonly placed_count: number;
  readonly stored_bytes: number;
  readonly live_bytes: number;
  readonly freed_ms: number | null;
  readonly shards: Buffer;
  /** Of a live stripe. What stands here once it is freed means nothing. */
  readonly placement: number | null;
  /** Since when a live stripe has lacked a shard; null where it lacks none. */
  readonly degraded_ms: number | null;
}

export const stripeColumns =
  'id, profile, k, m, block_bytes, data_bytes, manifest_bytes, shard_count, placed_count, stored_bytes, live_bytes, ' +
  'freed_ms, shards, placement, degraded_ms';

export function toStripe(row: StripeRow, names: NameTable, id: StripeId = decodeStripeId(row.id)): Stripe {
  return {
    id,
    profileName: names.nameOf(row.profile),
    k: row.k,
    m: row.m,
    blockBytes: row.block_bytes,
    dataBytes: row.data_bytes,
    manifestBytes: row.manifest_bytes,
    ...decodeShards(row.shards, names),
  };
}

/** What so many bytes take at k+m without any overhead. */
export function neededBytesOf(liveBytes: number, { k, m }: Pick<StripeRow, 'k' | 'm'>): number {
  return Math.ceil((liveBytes * (k + m)) / k);
}

/** The values of `stripeColumns`. `shards` are encoded. */
export function stripeValues(
  id: Buffer,
  stripe: Omit<NewStripe, 'id' | 'profileName'>,
  row: Pick<StripeRow, 'profile' | 'live_bytes' | 'freed_ms' | 'shards' | 'placement' | 'degraded_ms'>,
): (Buffer | number | null)[] {
  return [
    id,
    row.profile,
    stripe.k,
    stripe.m,
    stripe.blockBytes,
    stripe.dataBytes,
    stripe.manifestBytes,
    stripe.shardCount,
    stripe.shards.length,
    stripe.storedBytes,
    row.live_bytes,
    row.freed_ms,
    row.shards,
    row.placement,
    row.degraded_ms,
  ];
}
