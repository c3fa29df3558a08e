import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProviderId } from '../../core/model.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';

const p1 = 'p1' as ProviderId;
const p2 = 'p2' as ProviderId;

function setUp() {
  const clock = {
    timeMs: 1000,
    now() {
      return this.timeMs;
    },
  };
  return { clock, health: new ProviderHealth({ clock, suspectMs: 100 }) };
}

describe('provider health', () => {
  it('suspects a provider for a while after a failure, and nobody else', () => {
    const { clock, health } = setUp();
    assert.equal(health.isSuspect(p1), false);
    health.recordFailure(p1);
    assert.deepEqual([health.isSuspect(p1), health.isSuspect(p2)], [true, false]);
    clock.timeMs += 99;
    assert.equal(health.isSuspect(p1), true);
    clock.timeMs += 1;
    assert.equal(health.isSuspect(p1), false);
  });

  it('counts the time anew with each failure', () => {
    const { clock, health } = setUp();
    health.recordFailure(p1);
    clock.timeMs += 60;
    health.recordFailure(p1);
    clock.timeMs += 60;
    assert.equal(health.isSuspect(p1), true);
  });

  it('is cleared by a call that started after the failure and went well', () => {
    const { health } = setUp();
    health.recordFailure(p1);
    health.recordSuccess(p2, health.mark());
    assert.equal(health.isSuspect(p1), true);
    health.recordSuccess(p1, health.mark());
    assert.equal(health.isSuspect(p1), false);
  });

  it('is not cleared by a call that was under way before the failure', () => {
    const { health } = setUp();
    const mark = health.mark();
    health.recordFailure(p1);
    health.recordSuccess(p1, mark);
    assert.equal(health.isSuspect(p1), true);
    const between = health.mark();
    health.recordFailure(p1);
    health.recordSuccess(p1, between);
    assert.equal(health.isSuspect(p1), true);
  });

  it('does not prolong suspicion when the clock is set back', () => {
    const { clock, health } = setUp();
    health.recordFailure(p1);
    clock.timeMs = 5;
    assert.equal(health.isSuspect(p1), false);
  });
});
