import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { countStripes, planStripe } from '../../engine/stripe-plan.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const profile = { k: 4 };

/** The stripes of an object of known length. */
function planAll(k: number, sizeBytes: number): { dataBytes: number; blockBytes: number }[] {
  const plans = [];
  for (let writtenBytes = 0; writtenBytes < sizeBytes; ) {
    const plan = planStripe({ k }, { sizeBytes, writtenBytes });
    plans.push(plan);
    writtenBytes += plan.dataBytes;
  }
  return plans;
}

describe('the plan of stripes', () => {
  it('keeps small objects in one block', () => {
    for (const sizeBytes of [1, 4096, 4097, 20 * KiB]) {
      const [plan, ...others] = planAll(4, sizeBytes);
      assert.equal(others.length, 0);
      assert.ok(plan!.blockBytes >= sizeBytes && plan!.blockBytes < sizeBytes + 4096);
    }
  });

  it('fills rows evenly', () => {
    assert.deepEqual(planAll(4, MiB), [{ dataBytes: MiB, blockBytes: 256 * KiB }]);
    assert.deepEqual(planAll(4, MiB + 1), [{ dataBytes: MiB + 1, blockBytes: 260 * KiB }], 'one row, by longer blocks');
    const longBytes = 4 * 272 * KiB;
    assert.deepEqual(planAll(4, longBytes), [{ dataBytes: longBytes, blockBytes: 272 * KiB }]);
    assert.deepEqual(planAll(4, longBytes + 1), [{ dataBytes: longBytes + 1, blockBytes: 140 * KiB }]);
    assert.deepEqual(planAll(4, 20 * KiB + 1), [{ dataBytes: 20 * KiB + 1, blockBytes: 8 * KiB }]);
  });

  it('lets stripes grow with the object', () => {
    const count = (sizeBytes: number): number => planAll(4, sizeBytes).length;
    assert.equal(count(16 * MiB), 1);
    assert.equal(count(16 * MiB + 1), 2);
    assert.equal(count(64 * MiB), 4);
    assert.equal(count(512 * MiB), 4);
    assert.equal(count(GiB), 8);
    assert.equal(count(5 * GiB), 40);
    const largestPart = Math.ceil((5 * 1024 * GiB) / 10_000);
    assert.equal(count(largestPart) * 10_000, 50_000, 'so many has an object of 5 TiB');
  });

  it('lets stripes of an unknown length grow as it goes', () => {
    const plan = (writtenBytes: number): number =>
      planStripe(profile, { sizeBytes: undefined, writtenBytes }).dataBytes;
    assert.equal(plan(0), 16 * MiB);
    assert.equal(plan(64 * MiB), 16 * MiB);
    assert.equal(plan(256 * MiB), 64 * MiB);
    assert.equal(plan(4 * GiB), 128 * MiB);
  });

  it('holds for every length and profile', () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 5 * GiB }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 }), size, (k, sizeBytes) => {
        const plans = planAll(k, sizeBytes);
        assert.equal(
          plans.reduce((sum, plan) => sum + plan.dataBytes, 0),
          sizeBytes,
        );
        for (const [at, { dataBytes, blockBytes }] of plans.entries()) {
          assert.ok(blockBytes % 4096 === 0 && blockBytes >= 4096 && blockBytes <= 272 * KiB);
          if (blockBytes > 256 * KiB) assert.ok(dataBytes <= k * blockBytes, 'one row');
          assert.ok(dataBytes <= 128 * MiB + k * 256 * KiB);
          if (at < plans.length - 1) assert.equal(dataBytes % (k * blockBytes), 0, 'only the last row may be short');
        }
      }),
    );
  });

  it('says beforehand how many stripes there will be', () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 5 * GiB }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 }), size, (k, sizeBytes) => {
        assert.equal(countStripes({ k }, sizeBytes), planAll(k, sizeBytes).length);
      }),
    );
    assert.equal(countStripes({ k: 4 }, 0), 0);
  });
});
