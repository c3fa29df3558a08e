import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StripeId } from '../../core/model.ts';
import { PieceCache } from '../../engine/piece-cache.ts';

const KiB = 1024;
const extent = (id: number, length = KiB + 16) => ({
  stripeId: `${id}`.padStart(32, '0') as StripeId,
  offset: 0,
  length,
});

describe('the cache of pieces', () => {
  it('lets go of what was used least lately when it is full', () => {
    const cache = new PieceCache({ maxBytes: 4 * 1400 });
    for (let id = 1; id <= 4; id++) cache.keep(extent(id), new Uint8Array(KiB).fill(id));
    assert.equal(cache.find(extent(1))?.[0], 1);
    cache.keep(extent(5), new Uint8Array(KiB));
    assert.equal(cache.find(extent(2)), undefined);
    assert.equal(cache.find(extent(1))?.[0], 1);
  });

  it('tells the first package of an object from the whole object', () => {
    const cache = new PieceCache({ maxBytes: 256 * KiB });
    cache.keep(extent(1, 64 * KiB + 16), new Uint8Array(64 * KiB));
    assert.equal(cache.find(extent(1, 100 * KiB + 32)), undefined);
    assert.equal(cache.find(extent(1, 64 * KiB + 16))?.length, 64 * KiB);
  });

  it('keeps nothing where it has no memory', () => {
    const cache = new PieceCache({ maxBytes: 0 });
    cache.keep(extent(1), new Uint8Array(KiB));
    assert.equal(cache.find(extent(1)), undefined);
  });
});
