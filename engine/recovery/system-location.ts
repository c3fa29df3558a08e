import type { PlacedShard, ProviderId, SealedSpan, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import { storedBlockCount, storedShardCount } from '../../erasure/geometry.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import type { NewStripe, PutSystemObject } from '../../metadata/metadata-store.ts';

/**
 * A system object with all that it takes to read it without a metadata store: its wrapped keys, the geometry of its
 * stripes, and where their shards lay when it was written. Roots, batches and chunks point at each other with these.
 */
export type SystemLocation = PutSystemObject;

type PackedShard = [index: number, providerId: string, cid: string];
type PackedStripe = [
  id: string,
  profileName: string,
  k: number,
  m: number,
  blockBytes: number,
  dataBytes: number,
  manifestBytes: number,
  shards: PackedShard[],
];
type PackedSpan = [
  wrappedKey: string,
  streamBytes: number,
  offset: number,
  length: number,
  extents: [string, number, number][],
];
/** A location as it stands in JSON. */
export type PackedLocation = [
  name: string,
  number: number,
  sizeBytes: number,
  spans: PackedSpan[],
  stripes: PackedStripe[],
];

export function packLocation({ name, number, sizeBytes, spans, stripes }: SystemLocation): PackedLocation {
  return [name, number, sizeBytes, spans.map(packSpan), stripes.map(packStripe)];
}

/** Only for what was sealed with the master key: it is not checked again. */
export function unpackLocation([name, number, sizeBytes, spans, stripes]: PackedLocation): SystemLocation {
  return { name, number, sizeBytes, spans: spans.map(unpackSpan), stripes: stripes.map(unpackStripe) };
}

function packSpan({ wrappedKey, streamBytes, offset, length, extents }: SealedSpan): PackedSpan {
  const places = extents.map((extent): [string, number, number] => [extent.stripeId, extent.offset, extent.length]);
  return [Buffer.from(wrappedKey).toString('base64'), streamBytes, offset, length, places];
}

function unpackSpan([wrappedKey, streamBytes, offset, length, extents]: PackedSpan): SealedSpan {
  return {
    wrappedKey: new Uint8Array(Buffer.from(wrappedKey, 'base64')),
    streamBytes,
    offset,
    length,
    extents: extents.map(([stripeId, at, bytes]) => ({ stripeId: stripeId as StripeId, offset: at, length: bytes })),
  };
}

function packStripe({ id, profileName, k, m, blockBytes, dataBytes, manifestBytes, shards }: NewStripe): PackedStripe {
  const places = shards.map(({ index, providerId, cid }): PackedShard => [index, providerId, cid]);
  return [id, profileName, k, m, blockBytes, dataBytes, manifestBytes, places];
}

function unpackStripe([id, profileName, k, m, blockBytes, dataBytes, manifestBytes, shards]: PackedStripe): NewStripe {
  const geometry = { k, m, blockBytes, dataBytes, manifestBytes };
  return measureStripe({ id: id as StripeId, profileName, ...geometry, shards: shards.map(unpackShard) });
}

function unpackShard([index, providerId, cid]: PackedShard): PlacedShard {
  return { index, providerId: providerId as ProviderId, cid: cid as ShardCid };
}

/** Adds what follows from a stripe's geometry: how many shards it should have, and what they take. */
export function measureStripe(stripe: Stripe): NewStripe {
  let storedBytes = 0;
  for (let index = 0; index < stripe.k + stripe.m; index++) {
    if (storedBlockCount(stripe, index) > 0) storedBytes += shardBytes(stripe, index);
  }
  return { ...stripe, shardCount: storedShardCount(stripe), storedBytes };
}
