import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClosingStack, closingAfter, closingOnFailure } from '../../core/closing-stack.ts';

describe('what was opened', () => {
  it('is closed in the reverse order, one after the other, and once', async () => {
    const events: string[] = [];
    const opened = new ClosingStack();
    const resource = opened.adopt('first', async (name) => {
      events.push(`${name} closes`);
      await null;
      events.push(`${name} is closed`);
    });
    assert.equal(resource, 'first');
    opened.defer(async () => {
      events.push('second closes');
      await null;
      events.push('second is closed');
    });
    await opened.close();
    await opened.close();
    assert.deepEqual(events, ['second closes', 'second is closed', 'first closes', 'first is closed']);
  });

  it('is closed in full where closing fails, which is told', async () => {
    const events: string[] = [];
    const opened = new ClosingStack();
    opened.defer(() => events.push('closed'));
    opened.defer(() => Promise.reject(new Error('does not close')));
    await assert.rejects(opened.close(), /does not close/);
    assert.deepEqual(events, ['closed']);
  });

  it('is closed when the work ends, or only where it fails', async () => {
    const events: string[] = [];
    const work = (name: string, error?: Error) => async (opened: ClosingStack) => {
      opened.defer(() => events.push(`${name} closed`));
      if (error !== undefined) throw error;
      return name;
    };
    assert.equal(await closingAfter(work('a')), 'a');
    assert.equal(await closingOnFailure(work('b')), 'b');
    await assert.rejects(closingAfter(work('c', new Error('c fails'))), /c fails/);
    await assert.rejects(closingOnFailure(work('d', new Error('d fails'))), /d fails/);
    assert.deepEqual(events, ['a closed', 'c closed', 'd closed']);
  });
});
