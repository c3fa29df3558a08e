import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createDataKey } from '../../crypto/data-key.ts';
import { measureRun, openPackages } from '../../crypto/open-packages.ts';
import { layOutAt, leadOfNext, sealInPlace } from '../../crypto/seal-in-place.ts';
import { packageBytes, sealedBytes, sealWhole, tagBytes } from '../../crypto/sealed-stream.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const lengths = fc.oneof(
  fc.integer({ min: 1, max: 3 * packageBytes + 5 }),
  fc.constantFrom(1, packageBytes - 1, packageBytes, packageBytes + 1, 2 * packageBytes),
);
/** Pieces that end in the middle of a package, of a tag, and at its ends. */
const cuts = fc
  .array(
    fc.oneof(
      fc.integer({ min: 1, max: 200_000 }),
      fc.constantFrom(packageBytes, packageBytes + 1, packageBytes + 15, packageBytes + tagBytes, 7, 16),
    ),
    { maxLength: 6 },
  )
  // What precedes a piece in its package is sealed for each anew: many short ones would take long.
  .map((cut) => [...cut, 100_000]);

/** Lays plain bytes out in pieces, and seals each by itself, the last one first. */
function sealByPieces(dataKey: ReturnType<typeof createDataKey>, plain: Uint8Array, cut: readonly number[]): Buffer {
  const streamBytes = plain.length;
  const whole = Buffer.alloc(sealedBytes(streamBytes), 0xee);
  let taken = 0;
  for (let place = 0; place < whole.length; ) {
    const { plain: room, gap } = layOutAt(streamBytes, place);
    assert.ok(room === 0 || gap === 0);
    assert.ok(room + gap > 0, 'the end comes too early');
    if (room > 0) whole.set(plain.subarray(taken, taken + room), place);
    taken += room;
    place += room + gap;
  }
  assert.equal(taken, streamBytes);
  assert.deepEqual(layOutAt(streamBytes, whole.length), { plain: 0, gap: 0 });
  const pieces = [];
  let lead: Uint8Array = new Uint8Array(0);
  for (let from = 0, turn = 0; from < whole.length; turn++) {
    const bytes = whole.subarray(from, from + cut[turn % cut.length]!);
    const piece = { dataKey, streamBytes, from, lead };
    pieces.push({ piece, bytes });
    lead = leadOfNext(piece, bytes);
    from += bytes.length;
  }
  for (const { piece, bytes } of pieces.reverse()) sealInPlace(piece, bytes);
  return whole;
}

describe('a stream that is sealed where it lies', () => {
  it('is what it is when it is sealed as a whole, however it was cut, in whatever order', () => {
    fc.assert(
      fc.property(lengths, cuts, (streamBytes, cut) => {
        const dataKey = createDataKey();
        const plain = patternBytes(streamBytes);
        const expected = Buffer.alloc(sealedBytes(streamBytes));
        sealWhole(dataKey, plain, expected);
        assert.ok(sealByPieces(dataKey, plain, cut).equals(expected));
      }),
      { numRuns: 40 },
    );
  });

  it('does not go on behind its end', () => {
    const piece = { dataKey: createDataKey(), streamBytes: 10, from: 0, lead: new Uint8Array(0) };
    const longest = sealedBytes(10);
    assert.throws(() => sealInPlace({ ...piece, from: packageBytes + tagBytes }, Buffer.alloc(4)), RangeError);
    assert.doesNotThrow(() => sealInPlace(piece, Buffer.alloc(longest)));
  });
});

describe('a run of packages', () => {
  it('opens as far as its packages are whole, however its bytes are cut', () => {
    fc.assert(
      fc.property(lengths, cuts, fc.integer({ min: 0, max: 3 }), fc.nat(), (streamBytes, cut, skip, missing) => {
        const dataKey = createDataKey();
        const plain = patternBytes(streamBytes);
        const sealed = Buffer.alloc(sealedBytes(streamBytes));
        sealWhole(dataKey, plain, sealed);
        const first = Math.min(skip, Math.ceil(streamBytes / packageBytes) - 1);
        const held = sealed.subarray(first * (packageBytes + tagBytes));
        const kept = held.subarray(0, held.length - (missing % held.length));
        const pieces: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < kept.length; turn++) {
          pieces.push(kept.subarray(at, at + cut[turn % cut.length]!));
          at += cut[turn % cut.length]!;
        }
        const run = { dataKey, streamBytes, first, pieces };
        const measured = measureRun(run, kept.length);
        const target = Buffer.alloc(measured.plainBytes);
        assert.deepEqual(openPackages(run, target), { ...measured, corrupt: undefined });
        const start = first * packageBytes;
        assert.ok(target.equals(plain.subarray(start, start + measured.plainBytes)));
        const isWhole = kept.length === held.length;
        assert.equal(measured.sealedBytes === held.length, isWhole);
      }),
      { numRuns: 40 },
    );
  });

  it('names the package that was changed, and opens those before it', () => {
    const dataKey = createDataKey();
    const plain = patternBytes(3 * packageBytes);
    const sealed = Buffer.alloc(sealedBytes(plain.length));
    sealWhole(dataKey, plain, sealed);
    for (const place of [0, packageBytes - 1, packageBytes, packageBytes + tagBytes - 1]) {
      const changed = Buffer.from(sealed);
      changed[packageBytes + tagBytes + place]! ^= 1;
      const target = Buffer.alloc(plain.length);
      const opened = openPackages({ dataKey, streamBytes: plain.length, first: 0, pieces: [changed] }, target);
      assert.deepEqual(opened, {
        packages: 1,
        plainBytes: packageBytes,
        sealedBytes: packageBytes + tagBytes,
        corrupt: 1,
      });
      assert.ok(target.subarray(0, packageBytes).equals(plain.subarray(0, packageBytes)));
    }
  });
});
