import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, renameSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { ProviderId } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { AppenderThreads } from '../../placement/providers/segments/appender-threads.ts';
import { keptBatchBytes, type SegmentAppender } from '../../placement/providers/segments/segment-appender.ts';
import { memoryFolder } from '../model/memory-folder.ts';
import { testProvider } from './provider-conformance.ts';

describe('threads that append to segments', () => {
  let folder: string;
  let threads: AppenderThreads;
  let opened = 0;
  before(async () => {
    folder = await mkdtemp(join(memoryFolder, 'holdfast-threads-'));
    threads = new AppenderThreads({ startAfter: 0 });
    await threads.start();
    assert.ok(threads.isRunning);
  });
  after(async () => {
    await threads.close();
    await rm(folder, { recursive: true, force: true });
  });

  testProvider('directory over threads', async () => {
    const path = join(folder, `d${opened++}`);
    const id = 'd1' as ProviderId;
    return { provider: await openDirectoryProvider({ id, path, segmentBytes: 100_000, appenders: threads }) };
  });

  /** A file with its marker, and what appends to it. */
  async function openFile(appenders = threads) {
    const path = join(folder, `f${opened++}`);
    const markerPath = `${path}.marker`;
    await writeFile(markerPath, '');
    return { path, markerPath, fd: openSync(path, 'wx+'), appender: appenders.appenderFor(markerPath) };
  }

  function append(appender: SegmentAppender, fd: number, text: string, offset: number): Promise<void> {
    const bytes = appender.take(Buffer.byteLength(text));
    bytes.write(text);
    return appender.append({ fd, bytes, offset, mustFlush: true });
  }

  it('write what is given where it belongs, for many files at once', async () => {
    const files = await Promise.all(Array.from({ length: 12 }, () => openFile()));
    for (let round = 0; round < 20; round++) {
      await Promise.all(files.map(({ appender, fd }, at) => append(appender, fd, `<${at}:${round}>`, round * 10)));
    }
    for (const [at, { path, fd, appender }] of files.entries()) {
      appender.close();
      closeSync(fd);
      const text = readFileSync(path, 'latin1').replaceAll('\0', '');
      assert.equal(text, Array.from({ length: 20 }, (_, round) => `<${at}:${round}>`).join(''));
    }
  });

  it('take batches that are longer than the memory they share', async () => {
    const { path, fd, appender } = await openFile();
    const bytes = randomBytes(keptBatchBytes + 1);
    await append(appender, fd, 'short', 0);
    const batch = appender.take(bytes.length);
    batch.set(bytes);
    await appender.append({ fd, bytes: batch, offset: 5, mustFlush: true });
    assert.deepEqual(readFileSync(path), Buffer.concat([Buffer.from('short'), bytes]));
    closeSync(fd);
  });

  it('say what the system said', async () => {
    const { path, markerPath, fd, appender } = await openFile();
    renameSync(markerPath, `${markerPath}.gone`);
    await assert.rejects(append(appender, fd, 'here', 0), { code: 'ENOENT', syscall: 'access' });
    renameSync(`${markerPath}.gone`, markerPath);
    await append(appender, fd, 'back', 0);
    assert.equal(readFileSync(path, 'latin1'), 'back');
    closeSync(fd);
    const readOnly = openSync(path, 'r');
    await assert.rejects(append(appender, readOnly, 'no', 0), { code: 'EBADF', syscall: 'write' });
    closeSync(readOnly);
  });

  it('are started once there is enough to do, and until then appends go without them', async () => {
    await using stack = new AsyncDisposableStack();
    const late = stack.adopt(new AppenderThreads({ startAfter: 3 }), (each) => each.close());
    const { path, fd, appender } = await openFile(late);
    let count = 0;
    while (!late.isRunning) {
      await append(appender, fd, String(count % 10), count);
      count += 1;
      assert.ok(count < 100_000, 'they never start');
      if (count === 3) assert.equal(late.isRunning, false);
    }
    await append(appender, fd, '!', count);
    assert.match(readFileSync(path, 'latin1'), /^0123.*!$/);
    appender.close();
    closeSync(fd);
  });

  it('can die: what was under way fails, and everything goes on without them', async () => {
    await using stack = new AsyncDisposableStack();
    const workers: Worker[] = [];
    // They come up, take nothing, and end when they are told to.
    const script = `const { parentPort } = require('node:worker_threads');
      parentPort.on('message', () => { throw new Error('a fault'); });
      parentPort.postMessage('ready');`;
    const startThread = (): Worker => {
      workers.push(new Worker(script, { eval: true }));
      return workers.at(-1)!;
    };
    const mortal = stack.adopt(new AppenderThreads({ startAfter: 0, startThread }), (each) => each.close());
    await mortal.start();
    const { path, fd, appender } = await openFile(mortal);
    const lost = append(appender, fd, 'lost', 0);
    workers[1]!.postMessage('die');
    await assert.rejects(lost, /has died/);
    assert.equal(mortal.isRunning, false);
    await append(appender, fd, 'kept', 0);
    assert.equal(readFileSync(path, 'latin1'), 'kept');
    appender.close();
    closeSync(fd);
  });
});
