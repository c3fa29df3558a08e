import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CallPace } from '../../placement/call-pace.ts';
import { LatencyHistogram } from '../../placement/latency-histogram.ts';

describe('a latency histogram', () => {
  it('tells a quantile within a fifth, of any latencies', () => {
    const latency = fc.double({ min: 0.1, max: 60_000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(latency, { minLength: 1, maxLength: 400 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (all, share) => {
          const histogram = new LatencyHistogram();
          for (const ms of all) histogram.add(ms);
          const sorted = all.toSorted((a, b) => a - b);
          const exact = sorted[Math.min(Math.ceil(share * all.length), all.length) - 1] ?? sorted[0]!;
          const told = histogram.quantile(share);
          // Where the share falls between two, either will do.
          const next = sorted[Math.min(Math.ceil(share * all.length), all.length - 1)]!;
          assert.ok(told >= exact * 0.99 && told <= next * 1.2, `${told} for ${exact} to ${next}`);
        },
      ),
    );
  });

  it('forgets: a few hundred calls later, what was is gone', () => {
    const histogram = new LatencyHistogram();
    for (let call = 0; call < 10_000; call++) histogram.add(100);
    for (let call = 0; call < 3_000; call++) histogram.add(1);
    assert.ok(histogram.quantile(0.95) < 2);
  });

  it('takes what is shorter or longer than it can tell', () => {
    const histogram = new LatencyHistogram();
    assert.equal(histogram.quantile(0.5), 0);
    for (const ms of [0, 1e-9, 1e12]) histogram.add(ms);
    assert.ok(histogram.quantile(0.3) < 0.1);
    assert.ok(histogram.quantile(0.9) > 60_000);
  });
});

const peersMs = 5;

function setUp() {
  const clock = { nowMs: 1_000_000, now: () => clock.nowMs };
  const pace = new CallPace('read-small', clock);
  const finish = (ms: number, calls = 1): void => {
    for (let call = 0; call < calls; call++) {
      clock.nowMs += 5;
      pace.finish(ms, peersMs);
    }
  };
  const late = (ms: number): void => {
    clock.nowMs += 5;
    pace.late(ms, peersMs);
  };
  return { clock, pace, finish, late };
}

describe('the pace of a provider', () => {
  it('is not known before there were some calls', () => {
    const { pace, finish } = setUp();
    finish(50, 7);
    assert.deepEqual([pace.typicalMs, pace.quantileMs(0.95), pace.isSlow], [undefined, undefined, false]);
    finish(50, 13);
    assert.ok(Math.abs(pace.typicalMs! - 50) < 1 && pace.quantileMs(0.95)! >= 50);
  });

  it('is slow soon after its calls take ten times as long as those of its peers', () => {
    const { pace, finish } = setUp();
    finish(5, 1000);
    let calls = 0;
    for (; !pace.isSlow; calls++) finish(50);
    assert.ok(calls > 1 && calls < 8, `after ${calls} calls`);
  });

  it('is slow soon after its calls are given up as late, however long they would have taken', () => {
    const { pace, finish, late } = setUp();
    finish(5, 1000);
    let calls = 0;
    for (; !pace.isSlow && calls < 100; calls++) late(10);
    assert.ok(calls > 1 && calls < 20, `after ${calls} calls`);
  });

  it('is not slow for one call that took very long, nor for a difference too small to matter', () => {
    const { pace, finish } = setUp();
    finish(5, 100);
    finish(100);
    assert.equal(pace.isSlow, false);
    const quick = new CallPace('read-small', { now: () => 5 * calls });
    let calls = 0;
    for (; calls < 100; calls++) quick.finish(1, 0.2);
    assert.ok(quick.typicalMs! > 0.9);
    assert.equal(quick.isSlow, false);
  });

  it('is not slow for many calls that seem to have taken long since this process was busy', () => {
    const { pace, finish } = setUp();
    finish(5, 100);
    for (let call = 0; call < 100; call++) pace.finish(100, peersMs);
    assert.equal(pace.isSlow, false);
  });

  it('is not slow while there are no peers to compare with', () => {
    const { clock, pace } = setUp();
    for (let call = 0; call < 100; call++) {
      clock.nowMs += 5;
      pace.finish(5_000, undefined);
    }
    assert.equal(pace.isSlow, false);
  });

  it('is left alone for a while, then tried, and well again when the trial is quick', () => {
    const { clock, pace, finish } = setUp();
    finish(50, 10);
    assert.deepEqual([pace.isSlow, pace.isOnTrial], [true, false]);
    clock.nowMs += 1_000;
    assert.deepEqual([pace.isSlow, pace.isOnTrial], [true, true]);
    finish(6);
    assert.equal(pace.isSlow, false);
    finish(6, 3);
    assert.equal(pace.isSlow, false);
  });

  it('is left alone for longer after each trial that is slow or late, up to a bound', () => {
    const { clock, pace, finish, late } = setUp();
    finish(50, 10);
    const rests: number[] = [];
    for (let trial = 0; trial < 8; trial++) {
      const startMs = clock.nowMs;
      while (!pace.isOnTrial) clock.nowMs += 500;
      rests.push(clock.nowMs - startMs);
      if (trial % 2 === 0) finish(50);
      else late(20);
    }
    assert.deepEqual(
      rests,
      [1, 2, 4, 8, 16, 30, 30, 30].map((s) => s * 1000),
    );
  });
});
