import { cidOfDigest, cidDigestBytes as digestBytes, digestOfCid } from '../../core/cid-digest.ts';
import type { PlacedShard, ProviderId, Stripe } from '../../core/model.ts';
import type { NameTable } from './name-table.ts';
import { maxVarintBytes, readVarint, writeVarint } from './varint.ts';

/*
 * Where the shards of a stripe lie, as one blob: the good ones in order of index, then the lost ones. Each shard:
 *
 *   1 byte     index, 0 to 47; 0x80 is added to that of a shard that was found to be gone or wrong
 *   1-8 bytes  number of the provider's name, varint
 *   32 bytes   sha2-256 digest of the CID
 */

const maxShardBytes = 1 + maxVarintBytes + digestBytes;
const lostFlag = 0x80;

/** The shards that a stripe has, and those that it lost. */
export type StripeShards = Pick<Stripe, 'shards' | 'lostShards'>;

/** What the index of CIDs is keyed by: the first six bytes of a digest as a number. */
export function headOfDigest(digest: Buffer, start = 0): number {
  return digest.readUIntBE(start, 6);
}

/** The heads of all encoded shards. */
export function headsOfShards(blob: Buffer): number[] {
  const heads: number[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    reader.at += 1;
    readVarint(reader);
    heads.push(headOfDigest(blob, reader.at));
    reader.at += digestBytes;
  }
  return heads;
}

/** Each shard: whether it is good, and the number of its provider's name. */
export function placesOfShards(blob: Buffer): { isGood: boolean; provider: number; digestStart: number }[] {
  const places: { isGood: boolean; provider: number; digestStart: number }[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const isGood = blob[reader.at++]! < lostFlag;
    const provider = readVarint(reader);
    places.push({ isGood, provider, digestStart: reader.at });
    reader.at += digestBytes;
  }
  return places;
}

/** Whether the shard with this digest is recorded at this provider, as good or as lost. */
export function isHeldBy(blob: Buffer, provider: number, digest: Buffer): boolean {
  return placesOfShards(blob).some(
    (place) =>
      place.provider === provider && digest.compare(blob, place.digestStart, place.digestStart + digestBytes) === 0,
  );
}

/**
 * Who holds the good shards: the numbers of their names in rising order, as varints. A provider that holds two shards stands there
 * twice. Two stripes have the same holders if and only if these bytes are the same.
 */
export function holdersOfShards(blob: Buffer): Buffer {
  const providers: number[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const isGood = blob[reader.at++]! < lostFlag;
    const provider = readVarint(reader);
    if (isGood) providers.push(provider);
    reader.at += digestBytes;
  }
  providers.sort((a, b) => a - b);
  const holders = Buffer.allocUnsafe(providers.length * maxVarintBytes);
  let at = 0;
  for (const provider of providers) at = writeVarint(holders, at, provider);
  return holders.subarray(0, at);
}

/** One provider as it stands among holders: bytes that may also stand there by chance, across two others. */
export function encodeHolder(provider: number): Buffer {
  const holder = Buffer.allocUnsafe(maxVarintBytes);
  return holder.subarray(0, writeVarint(holder, 0, provider));
}

export function decodeHolders(holders: Buffer): number[] {
  const providers: number[] = [];
  const reader = { blob: holders, at: 0 };
  while (reader.at < holders.length) providers.push(readVarint(reader));
  return providers;
}

/** @throws RangeError for a CID that is not of a shard, or an index past 127 */
export function encodeShards({ shards, lostShards = [] }: StripeShards, names: NameTable): Buffer {
  const buffer = Buffer.allocUnsafe((shards.length + lostShards.length) * maxShardBytes);
  let at = 0;
  for (const shard of shards) at = encodeShard(buffer, at, shard, 0, names);
  for (const shard of lostShards) at = encodeShard(buffer, at, shard, lostFlag, names);
  return buffer.subarray(0, at);
}

/** The good shards and the lost ones, each in the order in which they were encoded. */
export function decodeShards(blob: Buffer, names: NameTable): StripeShards {
  const shards: PlacedShard[] = [];
  const lostShards: PlacedShard[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const flagged = blob[reader.at++]!;
    const providerId = names.nameOf(readVarint(reader)) as ProviderId;
    const shard = { index: flagged % lostFlag, providerId, cid: cidOfDigest(blob, reader.at) };
    (flagged < lostFlag ? shards : lostShards).push(shard);
    reader.at += digestBytes;
  }
  return lostShards.length > 0 ? { shards, lostShards } : { shards };
}

function encodeShard(buffer: Buffer, start: number, shard: PlacedShard, flag: number, names: NameTable): number {
  const digest = digestOfCid(shard.cid);
  if (digest === undefined) throw new RangeError(`not the CID of a shard: ${shard.cid}`);
  if (shard.index >= lostFlag) throw new RangeError(`no index of a shard: ${shard.index}`);
  let at = buffer.writeUInt8(shard.index + flag, start);
  at = writeVarint(buffer, at, names.numberOf(shard.providerId));
  return at + digest.copy(buffer, at);
}
