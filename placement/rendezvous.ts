import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import type { StripeId } from '../core/model.ts';

/** Two words of a hash: enough for a score, and XOR of two of them is cheap. */
export type HashWords = readonly [high: number, low: number];

export function hashWords(text: string): HashWords {
  const digest = sha256(utf8ToBytes(text));
  const view = new DataView(digest.buffer, digest.byteOffset);
  return [view.getUint32(0), view.getUint32(4)];
}

/** The words of a stripe's id, which is 32 hex digits of which most are random: no other hash is needed. */
export function stripeWords(id: StripeId): HashWords {
  let high = 0;
  let low = 0;
  for (let at = 0; at < 32; at += 8) {
    const word = Number.parseInt(id.slice(at, at + 8), 16);
    high = mixWord(high ^ word);
    low = mixWord(low + high + word);
  }
  return [high, low];
}

/** What a member draws for a stripe: evenly distributed between 0 and 1, and the same for whoever asks. */
export function drawNumber([stripeHigh, stripeLow]: HashWords, member: HashWords): number {
  const high = mixWord(stripeHigh ^ member[0]);
  const low = mixWord(stripeLow ^ member[1] ^ high);
  // 52 bits and a half, so that it is never 0 or 1.
  return (high * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52;
}

/** The finalizer of MurmurHash3 (fmix32): each bit of the input flips each bit of the output with probability 1/2. */
export function mixWord(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
