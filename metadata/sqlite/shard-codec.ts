import { cidOfDigest, cidDigestBytes as digestBytes, digestOfCid } from '../../core/cid-digest.ts';
import type { PlacedShard, ProviderId } from '../../core/model.ts';
import type { NameTable } from './name-table.ts';
import { maxVarintBytes, readVarint, writeVarint } from './varint.ts';

/*
 * Where the shards of a stripe lie, as one blob. Each shard, in order of index:
 *
 *   1 byte     index
 *   1-8 bytes  number of the provider's name, varint
 *   32 bytes   sha2-256 digest of the CID
 */

const maxShardBytes = 1 + maxVarintBytes + digestBytes;
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

/** @throws RangeError for a CID that is not of a shard, or an index past 255 */
export function encodeShards(shards: readonly PlacedShard[], names: NameTable): Buffer {
  const buffer = Buffer.allocUnsafe(shards.length * maxShardBytes);
  let at = 0;
  for (const shard of shards) {
    const digest = digestOfCid(shard.cid);
    if (digest === undefined) throw new RangeError(`not the CID of a shard: ${shard.cid}`);
    at = buffer.writeUInt8(shard.index, at);
    at = writeVarint(buffer, at, names.numberOf(shard.providerId));
    at += digest.copy(buffer, at);
  }
  return buffer.subarray(0, at);
}

export function decodeShards(blob: Buffer, names: NameTable): PlacedShard[] {
  const shards: PlacedShard[] = [];
  const reader = { blob, at: 0 };
  while (reader.at < blob.length) {
    const index = blob[reader.at++]!;
    const providerId = names.nameOf(readVarint(reader)) as ProviderId;
    shards.push({ index, providerId, cid: cidOfDigest(blob, reader.at) });
    reader.at += digestBytes;
  }
  return shards;
}
