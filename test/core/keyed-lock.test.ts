import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeyedLock } from '../../core/keyed-lock.ts';

describe('locks by name', () => {
  it('are given on in the order of asking, and do not hinder other names', async () => {
    const lock = new KeyedLock();
    const order: string[] = [];
    const first = await lock.acquire('a');
    const waiting = ['b', 'c'].map(async (who) => {
      const release = await lock.acquire('a');
      order.push(`${who} has it`);
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${who} gives it on`);
      release();
    });
    (await lock.acquire('other'))();
    assert.deepEqual(order, []);
    first();
    await Promise.all(waiting);
    assert.deepEqual(order, ['b has it', 'b gives it on', 'c has it', 'c gives it on']);
  });

  it('can be tried', async () => {
    const lock = new KeyedLock();
    const release = lock.tryAcquire('a');
    assert.ok(release);
    assert.equal(lock.tryAcquire('a'), undefined);
    const waiting = lock.acquire('a');
    release();
    release();
    assert.equal(lock.tryAcquire('a'), undefined, 'somebody waited for it');
    (await waiting)();
    assert.ok(lock.tryAcquire('a'));
  });
});
