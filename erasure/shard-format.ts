import { createHash, hash } from 'node:crypto';
import { base32 } from 'multiformats/bases/base32';
import type { ShardCid, Stripe, StripeId } from '../core/model.ts';
import { type StripeGeometry, shardPayloadBytes, storedBlockCount } from './geometry.ts';

/**
 * The bytes of a shard as providers keep them: header, stored blocks, footer. docs/shard-format.md has the byte-offset
 * tables and the reasons. Pure: whoever calls does the I/O.
 */

export const shardHeaderBytes = 64;
export const digestBytes = 32;
export const shardTrailerBytes = 64;

const formatVersion = 2;
const headerMagic = Buffer.from('hf-shard', 'ascii');
const trailerMagic = Buffer.from('hf-trail', 'ascii');
const profileNameBytes = 16;
/**
 * What precedes the digest in a CID: version 1, codec `raw`, hash `sha2-256`, its length. Each is a varint of one byte.
 * https://github.com/multiformats/cid, https://github.com/multiformats/multicodec/blob/master/table.csv
 */
const cidPrefix = Uint8Array.of(1, 0x55, 0x12, digestBytes);

/** What a shard is: the content of its header. */
export interface ShardIdentity {
  readonly stripeId: StripeId;
  readonly profileName: string;
  readonly k: number;
  readonly m: number;
  /** 0 to k-1 are data, k to k+m-1 are parity. */
  readonly index: number;
  readonly blockBytes: number;
}

/** What a shard's trailer says of it. */
export interface ShardTrailer {
  readonly blockCount: number;
  /** Bytes of all stored blocks together. */
  readonly payloadBytes: number;
  /** Bytes of data of the whole stripe. */
  readonly dataBytes: number;
  /** How many of these, the last ones, are the stripe's manifest. */
  readonly manifestBytes: number;
  /** The whole footer, trailer included. */
  readonly footerBytes: number;
}

/** Where in the shard the block of `row` starts. */
export function shardBlockOffset(geometry: Pick<StripeGeometry, 'blockBytes'>, row: number): number {
  return shardHeaderBytes + row * geometry.blockBytes;
}

/** Where in shard `index` its footer starts. */
export function shardFooterOffset(geometry: StripeGeometry, index: number): number {
  return shardHeaderBytes + shardPayloadBytes(geometry, index);
}

/** Length of the footer of shard `index`. */
export function footerBytes(geometry: StripeGeometry, index: number): number {
  return storedBlockCount(geometry, index) * digestBytes + shardTrailerBytes;
}

/** Length of shard `index` as it is stored. */
export function shardBytes(geometry: StripeGeometry, index: number): number {
  return shardFooterOffset(geometry, index) + footerBytes(geometry, index);
}

/** @throws RangeError for an identity that the header cannot hold. The buffer belongs to the caller. */
export function encodeShardHeader(identity: ShardIdentity): Uint8Array {
  checkIdentity(identity);
  const header = Buffer.alloc(shardHeaderBytes);
  headerMagic.copy(header, 0);
  header.writeUInt16BE(formatVersion, 8);
  header[10] = identity.k;
  header[11] = identity.m;
  header[12] = identity.index;
  header.writeUInt32BE(identity.blockBytes, 16);
  header.write(identity.stripeId, 32, 'hex');
  header.write(identity.profileName, 48, 'ascii');
  return header;
}

/**
 * @param stripe bytes of data of the whole stripe, and how many of them are its manifest
 * @param digests one for each stored block of this shard, in order of rows
 * @throws RangeError when the number or length of the digests does not follow from the rest
 */
export function encodeShardFooter(
  identity: ShardIdentity,
  { dataBytes, manifestBytes }: Pick<Stripe, 'dataBytes' | 'manifestBytes'>,
  digests: readonly Uint8Array[],
): Uint8Array {
  if (manifestBytes > dataBytes) throw new RangeError(`a manifest of ${manifestBytes} in ${dataBytes} bytes`);
  const geometry = { k: identity.k, m: identity.m, blockBytes: identity.blockBytes, dataBytes };
  const blockCount = storedBlockCount(geometry, identity.index);
  if (digests.length !== blockCount || digests.some((digest) => digest.length !== digestBytes)) {
    throw new RangeError(`shard ${identity.index} needs ${blockCount} digests of ${digestBytes} bytes`);
  }
  const footer = Buffer.alloc(footerBytes(geometry, identity.index));
  for (const [row, digest] of digests.entries()) footer.set(digest, row * digestBytes);
  const trailer = blockCount * digestBytes;
  trailerMagic.copy(footer, trailer);
  footer.writeUInt16BE(formatVersion, trailer + 8);
  footer.writeUInt32BE(blockCount, trailer + 12);
  footer.writeBigUInt64BE(BigInt(shardPayloadBytes(geometry, identity.index)), trailer + 16);
  footer.writeBigUInt64BE(BigInt(dataBytes), trailer + 24);
  footer.writeUInt32BE(manifestBytes, trailer + 32);
  footer.writeUInt32BE(footer.length, trailer + 36);
  return footer;
}

/** The shard's name: CIDv1, raw, sha2-256 over header and footer, in base32. */
export function shardCid(header: Uint8Array, footer: Uint8Array): ShardCid {
  const cid = new Uint8Array(cidPrefix.length + digestBytes);
  cid.set(cidPrefix);
  cid.set(createHash('sha256').update(header).update(footer).digest(), cidPrefix.length);
  // Not `CID.create().toString()`, which gives the same string at five times the cost.
  return base32.encode(cid) as ShardCid;
}

/** SHA-256 of a block as it is stored. */
export function digestBlock(block: Uint8Array): Uint8Array {
  return hash('sha256', block, 'buffer');
}

/** The digests of a shard's blocks, proven by its CID. Keeps its own copy of them and nothing else. */
export class DigestTable {
  readonly #digests: Uint8Array;

  constructor(digests: Uint8Array) {
    this.#digests = new Uint8Array(digests);
  }

  /** Whether `block` is byte for byte the stored block of `row`. */
  matches(row: number, block: Uint8Array): boolean {
    const start = row * digestBytes;
    if (start < 0 || start + digestBytes > this.#digests.length) return false;
    return hash('sha256', block, 'buffer').compare(this.#digests, start, start + digestBytes) === 0;
  }
}

/**
 * Verifies a footer that a provider returned.
 *
 * @returns undefined when the CID does not name this footer under this identity, or the footer is not of this geometry
 */
export function openShardFooter(
  identity: ShardIdentity,
  geometry: StripeGeometry & Pick<Stripe, 'manifestBytes'>,
  footer: Uint8Array,
  cid: ShardCid,
): DigestTable | undefined {
  if (geometry.k !== identity.k || geometry.m !== identity.m || geometry.blockBytes !== identity.blockBytes) {
    return undefined;
  }
  if (footer.length !== footerBytes(geometry, identity.index)) return undefined;
  if (shardCid(encodeShardHeader(identity), footer) !== cid) return undefined;
  const blockCount = storedBlockCount(geometry, identity.index);
  const trailer = parseShardTrailer(footer.subarray(blockCount * digestBytes));
  if (
    trailer === undefined ||
    trailer.blockCount !== blockCount ||
    trailer.payloadBytes !== shardPayloadBytes(geometry, identity.index) ||
    trailer.dataBytes !== geometry.dataBytes ||
    trailer.manifestBytes !== geometry.manifestBytes ||
    trailer.footerBytes !== footer.length
  ) {
    return undefined;
  }
  return new DigestTable(footer.subarray(0, blockCount * digestBytes));
}

/** @returns undefined unless these are exactly the bytes of a header of a version that this code knows */
export function parseShardHeader(bytes: Uint8Array): ShardIdentity | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.length !== shardHeaderBytes || !header.subarray(0, 8).equals(headerMagic)) return undefined;
  const name = header.subarray(48, 48 + profileNameBytes);
  const nameEnd = name.indexOf(0);
  const identity: ShardIdentity = {
    stripeId: header.toString('hex', 32, 48) as StripeId,
    profileName: name.toString('latin1', 0, nameEnd === -1 ? profileNameBytes : nameEnd),
    k: header.readUInt8(10),
    m: header.readUInt8(11),
    index: header.readUInt8(12),
    blockBytes: header.readUInt32BE(16),
  };
  if (describeIdentityFault(identity) !== undefined) return undefined;
  // An identity has one encoding: this also refuses other versions, flags and reserved bytes that are not zero.
  return header.equals(encodeShardHeader(identity)) ? identity : undefined;
}

/** @returns undefined unless these are exactly the bytes of a trailer of a version that this code knows */
export function parseShardTrailer(bytes: Uint8Array): ShardTrailer | undefined {
  const trailer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (trailer.length !== shardTrailerBytes || !trailer.subarray(0, 8).equals(trailerMagic)) return undefined;
  if (trailer.readUInt16BE(8) !== formatVersion || trailer.readUInt16BE(10) !== 0) return undefined;
  for (let offset = 40; offset < shardTrailerBytes; offset++) if (trailer[offset] !== 0) return undefined;
  const parsed: ShardTrailer = {
    blockCount: trailer.readUInt32BE(12),
    payloadBytes: Number(trailer.readBigUInt64BE(16)),
    dataBytes: Number(trailer.readBigUInt64BE(24)),
    manifestBytes: trailer.readUInt32BE(32),
    footerBytes: trailer.readUInt32BE(36),
  };
  if (!Number.isSafeInteger(parsed.payloadBytes) || !Number.isSafeInteger(parsed.dataBytes)) return undefined;
  if (parsed.payloadBytes < parsed.blockCount) return undefined;
  if (parsed.manifestBytes > parsed.dataBytes) return undefined;
  const expectedBytes = parsed.blockCount * digestBytes + shardTrailerBytes;
  return parsed.footerBytes === expectedBytes ? parsed : undefined;
}

function checkIdentity(identity: ShardIdentity): void {
  const fault = describeIdentityFault(identity);
  if (fault !== undefined) throw new RangeError(fault);
}

function describeIdentityFault(identity: ShardIdentity): string | undefined {
  const { k, m, index, blockBytes, stripeId, profileName } = identity;
  if (!isBetween(k, 1, 255) || !isBetween(m, 0, 255) || k + m > 256) return `no code of ${k}+${m} shards`;
  if (!isBetween(index, 0, k + m - 1)) return `no shard ${index} in ${k}+${m}`;
  if (!isBetween(blockBytes, 1, 0xffffffff)) return `block of ${blockBytes} bytes`;
  if (!/^[0-9a-f]{32}$/.test(stripeId)) return `stripe id ${stripeId}`;
  if (!/^[\x21-\x7e]{1,16}$/.test(profileName)) return `profile name ${profileName}`;
  return undefined;
}

function isBetween(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}
