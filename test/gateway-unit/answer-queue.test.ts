import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnswerQueue, type ReadyAnswer } from '../../gateway/answer-queue.ts';

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('the answers of one turn of the event loop', () => {
  function answersInto(sent: string[], queue: AnswerQueue): (name: string) => void {
    return (name) => {
      const answer: ReadyAnswer = { sendNow: () => void sent.push(name) };
      queue.add(answer);
    };
  }

  it('are sent in order at the end of the turn, whenever in it they became ready', async () => {
    const sent: string[] = [];
    const add = answersInto(sent, new AnswerQueue());
    add('a');
    add('b');
    await Promise.resolve();
    add('c');
    process.nextTick(add, 'd');
    await new Promise((resolve) => process.nextTick(resolve));
    assert.deepEqual(sent, []);
    await endOfTurn();
    assert.deepEqual(sent, ['a', 'b', 'c', 'd']);
    add('e');
    await endOfTurn();
    assert.deepEqual(sent, ['a', 'b', 'c', 'd', 'e']);
  });

  it('are not held back once there are many, and each is sent once', async () => {
    const sent: string[] = [];
    const add = answersInto(sent, new AnswerQueue());
    const names = Array.from({ length: 75 }, (_, index) => String(index));
    for (const name of names) add(name);
    assert.equal(sent.length, 64);
    await endOfTurn();
    await endOfTurn();
    assert.deepEqual(sent, names);
  });

  it('that become ready while others are sent have their own turn', async () => {
    const sent: string[] = [];
    const queue = new AnswerQueue();
    const add = answersInto(sent, queue);
    queue.add({
      sendNow: () => {
        sent.push('first');
        add('second');
      },
    });
    await endOfTurn();
    await endOfTurn();
    assert.deepEqual(sent, ['first', 'second']);
  });
});
