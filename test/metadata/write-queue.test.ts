import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { durableStepChannel } from '../../core/durable-steps.ts';
import { silentLog } from '../../core/log.ts';
import { WriteQueue } from '../../metadata/sqlite/write-queue.ts';

describe('the write queue', () => {
  let db: Database.Database;
  let queue: WriteQueue;
  let calls: string[];
  let failSave: boolean;

  beforeEach(() => {
    db = new Database(':memory:');
    // Fails only when the transaction commits.
    db.exec(`
      CREATE TABLE rows (name TEXT PRIMARY KEY);
      CREATE TABLE links (name TEXT REFERENCES rows (name) DEFERRABLE INITIALLY DEFERRED)`);
    calls = [];
    failSave = false;
    const note = (call: string) => () => void calls.push(call);
    const save = () => {
      calls.push('save');
      if (failSave) throw new Error('cannot save');
    };
    const state = { mark: note('mark'), rewind: note('rewind'), save, reload: note('reload'), end: note('end') };
    queue = new WriteQueue({ db, state, log: silentLog });
  });

  afterEach(() => db.close());

  const insert = (name: string) => () => db.prepare('INSERT INTO rows VALUES (?)').run(name).changes;
  const names = () => db.prepare('SELECT name FROM rows ORDER BY name').pluck().all().join(' ');

  it('runs what arrives in one turn in one transaction, in order, and gives back what each returned', async () => {
    const results = await Promise.all([
      queue.run(() => db.inTransaction),
      queue.run(insert('a')),
      queue.run(() => names()),
    ]);
    assert.deepEqual(results, [true, 1, 'a']);
    assert.deepEqual(calls, ['mark', 'mark', 'mark', 'save', 'end']);
    assert.equal(db.inTransaction, false);
  });

  it('marks the moments before and after each commit, and none for a lone verb that throws', async () => {
    const steps: unknown[] = [];
    const note = (step: unknown) => void steps.push([step, db.inTransaction]);
    durableStepChannel.subscribe(note);
    await queue.run(insert('a'));
    await assert.rejects(queue.run(insert('a')));
    durableStepChannel.unsubscribe(note);
    assert.deepEqual(steps, [
      ['metadata-committing', true],
      ['metadata-committed', false],
    ]);
    assert.deepEqual(calls, ['mark', 'save', 'end', 'mark', 'rewind', 'end']);
    assert.equal(names(), 'a');
  });

  it('starts nothing before the next turn', async () => {
    const done = queue.run(insert('a'));
    await Promise.resolve();
    assert.equal(names(), '');
    await done;
    assert.equal(names(), 'a');
  });

  it('undoes the writes of a verb that throws, and of no other', async () => {
    const outcomes = await Promise.allSettled([
      queue.run(insert('a')),
      queue.run(() => {
        insert('b')();
        throw new Error('refused');
      }),
      queue.run(() => {
        insert('c')();
        insert('a')();
      }),
      queue.run(insert('d')),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.equal(outcomes[1]!.status === 'rejected' && outcomes[1].reason.message, 'refused');
    assert.equal(names(), 'a d');
    assert.deepEqual(calls, ['mark', 'mark', 'rewind', 'mark', 'rewind', 'mark', 'save', 'end']);
  });

  it('runs verbs that are sure without a savepoint for each', async () => {
    const sure = { isSure: true };
    // A savepoint of one verb cannot be released by the next.
    const isAlone = () => {
      db.exec('SAVEPOINT probe');
      db.exec('RELEASE probe');
      assert.throws(() => db.exec('RELEASE verb'), /no such savepoint/);
    };
    await Promise.all([queue.run(insert('a'), sure), queue.run(isAlone, sure), queue.run(insert('b'), sure)]);
    assert.equal(names(), 'a b');
    assert.deepEqual(calls, ['mark', 'save', 'end']);
  });

  it('runs them again one by one when one throws all the same, and undoes the writes of that one alone', async () => {
    const sure = { isSure: true };
    let runs = 0;
    const outcomes = await Promise.allSettled([
      queue.run(() => {
        runs += 1;
        insert('a')();
        return runs;
      }, sure),
      queue.run(() => {
        insert('b')();
        throw new Error('refused');
      }, sure),
      queue.run(insert('c'), sure),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.message)),
      [2, 'refused', 1],
    );
    assert.equal(names(), 'a c');
    assert.deepEqual(calls, ['mark', 'rewind', 'mark', 'mark', 'rewind', 'mark', 'save', 'end']);
  });

  it('gives each a savepoint where one of the batch is not sure', async () => {
    const outcomes = await Promise.allSettled([
      queue.run(insert('a'), { isSure: true }),
      queue.run(() => {
        insert('b')();
        throw new Error('refused');
      }),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.equal(names(), 'a');
    assert.deepEqual(calls, ['mark', 'mark', 'rewind', 'save', 'end']);
  });

  it('rejects every verb of a batch whose commit fails, keeps nothing of it, and goes on', async () => {
    const outcomes = await Promise.allSettled([
      queue.run(insert('a')),
      queue.run(() => db.exec("INSERT INTO links VALUES ('nowhere')")),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(names(), '');
    assert.deepEqual(calls.slice(-2), ['reload', 'end']);
    failSave = true;
    await assert.rejects(queue.run(insert('b')), /cannot save/);
    failSave = false;
    await queue.run(insert('c'));
    assert.equal(names(), 'c');
  });

  it('rejects every verb of a batch whose transaction is lost in the middle', async () => {
    const outcomes = await Promise.allSettled([
      queue.run(insert('a')),
      queue.run(() => {
        // As SQLite does by itself when the disk is full.
        db.exec('ROLLBACK');
        throw new Error('disk full');
      }),
      queue.run(insert('b')),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal(names(), '');
    await queue.run(insert('c'));
    assert.equal(names(), 'c');
  });

  it('commits at most 512 verbs at once, and loses none', async () => {
    const all = Array.from({ length: 1300 }, (_, index) => queue.run(insert(`${index}`)));
    await all[0];
    assert.equal(db.prepare('SELECT count(*) FROM rows').pluck().get(), 512);
    await Promise.all(all);
    assert.equal(db.prepare('SELECT count(*) FROM rows').pluck().get(), 1300);
    assert.equal(calls.filter((call) => call === 'save').length, 3);
  });

  it('finishes what is queued before it closes, and takes nothing after', async () => {
    const all = Array.from({ length: 600 }, (_, index) => queue.run(insert(`${index}`)));
    const closed = queue.close();
    await assert.rejects(queue.run(insert('late')), /closed/);
    await closed;
    assert.equal(db.prepare('SELECT count(*) FROM rows').pluck().get(), 600);
    await Promise.all(all);
    await queue.close();
  });

  describe('over a log that must be flushed', () => {
    let flushes: PromiseWithResolvers<void>[];

    beforeEach(() => {
      flushes = [];
      const flush = (): Promise<void> => {
        flushes.push(Promise.withResolvers<void>());
        return flushes.at(-1)!.promise;
      };
      const nothing = (): void => {};
      const state = { mark: nothing, rewind: nothing, save: nothing, reload: nothing, end: nothing };
      queue = new WriteQueue({ db, state, log: silentLog, flush });
    });

    const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

    it('tells nobody of a commit before the flush, and says that one is under way', async () => {
      let isTold = false;
      const done = queue.run(insert('a')).then(() => {
        isTold = true;
      });
      await nextTurn();
      assert.equal(names(), 'a', 'it is committed');
      assert.ok(queue.flushing, 'it must not be shown');
      assert.equal(isTold, false);
      flushes[0]!.resolve();
      await done;
      assert.equal(queue.flushing, undefined);
    });

    it('gathers what comes meanwhile for the next commit', async () => {
      const first = queue.run(insert('a'));
      await nextTurn();
      const others = [queue.run(insert('b')), queue.run(insert('c'))];
      await nextTurn();
      assert.equal(names(), 'a');
      flushes[0]!.resolve();
      await first;
      await nextTurn();
      assert.equal(names(), 'a b c');
      assert.equal(flushes.length, 2);
      flushes[1]!.resolve();
      await Promise.all(others);
    });

    it('takes no more writes after a flush that failed', async () => {
      const first = assert.rejects(queue.run(insert('a')), /could not be flushed/);
      await nextTurn();
      const second = assert.rejects(queue.run(insert('b')), /could not be flushed/);
      flushes[0]!.reject(new Error('EIO'));
      await Promise.all([first, second]);
      await assert.rejects(queue.run(insert('c')), /could not be flushed/);
      await queue.close();
    });

    it('closes after the flush', async () => {
      const done = queue.run(insert('a'));
      await nextTurn();
      let isClosed = false;
      const closing = queue.close().then(() => {
        isClosed = true;
      });
      await nextTurn();
      assert.equal(isClosed, false);
      flushes[0]!.resolve();
      await Promise.all([done, closing]);
    });
  });
});
