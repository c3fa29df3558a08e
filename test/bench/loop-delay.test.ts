import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseLoopDelay } from '../../bench/loop-delay.ts';
import { EventLoopDelay } from '../../core/event-loop-delay.ts';
import { Metrics } from '../../core/metrics.ts';

function observe() {
  const { registry } = new Metrics();
  const delay = new EventLoopDelay({ registry });
  return { delay, look: async () => parseLoopDelay(await registry.metrics()) };
}

describe('the delay of a loop, as the bench reads it', () => {
  it('has quantiles of what came between two looks', async () => {
    const { delay, look } = observe();
    for (let n = 0; n < 50; n++) delay.record(400);
    const before = await look();
    for (let n = 0; n < 98; n++) delay.record(0.5);
    delay.record(6);
    delay.record(6);
    const between = (await look()).subtract(before);
    assert.ok(between.quantileMs(0.5) <= 1);
    assert.ok(between.quantileMs(0.99) > 5 && between.quantileMs(0.99) <= 6);
    assert.equal(between.maxMs, 6);
  });

  it('is that of several stretches together', async () => {
    const { delay, look } = observe();
    delay.record(2);
    const first = await look();
    delay.record(8);
    const both = first.add((await look()).subtract(first));
    assert.equal(both.maxMs, 8);
    assert.ok(both.quantileMs(0.4) <= 2 && both.quantileMs(0.6) > 5);
  });

  it('is unknown where nothing was seen', () => {
    assert.ok(Number.isNaN(parseLoopDelay('').quantileMs(0.99)));
  });
});
