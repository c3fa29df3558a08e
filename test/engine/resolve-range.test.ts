import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent, StripeId } from '../../core/model.ts';
import { cutExtents } from '../../engine/cut-extents.ts';
import { resolveRange } from '../../engine/resolve-range.ts';
import { failure } from './engine-harness.ts';

describe('a range', () => {
  it('is cut at the end of the object', () => {
    assert.deepEqual(resolveRange({ kind: 'from', first: 0, last: 0 }, 10), { offset: 0, length: 1 });
    assert.deepEqual(resolveRange({ kind: 'from', first: 3, last: 99 }, 10), { offset: 3, length: 7 });
    assert.deepEqual(resolveRange({ kind: 'from', first: 9 }, 10), { offset: 9, length: 1 });
    assert.deepEqual(resolveRange({ kind: 'suffix', length: 4 }, 10), { offset: 6, length: 4 });
    assert.deepEqual(resolveRange({ kind: 'suffix', length: 11 }, 10), { offset: 0, length: 10 });
  });

  it('that begins beyond the object, or is of nothing, cannot be satisfied', () => {
    const from = (first: number, sizeBytes: number) => () => resolveRange({ kind: 'from', first }, sizeBytes);
    assert.throws(from(10, 10), failure('range-not-satisfiable', { sizeBytes: 10, range: 'bytes=10-' }));
    assert.throws(from(0, 0), failure('range-not-satisfiable', { sizeBytes: 0, range: 'bytes=0-' }));
    const suffix = (length: number, sizeBytes: number) => () => resolveRange({ kind: 'suffix', length }, sizeBytes);
    assert.throws(suffix(0, 10), failure('range-not-satisfiable', { range: 'bytes=-0' }));
    assert.throws(suffix(5, 0), failure('range-not-satisfiable', { range: 'bytes=-5' }));
  });
});

describe('cutting extents', () => {
  it('gives the same bytes as cutting what they hold', () => {
    const extent = fc.record({
      stripeId: fc.constantFrom('a', 'b'),
      offset: fc.nat(20),
      length: fc.integer({ min: 1, max: 9 }),
    });
    const list = (extents: readonly Extent[]): string[] =>
      extents.flatMap(({ stripeId, offset, length }) => Array.from({ length }, (_, at) => `${stripeId}${offset + at}`));
    fc.assert(
      fc.property(fc.array(extent, { minLength: 1, maxLength: 6 }), fc.nat(60), fc.nat(60), (made, a, b) => {
        const extents = made.map((each) => ({ ...each, stripeId: each.stripeId as StripeId }));
        const all = list(extents);
        const offset = a % (all.length + 1);
        const length = b % (all.length - offset + 1);
        const cut = cutExtents(extents, offset, length);
        assert.deepEqual(list(cut), all.slice(offset, offset + length));
        assert.ok(cut.every((each) => each.length > 0));
        assert.throws(() => cutExtents(extents, offset, all.length - offset + 1), RangeError);
      }),
    );
  });
});
