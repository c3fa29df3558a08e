import type { StripeId } from '../../core/model.ts';

export const stripeIdBytes = 16;

/** @throws RangeError for what is no stripe id */
export function encodeStripeId(id: StripeId): Buffer {
  const bytes = Buffer.from(id, 'hex');
  if (bytes.length !== stripeIdBytes || id.length !== 2 * stripeIdBytes) throw new RangeError(`no stripe id: ${id}`);
  return bytes;
}

export function decodeStripeId(bytes: Buffer): StripeId {
  return bytes.toString('hex') as StripeId;
}
