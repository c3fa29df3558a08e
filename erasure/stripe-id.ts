import { randomBytes } from 'node:crypto';
import type { StripeId } from '../core/model.ts';

const maxTimeMs = 2 ** 48 - 1;

/**
 * A new stripe id: 48 bits of time, then 80 random bits, so that ids made later sort later and rows of the metadata
 * store are appended rather than scattered (the layout of a ULID, https://github.com/ulid/spec).
 *
 * @throws RangeError for a time outside 1970 to 10889
 */
export function createStripeId(nowMs: number): StripeId {
  const timeMs = Math.floor(nowMs);
  if (!(timeMs >= 0 && timeMs <= maxTimeMs)) throw new RangeError(`no stripe id for the time ${nowMs}`);
  return (timeMs.toString(16).padStart(12, '0') + randomBytes(10).toString('hex')) as StripeId;
}

/** When a stripe id was made: milliseconds since 1970. */
export function stripeTimeMs(id: StripeId): number {
  return Number.parseInt(id.slice(0, 12), 16);
}
