import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecentNotes } from '../../engine/recent-notes.ts';
import { pollUntil } from '../harness/poll-until.ts';

describe('recent notes', () => {
  it('tell what is new from what was noted lately', () => {
    const notes = new RecentNotes({ maxNotes: 10, ageMs: 60_000 });
    assert.equal(notes.has('a'), false);
    assert.equal(notes.note('a'), true);
    assert.equal(notes.note('a'), false);
    assert.equal(notes.has('a'), true);
    assert.equal(notes.note('b'), true);
  });

  it('forget what is old, and take it as new when it is noted again', async () => {
    const notes = new RecentNotes({ maxNotes: 10, ageMs: 5 });
    notes.note('a');
    await pollUntil('it is forgotten', () => !notes.has('a'));
    assert.equal(notes.note('a'), true);
  });

  it('are never more than so many, and the oldest go first', () => {
    const notes = new RecentNotes({ maxNotes: 2, ageMs: 60_000 });
    for (const name of ['a', 'b', 'c']) notes.note(name);
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => notes.has(name)),
      [false, true, true],
    );
  });
});
