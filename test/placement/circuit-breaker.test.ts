import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CircuitBreaker } from '../../placement/circuit-breaker.ts';

const suspectMs = 100;
const maxOpenMs = 800;

function setUp(random: () => number = () => 0) {
  const clock = { nowMs: 1_000_000, now: () => clock.nowMs };
  return { clock, breaker: new CircuitBreaker({ clock, suspectMs, maxOpenMs, random }) };
}

describe('a circuit breaker', () => {
  it('stays closed at one failure and at two, which make the provider suspect for a while', () => {
    const { clock, breaker } = setUp();
    breaker.fail(false);
    breaker.fail(false);
    assert.deepEqual([breaker.state, breaker.isSuspect, breaker.downSinceMs], ['closed', true, undefined]);
    clock.nowMs += suspectMs;
    assert.equal(breaker.isSuspect, false);
  });

  it('opens at the third failure in a row, and tells when the first one was', () => {
    const { clock, breaker } = setUp();
    breaker.fail(false);
    breaker.succeed();
    clock.nowMs += 5;
    const sinceMs = clock.nowMs;
    for (const _ of [1, 2, 3]) {
      breaker.fail(false);
      clock.nowMs += 1;
    }
    assert.deepEqual([breaker.state, breaker.isSuspect, breaker.downSinceMs], ['open', true, sinceMs]);
  });

  it('opens at once when a call hangs', () => {
    const { breaker } = setUp();
    breaker.fail(true);
    assert.equal(breaker.state, 'open');
  });

  it('opens when every other call fails, but not when one in eight does', () => {
    const { breaker } = setUp();
    for (let call = 0; call < 400; call++) call % 8 === 0 ? breaker.fail(false) : breaker.succeed();
    assert.equal(breaker.state, 'closed');
    for (let call = 0; call < 40 && breaker.state === 'closed'; call++) {
      breaker.fail(false);
      if (breaker.state === 'closed') breaker.succeed();
    }
    assert.equal(breaker.state, 'open');
  });

  it('half-opens by itself, and is no longer suspect until somebody tries it', () => {
    const { clock, breaker } = setUp();
    breaker.fail(true);
    clock.nowMs += suspectMs - 1;
    assert.deepEqual([breaker.state, breaker.isSuspect], ['open', true]);
    clock.nowMs += 1;
    assert.deepEqual([breaker.state, breaker.isSuspect], ['half-open', false]);
    breaker.beginTrial();
    assert.deepEqual([breaker.state, breaker.isSuspect], ['half-open', true]);
    breaker.succeed();
    breaker.endTrial();
    assert.deepEqual([breaker.state, breaker.isSuspect, breaker.downSinceMs], ['closed', false, undefined]);
  });

  it('stays open for twice as long after each trial that fails, up to a bound, and remembers when it all began', () => {
    const { clock, breaker } = setUp();
    const sinceMs = clock.nowMs;
    const stays: number[] = [];
    for (let trial = 0; trial < 6; trial++) {
      breaker.fail(true);
      const openedAtMs = clock.nowMs;
      while (breaker.state === 'open') clock.nowMs += 1;
      stays.push(clock.nowMs - openedAtMs);
    }
    assert.deepEqual(stays, [100, 200, 400, 800, 800, 800]);
    assert.equal(breaker.downSinceMs, sinceMs);
  });

  it('goes on from where it was when it opens again soon after it closed, and begins anew later', () => {
    const { clock, breaker } = setUp();
    breaker.fail(true);
    clock.nowMs += suspectMs;
    breaker.succeed();
    breaker.fail(true);
    clock.nowMs += suspectMs;
    assert.equal(breaker.state, 'open');
    clock.nowMs += suspectMs;
    breaker.succeed();
    clock.nowMs += maxOpenMs;
    breaker.fail(true);
    clock.nowMs += suspectMs;
    assert.equal(breaker.state, 'half-open');
  });

  it('stays open for half as long at the least, by chance', () => {
    const { clock, breaker } = setUp(() => 1);
    breaker.fail(true);
    clock.nowMs += suspectMs / 2;
    assert.equal(breaker.state, 'half-open');
  });

  it('is due for a trial a little before it half-opens, but not while one is under way', () => {
    const { clock, breaker } = setUp();
    assert.equal(breaker.isTrialDue(30), false);
    breaker.fail(true);
    clock.nowMs += 69;
    assert.equal(breaker.isTrialDue(30), false);
    clock.nowMs += 1;
    assert.equal(breaker.isTrialDue(30), true);
    breaker.beginTrial();
    assert.equal(breaker.isTrialDue(30), false);
  });

  it('never stays open for longer because the clock was set back', () => {
    const { clock, breaker } = setUp();
    breaker.fail(true);
    clock.nowMs -= 500_000;
    assert.equal(breaker.state, 'half-open');
  });

  /** Callers do as they should: they call a suspect provider only when they have no choice, which is `force`. */
  const step = fc.oneof(
    fc.record({ kind: fc.constant('call' as const), force: fc.boolean() }),
    fc.record({ kind: fc.constantFrom('succeed', 'fail', 'hang', 'cancel' as const), pick: fc.nat() }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(maxOpenMs) }),
  );

  it('lets one trial through at a time, and always half-opens again in bounded time, whatever happens', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1 })),
        (steps, luck) => {
          const { clock, breaker } = setUp(() => luck.next().value ?? 0);
          /** Calls under way: those of callers who had the choice, on trial, are what must not be two. */
          const calls: { isTrial: boolean; hadChoice: boolean }[] = [];
          for (const one of steps) {
            if (one.kind === 'wait') clock.nowMs += one.ms;
            else if (one.kind === 'call') {
              if (breaker.isSuspect && !one.force) continue;
              const call = { isTrial: breaker.state === 'half-open', hadChoice: !breaker.isSuspect };
              if (call.isTrial) breaker.beginTrial();
              calls.push(call);
              assert.ok(calls.filter(({ isTrial, hadChoice }) => isTrial && hadChoice).length <= 1);
            } else if (calls.length > 0) {
              const [call] = calls.splice(one.pick % calls.length, 1);
              if (one.kind === 'succeed') breaker.succeed();
              if (one.kind === 'fail' || one.kind === 'hang') breaker.fail(one.kind === 'hang');
              if (call?.isTrial) breaker.endTrial();
            }
          }
          for (const { isTrial } of calls) if (isTrial) breaker.endTrial();
          clock.nowMs += maxOpenMs;
          assert.notEqual(breaker.state, 'open');
          assert.equal(breaker.isSuspect, false);
          breaker.succeed();
          assert.equal(breaker.state, 'closed');
        },
      ),
      { numRuns: 300 },
    );
  });
});
