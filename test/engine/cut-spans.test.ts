import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Extent, SealedSpan, StripeId } from '../../core/model.ts';
import { createDataKey, type DataKey } from '../../crypto/data-key.ts';
import { openPackage, packageBytes, sealedBytes, sealedPackageBytes, sealWhole } from '../../crypto/sealed-stream.ts';
import { cutSpans, packagesOf } from '../../engine/cut-spans.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

/** Sealed streams laid out over stripes in memory, and the plain bytes that their spans mean. */
interface Stored {
  readonly spans: SealedSpan[];
  readonly plain: Uint8Array;
}

const stripes = new Map<StripeId, Uint8Array>();
const keys = new Map<Uint8Array, DataKey>();
let made = 0;

function storeStream(streamBytes: number, extentCount: number): Stored {
  const plain = patternBytes(streamBytes, made);
  const dataKey = createDataKey();
  const sealed = new Uint8Array(sealedBytes(streamBytes));
  sealWhole(dataKey, plain, sealed);
  const wrappedKey = Uint8Array.of(++made & 255, made >> 8);
  keys.set(wrappedKey, dataKey);
  const extents: Extent[] = [];
  const each = Math.ceil(sealed.length / extentCount);
  for (let start = 0; start < sealed.length; start += each) {
    const stripeId = `${made}-${start}` as StripeId;
    const bytes = sealed.subarray(start, start + each);
    // Something else comes first in the stripe.
    const offset = start % 77;
    stripes.set(stripeId, Buffer.concat([Buffer.alloc(offset, 0xaa), bytes, Buffer.alloc(5, 0xbb)]));
    extents.push({ stripeId, offset, length: bytes.length });
  }
  return { spans: [{ wrappedKey, streamBytes, offset: 0, length: streamBytes, extents }], plain };
}

/** Reads spans in the plainest way: all sealed bytes, package by package, and of each what is meant. */
function readPlainly(spans: readonly SealedSpan[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const span of spans) {
    const sealed = Buffer.concat(
      span.extents.map(({ stripeId, offset, length }) => {
        const piece = stripes.get(stripeId)!.subarray(offset, offset + length);
        assert.equal(piece.length, length);
        return piece;
      }),
    );
    const { first, last } = packagesOf(span);
    const opened: Uint8Array[] = [];
    for (let index = first; index <= last; index++) {
      const at = (index - first) * sealedPackageBytes;
      const bytes = sealed.subarray(at, Math.min(at + sealedPackageBytes, sealed.length));
      const plain = openPackage(keys.get(span.wrappedKey)!, span.streamBytes, index, bytes);
      assert.ok(plain, `package ${index} does not open: the extents are not those of its packages`);
      opened.push(plain);
    }
    assert.equal(sealed.length, sealedLength(span, first, last), 'more packages than are meant');
    const start = span.offset - first * packageBytes;
    pieces.push(Buffer.concat(opened).subarray(start, start + span.length));
  }
  return Buffer.concat(pieces);
}

function sealedLength({ streamBytes }: SealedSpan, first: number, last: number): number {
  return Math.min((last + 1) * sealedPackageBytes, sealedBytes(streamBytes)) - first * sealedPackageBytes;
}

const anyStream = fc
  .tuple(
    fc.oneof(
      fc.integer({ min: 1, max: 300 }),
      fc
        .integer({ min: 1, max: 5 })
        .chain((count) => fc.integer({ min: -2, max: 2 }).map((off) => Math.max(1, count * packageBytes + off))),
    ),
    fc.integer({ min: 1, max: 4 }),
  )
  .map(([streamBytes, extentCount]) => ({ streamBytes, extentCount }));
/** Near an edge of a package as often as anywhere. */
const anyPlace = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: -2, max: 2 }), fc.boolean());

function toPosition([share, off, isAtEdge]: [number, number, boolean], bytes: number): number {
  const place = Math.floor(share * bytes);
  const near = isAtEdge ? Math.round(place / packageBytes) * packageBytes + off : place;
  return Math.min(Math.max(near, 0), bytes);
}

describe('cutting spans', () => {
  it('means the slice of the bytes that they mean, also when it was cut before', () => {
    const cuts = fc.array(fc.tuple(anyPlace, anyPlace), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(anyStream, { minLength: 1, maxLength: 3 }), cuts, (streams, places) => {
        stripes.clear();
        const stored = streams.map(({ streamBytes, extentCount }) => storeStream(streamBytes, extentCount));
        let spans = stored.flatMap((each) => each.spans);
        let plain: Uint8Array = Buffer.concat(stored.map((each) => each.plain));
        for (const [a, b] of places) {
          const [one, other] = [toPosition(a, plain.length), toPosition(b, plain.length)];
          const [start, end] = [Math.min(one, other), Math.max(one, other)];
          spans = cutSpans(spans, start, end - start);
          plain = plain.subarray(start, end);
          assert.ok(readPlainly(spans).equals(plain), `${start} to ${end}`);
          assert.equal(
            spans.reduce((sum, { length }) => sum + length, 0),
            plain.length,
          );
          assert.ok(spans.every(({ length }) => length > 0));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('refuses what goes beyond them', () => {
    const { spans } = storeStream(1000, 2);
    assert.deepEqual(cutSpans(spans, 1000, 0), []);
    assert.throws(() => cutSpans(spans, 0, 1001), RangeError);
    assert.throws(() => cutSpans(spans, 1000, 1), RangeError);
    assert.throws(() => cutSpans([], 0, 1), RangeError);
  });
});
