import type { Profile } from '../core/model.ts';
import { blockAlignBytes, maxBlockBytes } from '../erasure/geometry.ts';

const MiB = 2 ** 20;
/** Objects up to this length lie in one block of one data shard, so that a read asks one provider. */
export const smallObjectBytes = 16 * 1024;
const minStripeBytes = 16 * MiB;
const maxStripeBytes = 64 * MiB;
/** A long object is cut into about so many stripes until they reach `maxStripeBytes`. */
const stripesPerObject = 8;

export interface StripePlan {
  /** The most data that the stripe takes; it is closed there, or before, where the object ends. */
  readonly dataBytes: number;
  readonly blockBytes: number;
}

/**
 * How the next stripe of an object is cut.
 *
 * - Stripes hold an eighth of the object, but at least 16 and at most 64 MiB, in whole rows, and equally much each. So a read
 *   or a repair deals in pieces of a bounded size, and the 5 TiB of an object in 10,000 parts are 90,000 stripes.
 * - A stripe's blocks are the shortest multiple of 4 KiB with which its data fills rows of blocks up to 256 KiB evenly.
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
  if (stripeBytes <= smallObjectBytes) return Math.max(blockAlignBytes, roundUp(stripeBytes, blockAlignBytes));
  const rows = Math.ceil(stripeBytes / (k * maxBlockBytes));
  return roundUp(stripeBytes / (rows * k), blockAlignBytes);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
