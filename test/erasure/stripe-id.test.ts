import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createStripeId } from '../../erasure/stripe-id.ts';

describe('stripe id', () => {
  it('is 32 lower-case hex digits, the time first', () => {
    assert.match(createStripeId(0x0123456789ab), /^0123456789ab[0-9a-f]{20}$/);
    assert.match(createStripeId(1.9), /^000000000001[0-9a-f]{20}$/);
  });

  it('sorts by time and never comes twice', () => {
    assert.ok(createStripeId(1_700_000_000_000) < createStripeId(1_700_000_000_001));
    const ids = new Set(Array.from({ length: 1000 }, () => createStripeId(5)));
    assert.equal(ids.size, 1000);
  });

  it('refuses a time that does not fit', () => {
    for (const nowMs of [-1, 2 ** 48, Number.NaN]) assert.throws(() => createStripeId(nowMs), RangeError);
  });
});
