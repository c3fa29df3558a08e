import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { completeRow, findWrongParity, padBlock } from '../../erasure/check-row.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const codec = await createPackageCodec();

function encode(k: number, m: number, seed: number): Uint8Array[] {
  const data = Array.from({ length: k }, (_, at) => patternBytes(64, `${seed} ${at}`));
  const parity = Array.from({ length: m }, () => new Uint8Array(64));
  if (m > 0) codec.encode(data, parity);
  return [...data, ...parity];
}

const shapes = fc.constantFrom<[number, number][]>([4, 2], [2, 1], [3, 4], [1, 2], [5, 3]);

describe('a row of blocks', () => {
  it('is one code word until a block is changed, of which all parity tells that depends on it', () => {
    const places = fc.tuple(shapes, fc.nat(), fc.nat(), fc.nat(63), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(places, ([[k, m], seed, at, byte, change]) => {
        const blocks = encode(k, m, seed);
        assert.deepEqual(findWrongParity(codec, blocks, { k, m }), []);
        const index = at % (k + m);
        blocks[index]![byte]! ^= change;
        const all = Array.from({ length: m }, (_, parity) => k + parity);
        assert.deepEqual(findWrongParity(codec, blocks, { k, m }), index < k ? all : [index]);
      }),
      { numRuns: 100 },
    );
  });

  it('has no wrong parity where it has none', () => {
    assert.deepEqual(findWrongParity(codec, encode(2, 0, 1), { k: 2, m: 0 }), []);
  });

  it('is completed where the blocks at hand go together, and only there', () => {
    fc.assert(
      fc.property(shapes, fc.nat(), fc.infiniteStream(fc.nat()), ([k, m], seed, choices) => {
        const right = encode(k, m, seed);
        const missing = new Set<number>();
        const count = choices.next().value! % (m + 1);
        while (missing.size < count) missing.add(choices.next().value! % (k + m));
        const blocks = right.map((block, index) => (missing.has(index) ? undefined : Uint8Array.from(block)));
        const wanted = [...missing];
        assert.deepEqual(
          completeRow(codec, blocks, k, wanted)?.map((block) => Buffer.from(block)),
          wanted.map((index) => Buffer.from(right[index]!)),
        );
        if (count === m) return;
        const present = blocks.filter((block) => block !== undefined);
        present[choices.next().value! % present.length]![choices.next().value! % 64]! ^= 1;
        assert.equal(completeRow(codec, blocks, k, wanted), undefined);
      }),
      { numRuns: 100 },
    );
  });

  it('counts what is not stored as zeros', () => {
    const block = Uint8Array.of(1, 2);
    assert.equal(padBlock(block, 2), block);
    assert.deepEqual(padBlock(block, 4), Uint8Array.of(1, 2, 0, 0));
  });
});
