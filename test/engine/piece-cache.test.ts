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
    assert.equal(cache.find(extent(1))?.bytes[0], 1);
    cache.keep(extent(5), new Uint8Array(KiB));
    assert.equal(cache.find(extent(2)), undefined);
    assert.equal(cache.find(extent(1))?.bytes[0], 1);
  });

  it('tells the first package of an object from the whole object', () => {
    const cache = new PieceCache({ maxBytes: 256 * KiB });
    cache.keep(extent(1, 64 * KiB + 16), new Uint8Array(64 * KiB));
    assert.equal(cache.find(extent(1, 100 * KiB + 32)), undefined);
    assert.equal(cache.find(extent(1, 64 * KiB + 16))?.bytes.length, 64 * KiB);
  });

  describe('gives back the memory of a piece', () => {
    const sizeBytes = 32 * KiB;
    const kept = (maxBytes: number) => {
      const cache = new PieceCache({ maxBytes });
      return { cache, piece: cache.keep(extent(1, sizeBytes), new Uint8Array(sizeBytes)) };
    };

    it('at once where there is no cache', () => {
      const { piece } = kept(0);
      assert.equal(piece.bytes.length, sizeBytes);
      piece.leave();
      assert.equal(piece.bytes.length, 0);
    });

    it('when it has gone from the cache and nobody uses it any more', () => {
      const { cache, piece } = kept(40 * KiB);
      piece.leave();
      assert.equal(piece.bytes.length, sizeBytes);
      const again = cache.find(extent(1, sizeBytes));
      assert.equal(again, piece);
      cache.keep(extent(2, sizeBytes), new Uint8Array(sizeBytes)).leave();
      assert.equal(piece.bytes.length, sizeBytes, 'it is in use');
      again?.leave();
      assert.equal(piece.bytes.length, 0);
    });

    it('never where the kernel may still read it', () => {
      const { cache, piece } = kept(40 * KiB);
      cache.find(extent(1, sizeBytes))?.leave(false);
      piece.leave();
      cache.keep(extent(2, sizeBytes), new Uint8Array(sizeBytes)).leave();
      assert.equal(piece.bytes.length, sizeBytes);
    });
  });

  it('keeps nothing where it has no memory', () => {
    const cache = new PieceCache({ maxBytes: 0 });
    cache.keep(extent(1), new Uint8Array(KiB));
    assert.equal(cache.find(extent(1)), undefined);
  });
});
