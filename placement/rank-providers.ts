import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import type { StripeId } from '../core/model.ts';
import type { Provider } from './providers/provider.ts';

/** A provider and how much of the new data it should take. */
export interface FleetMember {
  readonly provider: Provider;
  /** Share of new data that it should take, relative to the others; above 0. */
  readonly weight: number;
}

/** Two words of a hash: enough for a score, and XOR of two of them is cheap. */
type HashWords = readonly [high: number, low: number];

/** Memo of a pure function: a provider's id is hashed once, not once a stripe. */
const providerHashes = new WeakMap<Provider, HashWords>();

/**
 * Orders the members for a stripe, best first, by weighted rendezvous hashing: every member gets a score that depends
 * on the stripe, on its own id and weight, and on nothing else. So whoever ranks gets the same order, each member
 * comes first for its share of the stripes, and one that joins or leaves moves only what it gains or loses.
 *
 * Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1),
 * 1998; the score -weight / ln(u) for weights: Resch, "New hashing algorithms for data storage", SNIA SDC 2015.
 *
 * @throws RangeError for a weight that is not above 0
 */
export function rankProviders(stripeId: StripeId, members: readonly FleetMember[]): FleetMember[] {
  const stripe = hashWords(stripeId);
  const scored = members.map((member) => ({ member, score: scoreMember(stripe, member) }));
  scored.sort((a, b) => b.score - a.score || (a.member.provider.id < b.member.provider.id ? -1 : 1));
  return scored.map((entry) => entry.member);
}

function scoreMember([stripeHigh, stripeLow]: HashWords, { provider, weight }: FleetMember): number {
  if (!(weight > 0)) throw new RangeError(`provider ${provider.id} has the weight ${weight}`);
  let words = providerHashes.get(provider);
  if (words === undefined) {
    words = hashWords(provider.id);
    providerHashes.set(provider, words);
  }
  const high = mixWord(stripeHigh ^ words[0]);
  const low = mixWord(stripeLow ^ words[1] ^ high);
  // 52 bits and a half, so that u is never 0 or 1 and ln(u) is finite and not 0.
  const u = (high * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52;
  return -weight / Math.log(u);
}

function hashWords(text: string): HashWords {
  const digest = sha256(utf8ToBytes(text));
  const view = new DataView(digest.buffer, digest.byteOffset);
  return [view.getUint32(0), view.getUint32(4)];
}

/** The finalizer of MurmurHash3 (fmix32): each bit of the input flips each bit of the output with probability 1/2. */
function mixWord(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
