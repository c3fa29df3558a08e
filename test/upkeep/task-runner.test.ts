import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLog } from '../../core/log.ts';
import { TaskRunner } from '../../engine/upkeep/task-runner.ts';
import { pollUntil } from '../harness/poll-until.ts';

const hourMs = 3_600_000;

describe('tasks of upkeep', () => {
  it('run side by side, and none waits for a long one', async () => {
    let quickRuns = 0;
    const tasks = [
      { name: 'long', firstDelayMs: 0, run: (signal: AbortSignal) => hang(signal) },
      {
        name: 'quick',
        firstDelayMs: 0,
        run: async () => {
          quickRuns += 1;
          return quickRuns < 3 ? 0 : hourMs;
        },
      },
    ];
    const runner = new TaskRunner({ tasks, log: silentLog, failureDelayMs: 1 });
    runner.start();
    await pollUntil('the quick one ran', () => quickRuns === 3);
    await runner.stop();
  });

  it('never run twice at the same time, and a kick while one runs is not lost', async () => {
    let running = 0;
    let runs = 0;
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const task = {
      name: 'one',
      firstDelayMs: hourMs,
      run: async () => {
        assert.equal(++running, 1);
        begun.resolve();
        await held.promise;
        running -= 1;
        runs += 1;
        return hourMs;
      },
    };
    const runner = new TaskRunner({ tasks: [task], log: silentLog, failureDelayMs: 1 });
    runner.start();
    runner.kick('one');
    await begun.promise;
    runner.kick('one');
    const own = runner.exclusively('one', async () => running);
    held.resolve();
    assert.equal(await own, 0);
    await pollUntil('it ran again', () => runs === 2);
    await runner.stop();
  });

  it('are tried again after they threw', async () => {
    let runs = 0;
    const task = {
      name: 'failing',
      firstDelayMs: 0,
      run: async () => {
        runs += 1;
        if (runs === 1) throw new Error('on purpose');
        return hourMs;
      },
    };
    const runner = new TaskRunner({ tasks: [task], log: silentLog, failureDelayMs: 1 });
    runner.start();
    await pollUntil('it ran again', () => runs === 2);
    await runner.stop();
  });
});

function hang(signal: AbortSignal): Promise<number> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}
