import type { Profile } from '../core/model.ts';
import { blockAlignBytes, maxBlockBytes, maxSingleBlockBytes } from '../erasure/geometry.ts';

const MiB = 2 ** 20;
/** Stripes of up to so much data have one data block, so that a read asks one provider. */
const singleBlockBytes = 20 * 1024;
const minStripeBytes = 16 * MiB;
const maxStripeBytes = 128 * MiB;
/** A long object is cut into about so many stripes until they reach `maxStripeBytes`. */
const stripesPerObject = 4;

export interface StripePlan {
  /** The most data that the stripe takes; it is closed there, or before, where the object ends. */
  readonly dataBytes: number;
  readonly blockBytes: number;
}

/**
 * How the next stripe of an object or part is cut that has stripes of its own. Lengths are those of the sealed bytes with the
 * manifest.
 *
 * - Stripes hold a quarter of it, but at least 16 and at most 128 MiB, in whole rows, and equally much each. So a read
 *   or a repair deals in pieces of a bounded size, and the 5 TiB of an object in 10,000 parts are 50,000 stripes.
 * - A stripe's blocks are the shortest multiple of 4 KiB with which its data fills rows of blocks up to 256 KiB evenly; up to
 *   272 KiB where that makes it one row.
 * - A length that is not known counts as that of what came so far, and blocks are then of full length.
 *
 * @param object its declared length, and how much of it lies in earlier stripes
 */
export function planStripe(
  { k }: Pick<Profile, 'k'>,
  object: { readonly sizeBytes: number | undefined; readonly writtenBytes: number },
): StripePlan {
  const fullRowBytes = k * maxBlockBytes;
  const sizeBytes = object.sizeBytes ?? object.writtenBytes;
  const wishedBytes = Math.min(Math.max(sizeBytes / stripesPerObject, minStripeBytes), maxStripeBytes);
  if (object.sizeBytes === undefined) {
    return { dataBytes: roundUp(wishedBytes, fullRowBytes), blockBytes: maxBlockBytes };
  }
  const stripes = Math.max(1, Math.ceil(sizeBytes / wishedBytes));
  const leftBytes = sizeBytes - object.writtenBytes;
  const dataBytes = stripes === 1 ? leftBytes : Math.min(leftBytes, roundUp(sizeBytes / stripes, fullRowBytes));
  return { dataBytes, blockBytes: planBlock(k, dataBytes) };
}

function planBlock(k: number, stripeBytes: number): number {
  if (stripeBytes <= singleBlockBytes) return Math.max(blockAlignBytes, roundUp(stripeBytes, blockAlignBytes));
  const rows = stripeBytes <= k * maxSingleBlockBytes ? 1 : Math.ceil(stripeBytes / (k * maxBlockBytes));
  return roundUp(stripeBytes / (rows * k), blockAlignBytes);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** How many stripes `planStripe` will come to. */
export function countStripes({ k }: Pick<Profile, 'k'>, sizeBytes: number): number {
  if (sizeBytes === 0) return 0;
  return Math.ceil(sizeBytes / planStripe({ k }, { sizeBytes, writtenBytes: 0 }).dataBytes);
}
