import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { AbortScope, untilAborted } from '../../core/abort.ts';

describe('an abort scope', () => {
  it('follows the outer signal until it is closed', () => {
    const outer = new AbortController();
    const open = new AbortScope(outer.signal);
    const closed = new AbortScope(outer.signal);
    closed.close();
    assert.equal(getEventListeners(outer.signal, 'abort').length, 1);
    const reason = new Error('enough');
    outer.abort(reason);
    assert.equal(open.signal.reason, reason);
    assert.equal(closed.signal.reason.name, 'AbortError');
  });

  it('is aborted from the start under a signal that was aborted before', () => {
    const reason = new Error('enough');
    assert.equal(new AbortScope(AbortSignal.abort(reason)).signal.reason, reason);
  });

  it('aborts what runs under it when it is closed, and nothing above it', () => {
    const outer = new AbortController();
    const scope = new AbortScope(outer.signal);
    const reason = new Error('done');
    scope.close(reason);
    scope.close();
    assert.equal(scope.signal.reason, reason);
    assert.ok(!outer.signal.aborted);
  });
});

describe('iterating until aborted', () => {
  it('gives all items and leaves no listener', async () => {
    const { signal } = new AbortController();
    async function* source(): AsyncGenerator<number> {
      yield* [1, 2, 3];
    }
    const items: number[] = [];
    for await (const item of untilAborted(source(), signal)) items.push(item);
    assert.deepEqual(items, [1, 2, 3]);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('ends the wait for an item that never comes', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    async function* source(): AsyncGenerator<number> {
      yield 1;
      setImmediate(() => controller.abort(reason));
      await new Promise(() => {});
    }
    const iterate = async (): Promise<void> => {
      for await (const _ of untilAborted(source(), controller.signal));
    };
    await assert.rejects(iterate(), reason);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  it('tells the source when the consumer stops, and passes its errors on', async () => {
    const { signal } = new AbortController();
    let wasClosed = false;
    async function* source(): AsyncGenerator<number> {
      try {
        yield 1;
        throw new Error('broken');
      } finally {
        wasClosed = true;
      }
    }
    for await (const _ of untilAborted(source(), signal)) break;
    assert.ok(wasClosed);
    const iterate = async (): Promise<void> => {
      for await (const _ of untilAborted(source(), signal));
    };
    await assert.rejects(iterate(), /broken/);
  });
});
