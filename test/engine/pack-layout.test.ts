import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { layOutPack } from '../../engine/pack-layout.ts';
import { maxBlockBytes } from '../../erasure/geometry.ts';

const KiB = 1024;
const maxItemBytes = 129 * KiB;
const maxManifestBytes = 96 * KiB;

const anyItems = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 6 * KiB }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: maxItemBytes }) },
  ),
  { minLength: 1, maxLength: 60 },
);
const anyK = fc.integer({ min: 1, max: 20 });
const anyManifest = fc.integer({ min: 100, max: maxManifestBytes });

function loadsOf(
  blocks: readonly (readonly number[])[],
  itemBytes: readonly number[],
  manifestBytes: number,
): number[] {
  return blocks.map(
    (block, at) =>
      block.reduce((sum, item) => sum + itemBytes[item]!, 0) + (at === blocks.length - 1 ? manifestBytes : 0),
  );
}

describe('the layout of a pack', () => {
  it('has each item whole in one block or leaves it, and no block is too long', () => {
    fc.assert(
      fc.property(anyItems, anyK, anyManifest, (itemBytes, k, manifestBytes) => {
        const { blocks, left } = layOutPack(itemBytes, k, manifestBytes);
        const placed = [...blocks.flat(), ...left].sort((a, b) => a - b);
        assert.deepEqual(placed, [...itemBytes.keys()], 'none twice, none lost');
        assert.ok(blocks.length >= 1 && blocks.length <= k);
        for (const load of loadsOf(blocks, itemBytes, manifestBytes)) assert.ok(load <= maxBlockBytes);
        assert.deepEqual(
          left,
          [...left].sort((a, b) => a - b),
          'those that are left keep their order',
        );
      }),
    );
  });

  it('takes at least one item, however long', () => {
    fc.assert(
      fc.property(anyItems, anyK, anyManifest, (itemBytes, k, manifestBytes) => {
        assert.ok(layOutPack(itemBytes, k, manifestBytes).blocks.flat().length > 0);
      }),
    );
  });

  it('leaves nothing where there is room enough', () => {
    fc.assert(
      fc.property(anyItems, anyK, anyManifest, (itemBytes, k, manifestBytes) => {
        const bytes = itemBytes.reduce((sum, each) => sum + each, manifestBytes);
        const { left } = layOutPack(itemBytes, k, manifestBytes);
        if (left.length === 0) return;
        assert.ok(bytes + (k - 1) * maxItemBytes > k * maxBlockBytes, `${left.length} of ${itemBytes.length} left`);
      }),
    );
  });

  it('has no gap: an empty block would be written for nothing', () => {
    fc.assert(
      fc.property(anyItems, anyK, anyManifest, (itemBytes, k, manifestBytes) => {
        const { blocks } = layOutPack(itemBytes, k, manifestBytes);
        for (const block of blocks.slice(0, -1)) assert.ok(block.length > 0);
      }),
    );
  });

  it('loads blocks evenly: the fullest has no more than the mean and one item', () => {
    fc.assert(
      fc.property(anyItems, anyK, anyManifest, (itemBytes, k, manifestBytes) => {
        const { blocks, left } = layOutPack(itemBytes, k, manifestBytes);
        const loads = loadsOf(blocks, itemBytes, manifestBytes);
        const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
        const longest = Math.max(...itemBytes.filter((_, item) => !left.includes(item)), manifestBytes);
        assert.ok(Math.max(...loads) <= mean + longest);
      }),
    );
  });

  it('uses one block for few bytes, and all of them for many', () => {
    assert.deepEqual(layOutPack([4096], 4, 300), { blocks: [[0]], left: [] });
    assert.equal(layOutPack([4096, 4096, 4096], 4, 900).blocks.length, 1);
    assert.equal(layOutPack(new Array(8).fill(4096), 4, 2400).blocks.length, 3);
    assert.equal(layOutPack(new Array(100).fill(4096), 4, 30_000).blocks.length, 4);
  });

  it('uses no more blocks than its longest item pays for, since all become as long as the fullest', () => {
    assert.deepEqual(layOutPack([100 * KiB], 4, 300), { blocks: [[0]], left: [] });
    assert.deepEqual(layOutPack([128 * KiB, 1024], 4, 600), { blocks: [[0, 1]], left: [] });
    assert.equal(layOutPack([128 * KiB, 64 * KiB], 4, 600).blocks.length, 2);
    assert.equal(layOutPack([128 * KiB, 127 * KiB], 4, 600).blocks.length, 2);
  });
});
