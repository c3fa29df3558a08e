import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import { createDataKey } from '../../crypto/data-key.ts';
import { createMd5Batch } from '../../crypto/md5/create-md5-lanes.ts';
import type { SealedRun } from '../../crypto/open-packages.ts';
import { sealedBytes, sealWhole } from '../../crypto/sealed-stream.ts';
import type { PackTools } from '../../engine/row-work/code-pack.ts';
import { codeRow, type RowJob } from '../../engine/row-work/code-row.ts';
import { openRun } from '../../engine/row-work/open-run.ts';
import { RowThreads } from '../../engine/row-work/row-threads.ts';
import { RowWork } from '../../engine/row-work/row-work.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  countShards,
  createTestEngine,
  failure,
  get,
  listCids,
  masterKey,
  never,
  payloadOf,
  plainAttributes,
  put,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const codec = await createPackageCodec();
const md5 = createMd5Batch({ log: silentLog });
const tools: PackTools = { codec, sealer: masterKey.sealer, md5 };

/** Threads that are there; each job goes to one of them. */
async function startThreads(count: number, workers: Worker[] = []): Promise<RowThreads> {
  const url = new URL('../../engine/row-work/row-worker.ts', import.meta.url);
  const startThread = (): Worker => {
    const worker = new Worker(url);
    workers.push(worker);
    return worker;
  };
  const threads = new RowThreads({ count, startAfter: 0, startThread });
  threads.tryCode(createJob('first'));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return threads;
}

function createJob(seed: string, blockBytes = 4096): RowJob {
  const [k, m] = [4, 2];
  const memory = new SharedArrayBuffer((k + m) * blockBytes);
  patternBytes(k * blockBytes, seed).copy(Buffer.from(memory));
  const piece = { dataKey: createDataKey(), streamBytes: 1000, from: 0, lead: new Uint8Array(0), length: 1016 };
  return { memory, k, m, strideBytes: blockBytes, storedBytes: new Array(k + m).fill(blockBytes), piece };
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function copyJob(job: RowJob): RowJob {
  const memory = new SharedArrayBuffer(job.memory.byteLength);
  Buffer.from(job.memory).copy(Buffer.from(memory));
  return { ...job, memory };
}

describe('threads for rows', () => {
  it('are not started before there is work for them', async () => {
    const threads = new RowThreads({
      count: 1,
      startAfter: 2,
      startThread: () => assert.fail('a thread was started'),
    });
    assert.equal(threads.tryCode(createJob('a')), undefined);
    assert.equal(threads.tryCode(createJob('b')), undefined);
    assert.throws(() => threads.tryCode(createJob('c')), /a thread was started/);
    await threads.close();
  });

  it('do what this one would have done', async () => {
    const threads = await startThreads(2);
    const jobs = Array.from({ length: 3 }, (_, at) => createJob(`row ${at}`));
    const copies = jobs.map(copyJob);
    const digests = await Promise.all(jobs.map((job) => threads.tryCode(job)));
    for (const [at, copy] of copies.entries()) {
      const expected = codeRow(codec, copy);
      assert.deepEqual(digests[at]?.map(toHex), expected.map(toHex));
      assert.ok(Buffer.from(jobs[at]!.memory).equals(Buffer.from(copy.memory)));
    }
    await threads.close();
    assert.equal(threads.tryCode(createJob('late')), undefined);
  });

  it('take no more than they can do soon, and none in memory that is not shared', async () => {
    const threads = await startThreads(1);
    const { buffer } = new Uint8Array(6 * 4096);
    assert.equal(threads.tryCode({ ...createJob('own'), memory: buffer }), undefined);
    const taken = Array.from({ length: 8 }, (_, at) => threads.tryCode(createJob(`row ${at}`)));
    assert.deepEqual(
      taken.map((each) => each !== undefined),
      [true, true, true, true, true, true, false, false],
    );
    await Promise.all(taken);
    assert.equal((await threads.tryCode(createJob('d')))?.length, 6);
    await threads.close();
  });

  it('say what went wrong with a row, and go on', async () => {
    const threads = await startThreads(1);
    const wrong = { ...createJob('wrong'), strideBytes: 10_000 };
    await assert.rejects(threads.tryCode(wrong)!, RangeError);
    assert.equal((await threads.tryCode(createJob('right')))?.length, 6);
    await threads.close();
  });

  it('that end fail what they had, and are replaced', async () => {
    const workers: Worker[] = [];
    const threads = await startThreads(1, workers);
    const lost = threads.tryCode(createJob('lost', 256 * KiB))!;
    const ended = assert.rejects(lost, /ended in the middle of its work/);
    await workers[0]!.terminate();
    await ended;
    assert.equal(threads.tryCode(createJob('nobody is there yet')), undefined);
    assert.equal(workers.length, 2);
    await once(workers[1]!, 'message');
    assert.equal((await threads.tryCode(createJob('next')))?.length, 6);
    await threads.close();
  });
});

describe('threads that open what was read', () => {
  const dataKey = createDataKey();
  const streamBytes = 300 * KiB;
  const plain = patternBytes(streamBytes, 'plain');

  /** In pieces that end anywhere, each in a buffer of its own. */
  function createRun(): SealedRun {
    const sealed = new Uint8Array(sealedBytes(streamBytes));
    sealWhole(dataKey, plain, sealed);
    const pieces = [sealed.slice(0, 100_000), sealed.slice(100_000, 100_001), sealed.slice(100_001)];
    return { dataKey, streamBytes, first: 0, pieces };
  }

  it('do what this one would have done, with memory that is given to and fro', async () => {
    const threads = await startThreads(1);
    const run = createRun();
    const opened = await threads.tryOpen(run);
    assert.ok(Buffer.from(opened!.plain).equals(plain));
    assert.equal(opened!.corrupt, undefined);
    assert.deepEqual(
      run.pieces.map(({ length }) => length),
      [0, 0, 0],
    );
    assert.ok(Buffer.from(openRun(createRun()).plain).equals(plain));
    await threads.close();
  });

  it('say which package does not open, and give what comes before it', async () => {
    const threads = await startThreads(1);
    const run = createRun();
    run.pieces[2]![150_000]! ^= 1;
    const opened = await threads.tryOpen(run);
    assert.equal(opened?.corrupt, 3);
    assert.ok(Buffer.from(opened!.plain).equals(plain.subarray(0, 3 * 65_536)));
    await threads.close();
  });

  it('leave the rest to this one, with what it was about to give them', async () => {
    const threads = await startThreads(1);
    const metrics = new Metrics();
    const work = new RowWork({ tools, threads, metrics });
    const runs = await Promise.all(Array.from({ length: 8 }, () => work.open(createRun())));
    for (const opened of runs) assert.ok(Buffer.from(opened.plain).equals(plain));
    assert.deepEqual([metrics.rowTasks.open.thread.value, metrics.rowTasks.open.inline.value], [6, 2]);
    await threads.close();
  });

  it('that end have lost nothing that cannot be read again', async () => {
    const workers: Worker[] = [];
    const threads = await startThreads(1, workers);
    const work = new RowWork({ tools, threads, metrics: new Metrics() });
    const opening = work.open({ ...createRun(), first: 2 });
    await workers[0]!.terminate();
    const opened = await opening;
    assert.equal(opened.corrupt, 2);
    assert.equal(opened.plain.length, 0);
    await threads.close();
  });
});

describe('large objects whose rows are coded and opened in threads', () => {
  const workers: Worker[] = [];
  let threads: RowThreads;
  let test: TestEngine;
  before(async () => {
    threads = await startThreads(2, workers);
  });
  after(() => threads.close());
  beforeEach(async () => {
    test = await createTestEngine({ rowThreads: threads });
  });
  afterEach(() => test.close());

  it('are what was put, whole and sealed, whatever their length', async () => {
    // Around the ends of packages, rows and stripes, and where a tag or the manifest begins a row of its own.
    const rowPackages = Math.floor(MiB / 65_552);
    const lengths = [256 * KiB, MiB - 1, MiB, MiB + 300 * KiB, 16 * 64 * KiB, 2 * MiB + 7, 17 * MiB + 1];
    for (const near of [-257, -256, -16, -1, 0, 1]) lengths.push(4 * MiB - 64 * 16 + near, rowPackages * 65_536 + near);
    for (const [at, sizeBytes] of lengths.entries()) {
      const bytes = patternBytes(sizeBytes, at);
      await put(test, `key ${at}`, bytes);
      assert.ok((await get(test, `key ${at}`)).equals(bytes), `${sizeBytes} bytes`);
      assert.equal(await verifyShards(test, `key ${at}`), 6 * (await stripesOf(test, `key ${at}`)).length);
    }
    const { code, open } = test.metrics.rowTasks;
    assert.ok(code.thread.value > 0 && open.thread.value > 0);
    await assertBudgetsFree(test);
  });

  it('are read whole where their thread dies meanwhile', async () => {
    const bytes = patternBytes(9 * MiB);
    await put(test, 'key', bytes);
    const before = test.metrics.rowTasks.open.thread.value;
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const chunks: Uint8Array[] = [];
    const ends: Promise<number>[] = [];
    for await (const chunk of object.read(never)) {
      chunks.push(chunk);
      // The next row is with one of them by now, or will be.
      if (chunks.length === 2) for (const worker of workers.splice(0)) ends.push(worker.terminate());
    }
    await Promise.all(ends);
    assert.ok(Buffer.concat(chunks).equals(bytes));
    assert.ok(test.metrics.rowTasks.open.thread.value > before);
    await assertBudgetsFree(test);
  });

  it('show nobody a byte of themselves', async () => {
    for (const sizeBytes of [300 * KiB, 3 * MiB])
      await put(test, `key ${sizeBytes}`, Buffer.alloc(sizeBytes, 'planted '));
    for (const provider of test.providers) {
      for (const cid of await listCids(provider)) {
        const { bytes } = await provider.statShard(cid);
        assert.ok(!Buffer.from(await provider.readShard(cid, 0, bytes)).includes('planted'));
      }
    }
  });

  it('are put together many at a time', async () => {
    const objects = Array.from({ length: 8 }, (_, at) => patternBytes(3 * MiB + at * 1000, at));
    await Promise.all(objects.map((bytes, at) => put(test, `key ${at}`, bytes)));
    for (const [at, bytes] of objects.entries()) assert.ok((await get(test, `key ${at}`)).equals(bytes));
    await assertBudgetsFree(test);
  });

  it('leave nothing where the client goes away', async () => {
    const controller = new AbortController();
    const payload = payloadOf(patternBytes(6 * MiB));
    async function* leaving(): AsyncGenerator<Uint8Array> {
      let bytes = 0;
      for await (const chunk of payload.bytes) {
        yield chunk;
        bytes += chunk.length;
        if (bytes > 2.5 * MiB) controller.abort(new Error('the client went away'));
      }
    }
    const request = { bucket: 'tests', key: 'key', ownerId: 'a', attributes: plainAttributes };
    await assert.rejects(
      test.engine.objects.put({ ...request, payload: { ...payload, bytes: leaving() } }, controller.signal),
      /went away/,
    );
    assert.equal(await countShards(test), 0);
    await assert.rejects(get(test, 'key'), failure('object-missing'));
    await assertBudgetsFree(test);
  });

  it('fail where their thread dies, leave nothing, and the next one is written', async () => {
    const payload = payloadOf(patternBytes(6 * MiB));
    async function* deadly(): AsyncGenerator<Uint8Array> {
      let bytes = 0;
      for await (const chunk of payload.bytes) {
        yield chunk;
        const isThere = bytes < 2.5 * MiB;
        bytes += chunk.length;
        if (isThere && bytes >= 2.5 * MiB) for (const worker of workers.splice(0)) void worker.terminate();
      }
    }
    const request = { bucket: 'tests', key: 'key', ownerId: 'a', attributes: plainAttributes };
    const outcome = await test.engine.objects.put({ ...request, payload: { ...payload, bytes: deadly() } }, never).then(
      () => 'stored',
      (error: unknown) => String(error),
    );
    // The thread may have been between two rows: then this one did the rest itself.
    assert.ok(outcome === 'stored' || /ended in the middle of its work/.test(outcome), outcome);
    if (outcome !== 'stored') assert.equal(await countShards(test), 0);
    const bytes = patternBytes(3 * MiB, 'next');
    await put(test, 'next', bytes);
    assert.ok((await get(test, 'next')).equals(bytes));
    await assertBudgetsFree(test);
  });
});
