import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeTrend, fitTrend, quantile, summarize } from '../../bench/statistics.ts';

describe('statistics of the bench', () => {
  it('have the middle of measurements in any order, and how far they lay apart', () => {
    assert.deepEqual(summarize([5, 1, 9]), { median: 5, min: 1, max: 9 });
    assert.deepEqual(summarize([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 });
    assert.throws(() => summarize([]), RangeError);
  });

  it('interpolate quantiles', () => {
    assert.equal(quantile([0, 10], 0.25), 2.5);
    assert.equal(quantile([1, 2, 3], 1), 3);
  });

  it('tell a rise from what stays flat', () => {
    assert.deepEqual(fitTrend([1, 2, 3]), { mean: 2, rise: 1 });
    assert.equal(fitTrend([2, 2, 2]).rise, 0);
    assert.match(describeTrend('p99', [10, 11, 10], 0.25), /stayed flat/);
    assert.match(describeTrend('p99', [10, 20, 30], 0.25), /ROSE/);
  });
});
