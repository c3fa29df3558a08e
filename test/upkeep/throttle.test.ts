import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ClientLoad } from '../../engine/upkeep/client-load.ts';
import { Throttle } from '../../engine/upkeep/throttle.ts';
import { ManualTimer } from './manual-timer.ts';

const never = new AbortController().signal;

function createThrottle(bytesPerS: number, operationsPerS: number) {
  const timer = new ManualTimer();
  const load = new ClientLoad(() => timer.now());
  return { timer, load, throttle: new Throttle({ bytesPerS, operationsPerS, load, timer }) };
}

/** Asks for the same again and again. Returns how often it was let go. */
function keepAsking(throttle: Throttle, work: { bytes: number; operations: number }, signal: AbortSignal) {
  const done = { count: 0 };
  void (async () => {
    for (;;) {
      await throttle.take(work, signal);
      done.count += 1;
    }
  })().catch(() => {});
  return done;
}

describe('a throttle', () => {
  it('keeps to its rate of bytes and of calls, whichever is less, with a burst of half a second', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1000, max: 1e8 }),
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0.001, max: 3, noNaN: true }),
        async (bytesPerS, operationsPerS, share) => {
          const { timer, throttle } = createThrottle(bytesPerS, operationsPerS);
          const work = { bytes: Math.ceil(bytesPerS * share), operations: 3 };
          const stop = new AbortController();
          const done = keepAsking(throttle, work, stop.signal);
          await timer.advance(20_000);
          stop.abort();
          const most = Math.min((20.5 * bytesPerS) / work.bytes, (20.5 * operationsPerS) / work.operations) + 1;
          const least = Math.min((20 * bytesPerS) / work.bytes, (20 * operationsPerS) / work.operations) * 0.99 - 1;
          assert.ok(done.count <= most, `${done.count} times, at most ${most}`);
          assert.ok(done.count >= least, `${done.count} times, at least ${least}`);
        },
      ),
      { numRuns: 15 },
    ));

  it('lets a piece go that is larger than what may be taken at once, and makes the next one wait for it', async () => {
    const { timer, throttle } = createThrottle(1000, 1000);
    await throttle.take({ bytes: 10_000, operations: 1 }, never);
    let isDone = false;
    void throttle.take({ bytes: 1, operations: 1 }, never).then(() => {
      isDone = true;
    });
    await timer.advance(9_000);
    assert.equal(isDone, false);
    await timer.advance(1_000);
    assert.equal(isDone, true);
  });

  it('ends a wait with the reason of the signal, and serves the next', async () => {
    const { timer, throttle } = createThrottle(1000, 1000);
    await throttle.take({ bytes: 2_000, operations: 1 }, never);
    const stop = new AbortController();
    const given = throttle.take({ bytes: 1, operations: 1 }, stop.signal);
    const next = throttle.take({ bytes: 1, operations: 1 }, never);
    stop.abort(new Error('enough'));
    await assert.rejects(given, { message: 'enough' });
    await timer.advance(2_000);
    await next;
  });

  it('gives way to clients whose calls take longer while it works, never stops for good, and comes back', async () => {
    const { timer, load, throttle } = createThrottle(1e6, 1e6);
    const stop = new AbortController();
    // A client whose calls take the longer the more upkeep does.
    const run = async (seconds: number, latencyMs: (perS: number) => number): Promise<number> => {
      const before = done.count;
      let last = done.count;
      for (let step = 0; step < seconds * 10; step++) {
        await timer.advance(100);
        const perS = (done.count - last) * 10;
        last = done.count;
        for (let call = 0; call < 5; call++) load.note('read', latencyMs(perS));
      }
      return (done.count - before) / seconds;
    };
    const done = keepAsking(throttle, { bytes: 10_000, operations: 1 }, stop.signal);
    assert.ok((await run(60, () => 5)) > 90, 'nobody suffers: all but the pauses');
    const yielding = await run(120, (perS) => (perS > 20 ? 50 : 5));
    assert.ok(yielding < 50 && yielding >= 4, `${yielding} a second while clients suffer`);
    const least = await run(60, (perS) => (perS > 0 ? 50 : 5));
    assert.ok(least < 10 && least > 3, `${least} a second at the least`);
    await run(10, () => 5);
    assert.ok((await run(60, () => 5)) > 90, 'and again nobody suffers');
    await timer.advance(3_000);
    const before = done.count;
    await timer.advance(10_000);
    stop.abort();
    assert.ok(done.count - before >= 999, 'nobody is there');
  });

  it('tells calls that suffered from calls that take as long anyway', async () => {
    const { timer, load, throttle } = createThrottle(1e6, 1e6);
    const stop = new AbortController();
    const done = keepAsking(throttle, { bytes: 10_000, operations: 1 }, stop.signal);
    for (let step = 0; step < 600; step++) {
      await timer.advance(100);
      for (let call = 0; call < 5; call++) load.note('write', 300);
    }
    stop.abort();
    assert.ok(done.count > 5_400, 'clients are slow with and without it');
  });

  it('counts work that cannot wait, so that what clients feel of it is not taken for a quiet time', async () => {
    const { timer, load, throttle } = createThrottle(1e6, 1e6);
    const note = (ms: number): void => {
      for (let call = 0; call < 40; call++) load.note('read', ms);
    };
    await timer.advance(1_000);
    note(5);
    throttle.pass();
    note(100);
    assert.equal(load.factor(), 0.5);
  });
});
