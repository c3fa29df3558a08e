import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { forEachBounded } from '../../core/for-each-bounded.ts';

describe('bounded work', () => {
  it('does every item once and at most so many at a time', async () => {
    const done: number[] = [];
    let running = 0;
    let most = 0;
    await forEachBounded([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      done.push(item);
    });
    assert.deepEqual(done.sort(), [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(most, 3);
  });

  it('begins nothing after an error, waits for what runs, and throws the error', async () => {
    const begun: number[] = [];
    let ended = 0;
    const work = forEachBounded([1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      if (item === 1) throw new Error('broken');
      await new Promise((resolve) => setImmediate(resolve));
      ended += 1;
    });
    await assert.rejects(work, /broken/);
    assert.deepEqual(begun, [1, 2]);
    assert.equal(ended, 1);
  });
});
