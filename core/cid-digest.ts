import type { ShardCid } from './model.ts';

/**
 * Between a shard's name and the 32 bytes in it that tell shards apart. What is kept by the million
 * keeps only these.
 *
 * A name is `b` and the base32 (RFC 4648, lower case, no padding) of 36 bytes: version 1, codec `raw`, hash `sha2-256`,
 * its length, and the digest. https://github.com/multiformats/cid
 */
export const cidDigestBytes = 32;

const prefix = Uint8Array.of(1, 0x55, 0x12, cidDigestBytes);
const cidBytes = prefix.length + cidDigestBytes;
const cidCharacters = 1 + Math.ceil((cidBytes * 8) / 5);
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
/** Ten bits at a time: two characters. */
const charPairs = Array.from({ length: 1024 }, (_, bits) => alphabet[bits >> 5]! + alphabet[bits & 31]!);
const notADigit = 0xff;
const digits = new Uint8Array(128).fill(notADigit);
for (const [value, character] of [...alphabet].entries()) {
  digits[character.charCodeAt(0)] = value;
}

/**
 * The digest in a shard's name. The buffer belongs to the caller. By hand, since this is done in each call and the
 * general decoder takes ten times as long.
 *
 * @returns undefined for a name of another kind, or one that is not the only way to write its bytes
 */
export function digestOfCid(cid: string): Buffer | undefined {
  if (cid.length !== cidCharacters || cid[0] !== 'b') return undefined;
  const digest = Buffer.allocUnsafe(cidDigestBytes);
  let bits = 0;
  let bitCount = 0;
  let at = 0;
  for (let position = 1; position < cidCharacters; position++) {
    const digit = digits[cid.charCodeAt(position)] ?? notADigit;
    if (digit === notADigit) return undefined;
    bits = ((bits << 5) | digit) & 0xfff;
    bitCount += 5;
    if (bitCount < 8) continue;
    bitCount -= 8;
    const byte = (bits >>> bitCount) & 0xff;
    if (at >= prefix.length) digest[at - prefix.length] = byte;
    else if (byte !== prefix[at]) return undefined;
    at++;
  }
  const leftover = bits & ((1 << bitCount) - 1);
  return leftover === 0 ? digest : undefined;
}

/** The name with the 32 bytes at `start`, which `digestOfCid` takes apart. */
export function cidOfDigest(bytes: Uint8Array, start = 0): ShardCid {
  let cid = 'b';
  let bits = 0;
  let bitCount = 0;
  for (let i = 0; i < cidBytes; i++) {
    const byte = i < prefix.length ? prefix[i]! : bytes[start + i - prefix.length]!;
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
