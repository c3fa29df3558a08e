import type { PlacedShard, ProviderId, ShardCid } from '../../core/model.ts';
import type { NameTable } from './name-table.ts';
import { maxVarintBytes, readVarint, writeVarint } from './varint.ts';

/*
 * Where the shards of a stripe lie, as one blob. Each shard, in order of index:
 *
 *   1 byte     index
 *   1-8 bytes  number of the provider's name, varint
 *   32 bytes   sha2-256 digest of the CID
 */

const digestBytes = 32;
const maxShardBytes = 1 + maxVarintBytes + digestBytes;
/** CIDv1, codec raw, multihash sha2-256 of 32 bytes: https://github.com/multiformats/cid#cidv1 */
const cidPrefix = [0x01, 0x55, 0x12, 0x20] as const;
const cidBytes = cidPrefix.length + digestBytes;
/** Multibase `b` and RFC 4648 base32 in lower case without padding. */
const cidChars = 1 + Math.ceil((cidBytes * 8) / 5);
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
/** Ten bits at a time: two characters. */
const charPairs = Array.from({ length: 1024 }, (_, bits) => alphabet[bits >> 5]! + alphabet[bits & 31]!);
const charValues = new Int8Array(128).fill(-1);
for (let value = 0; value < alphabet.length; value++) charValues[alphabet.charCodeAt(value)] = value;

/** The 32 bytes that a shard's CID holds; undefined when it is none of ours. */
export function digestOfCid(cid: string): Buffer | undefined {
  if (cid.length !== cidChars || cid[0] !== 'b') return undefined;
  const bytes = Buffer.allocUnsafe(cidBytes);
  let bits = 0;
  let bitCount = 0;
  let at = 0;
  for (let i = 1; i < cidChars; i++) {
    const code = cid.charCodeAt(i);
    const value = code < 128 ? charValues[code]! : -1;
    if (value < 0) return undefined;
    bits = ((bits << 5) | value) & 0x1fff;
    bitCount += 5;
    if (bitCount >= 8) {
      bitCount -= 8;
      bytes[at++] = bits >> bitCount;
    }
  }
  // Bits past the last byte are padding, and zero in the one valid spelling.
  if ((bits & ((1 << bitCount) - 1)) !== 0) return undefined;
  for (let i = 0; i < cidPrefix.length; i++) if (bytes[i] !== cidPrefix[i]) return undefined;
  return bytes.subarray(cidPrefix.length);
}

/** The CID that holds the 32 bytes at `start`. */
export function cidOfDigest(bytes: Uint8Array, start = 0): ShardCid {
  let cid = 'b';
  let bits = 0;
  let bitCount = 0;
  for (let i = 0; i < cidBytes; i++) {
    const byte = i < cidPrefix.length ? cidPrefix[i]! : bytes[start + i - cidPrefix.length]!;
    bits = ((bits & 0x3ff) << 8) | byte;
    bitCount += 8;
    if (bitCount >= 10) {
      bitCount -= 10;
      cid += charPairs[(bits >> bitCount) & 0x3ff]!;
    }
  }
  // 288 bits leave eight: one full character and one of three bits with two of padding.
  cid += charPairs[(bits << (10 - bitCount)) & 0x3ff]!;
  return cid as ShardCid;
}

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
