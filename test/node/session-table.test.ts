import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SessionTable } from '../../node/session-table.ts';

const dateWindowMs = 300_000;

describe('the sessions that a node knows', () => {
  it('admit each number once, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.nat(300)), { maxLength: 400 }), (requests) => {
        const table = new SessionTable({ dateWindowMs });
        const seen = new Set<string>();
        for (const [name, sequence] of requests) {
          const admission = table.admit({ name, sequence, dateMs: 1000, nowMs: 1000 });
          const key = `${name} ${sequence}`;
          assert.equal(admission, seen.has(key) ? 'replayed' : 'admitted', key);
          seen.add(key);
        }
      }),
    );
  });

  it('take a number for seen that is far behind the newest, and remember none wrongly as the window moves', () => {
    const table = new SessionTable({ dateWindowMs });
    const admit = (sequence: number) => table.admit({ name: 'a', sequence, dateMs: 0, nowMs: 0 });
    assert.equal(admit(5), 'admitted');
    assert.equal(admit(5 + 2 ** 17), 'admitted');
    assert.equal(admit(5), 'replayed');
    assert.equal(admit(6), 'admitted');
    assert.equal(admit(6), 'replayed');
    assert.equal(admit(4), 'replayed');
    assert.equal(admit(10 * 2 ** 17 + 3), 'admitted');
    assert.equal(admit(10 * 2 ** 17 + 3), 'replayed');
    assert.equal(admit(10 * 2 ** 17 + 2), 'admitted');
    assert.equal(admit(9 * 2 ** 17 + 3), 'replayed');
  });

  it('are bounded, forgotten when their dates have passed, and then still not admitted anew', () => {
    const table = new SessionTable({ dateWindowMs });
    for (let i = 0; i < 1024; i++) {
      assert.equal(table.admit({ name: `s${i}`, sequence: 0, dateMs: 1000 + i, nowMs: 1000 }), 'admitted');
    }
    assert.equal(table.admit({ name: 'one more', sequence: 0, dateMs: 2000, nowMs: 2000 }), 'full');
    // Ten sessions are past the window.
    const nowMs = 1009 + dateWindowMs + 1;
    assert.equal(table.admit({ name: 'one more', sequence: 0, dateMs: nowMs, nowMs }), 'admitted');
    assert.equal(table.admit({ name: 's500', sequence: 0, dateMs: 1500, nowMs }), 'replayed');
    // The clock was set back: by its date the request could pass again.
    assert.equal(table.admit({ name: 's3', sequence: 0, dateMs: 1003, nowMs: 1003 }), 'replayed');
  });
});
