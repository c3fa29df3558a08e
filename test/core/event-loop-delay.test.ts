import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Registry } from 'prom-client';
import { EventLoopDelay } from '../../core/event-loop-delay.ts';
import { pollUntil } from '../harness/poll-until.ts';

function observe() {
  const registry = new Registry();
  const delay = new EventLoopDelay({ registry });
  const read = async (name: string): Promise<number> => {
    const text = await registry.metrics();
    const line = text.split('\n').find((one) => one.startsWith(`holdfast_event_loop_delay_${name} `));
    return Number(line?.slice(line.indexOf(' ') + 1));
  };
  return { delay, read };
}

describe('the delay of the event loop', () => {
  it('is counted as it is felt at each moment of a long delay', async () => {
    const { delay, read } = observe();
    delay.record(95);
    // 95, 85, 75 and so on to 5.
    assert.equal(await read('seconds_count'), 10);
    assert.ok(Math.abs((await read('seconds_sum')) - 0.5) < 1e-9);
    assert.equal(await read('seconds_bucket{le="0.05"}'), 5);
  });

  it('is nothing where a look came early', async () => {
    const { delay, read } = observe();
    delay.record(-0.5);
    assert.equal(await read('seconds_count'), 1);
    assert.equal(await read('seconds_sum'), 0);
  });

  it('does not count for hours what happened while the process was stopped', async () => {
    const { delay, read } = observe();
    delay.record(3_600_000);
    assert.equal(await read('seconds_count'), 1000);
  });

  it('has its maximum since the metrics were last read', async () => {
    const { delay, read } = observe();
    delay.record(30);
    delay.record(20);
    assert.equal(await read('max_seconds'), 0.03);
    delay.record(7);
    assert.equal(await read('max_seconds'), 0.007);
  });

  it('is seen where the loop was busy', async () => {
    const { delay, read } = observe();
    delay.start();
    await pollUntil('a look', async () => (await read('seconds_count')) > 0);
    const busyUntilMs = performance.now() + 60;
    while (performance.now() < busyUntilMs);
    await pollUntil('a delay', async () => (await read('max_seconds')) >= 0.045);
  });
});
