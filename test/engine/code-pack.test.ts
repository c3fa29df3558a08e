import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { silentLog } from '../../core/log.ts';
import type { StripeId } from '../../core/model.ts';
import { wrappedKeyBytes } from '../../crypto/master-key.ts';
import { createMd5Batch } from '../../crypto/md5/create-md5-lanes.ts';
import { sealedRecordOverheadBytes } from '../../crypto/sealed-record.ts';
import { openPackage, packageBytes, packageCount, sealedBytes, sealedRange } from '../../crypto/sealed-stream.ts';
import {
  EntryText,
  joinManifest,
  type ManifestEntry,
  manifestGapBytes,
  manifestStartBytes,
  openManifest,
  pendingMd5,
} from '../../engine/manifest.ts';
import { type CodedPack, codePack, type FreshBytes, type PackJob } from '../../engine/row-work/code-pack.ts';
import { RowThreads, type RowWorkerData } from '../../engine/row-work/row-threads.ts';
import { runInTurns, runThrough } from '../../engine/row-work/run-through.ts';
import { digestBlock } from '../../erasure/shard-format.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  countShards,
  createTestEngine,
  failure,
  get,
  masterKey,
  put,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const [k, m] = [4, 2];
const stripeId = 'ab'.repeat(16) as StripeId;
const codec = createWasmCodec();
const tools = { codec, sealer: masterKey.sealer, md5: createMd5Batch({ log: silentLog }) };

/** Says that it is there, and does nothing of what it is asked. */
const idleThread = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', () => {});
  parentPort.postMessage({ isReady: true });`;

/** One thread that is there. @param start of each thread, in the place of a real one */
async function startThread(start = startWorker): Promise<RowThreads> {
  const workers: Worker[] = [];
  const threads = new RowThreads({
    count: 1,
    sealerKeys: masterKey.sealerKeys,
    startAfter: 0,
    startThread: (data) => {
      workers.push(start(data));
      return workers.at(-1)!;
    },
  });
  assert.equal(threads.tryPack(createPack([1]).job), undefined, 'it is being started');
  await once(workers[0]!, 'message');
  return threads;
}

function startWorker(workerData: RowWorkerData): Worker {
  return new Worker(new URL('../../engine/row-work/row-worker.ts', import.meta.url), { workerData });
}

/** Objects one after the other, in a row whose last block has the manifest; every third asks for no MD5. */
function createPack(lengths: readonly number[]): { job: PackJob; plains: Buffer[] } {
  const plains = lengths.map((length, at) => patternBytes(length, `object ${at}`));
  const ends = plains.map((plain) => sealedBytes(plain.length));
  const starts = ends.map((_, at) => ends.slice(0, at).reduce((sum, bytes) => sum + bytes, 0));
  const manifestAt = ends.reduce((sum, bytes) => sum + bytes, 0);
  let textAt = manifestAt + manifestStartBytes;
  const fresh: FreshBytes[] = [];
  const texts = plains.map((plain, index) => {
    const entry = new EntryText({
      kind: 'version',
      number: index + 1,
      bucketId: 1,
      bucket: 'bücket',
      key: `kéy "${index}"\n`,
      ownerId: 'me',
      modifiedAtMs: 1,
      content: { sizeBytes: plain.length, etag: isMd5Wanted(index) ? pendingMd5 : 'opaque-1', spans: [] },
      attributes: { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' },
    });
    const extents = [{ stripeId, offset: starts[index]!, length: ends[index]! }];
    const pending = entry.pendingIn({ streamBytes: plain.length, offset: 0, length: plain.length, extents });
    assert.equal(pending.bytes, Buffer.byteLength(pending.text));
    const md5At = isMd5Wanted(index) ? textAt + pending.etagAt : undefined;
    fresh.push({ at: starts[index]!, plainBytes: plain.length, md5At, keyAt: textAt + pending.keyAt });
    textAt += pending.bytes + manifestGapBytes;
    return pending.text;
  });
  const manifest = joinManifest(texts);
  const strideBytes = Math.ceil((manifestAt + manifest.length + sealedRecordOverheadBytes) / k);
  const memory = new SharedArrayBuffer((k + m) * strideBytes);
  const bytes = Buffer.from(memory);
  for (const [index, plain] of plains.entries()) {
    for (let from = 0; from < plain.length; from += packageBytes) {
      const { offset } = sealedRange(plain.length, from / packageBytes, from / packageBytes);
      plain.copy(bytes, starts[index]! + offset, from, from + packageBytes);
    }
  }
  bytes.set(manifest, manifestAt);
  const storedBytes = new Array<number>(k + m).fill(strideBytes);
  const record = { recordName: `manifest ${stripeId}`, at: manifestAt, plainBytes: manifest.length };
  return { job: { memory, k, m, strideBytes, storedBytes, fresh, manifest: record }, plains };
}

function isMd5Wanted(index: number): boolean {
  return index % 3 !== 2;
}

/** Everything that a reader, a recovery and a scrub need of it. */
function assertCoded({ job, plains }: { job: PackJob; plains: readonly Buffer[] }, coded: CodedPack): void {
  const bytes = Buffer.from(job.memory);
  const { at, plainBytes } = job.manifest;
  const entries = openManifest(masterKey, stripeId, bytes.subarray(at, at + plainBytes + sealedRecordOverheadBytes));
  assert.equal(entries?.length, plains.length);
  for (const [index, plain] of plains.entries()) {
    const wrapped = coded.wrappedKeys.slice(index * wrappedKeyBytes, (index + 1) * wrappedKeyBytes);
    const dataKey = masterKey.unwrap(wrapped);
    assert.ok(dataKey, 'the key is wrapped');
    const start = job.fresh[index]!.at;
    const opened = Array.from({ length: packageCount(plain.length) }, (_, number) => {
      const { offset, length } = sealedRange(plain.length, number, number);
      return openPackage(dataKey, plain.length, number, bytes.subarray(start + offset, start + offset + length));
    });
    assert.ok(Buffer.concat(opened.map((each) => each!)).equals(plain), `object ${index}`);
    const md5Hex = isMd5Wanted(index) ? hash('md5', plain) : undefined;
    assert.equal(coded.md5s[index], md5Hex);
    const entry: ManifestEntry = entries![index]!;
    assert.ok(entry.kind === 'version');
    assert.equal(entry.key, `kéy "${index}"\n`);
    assert.equal(entry.content.etag, md5Hex ?? 'opaque-1');
    assert.deepEqual(Buffer.from(entry.content.spans[0]!.wrappedKey), Buffer.from(wrapped));
  }
  const blocks = Array.from({ length: k + m }, (_, each) => {
    return bytes.subarray(each * job.strideBytes, (each + 1) * job.strideBytes);
  });
  const parity = Array.from({ length: m }, () => Buffer.alloc(job.strideBytes));
  codec.encode(blocks.slice(0, k), parity);
  assert.deepEqual(blocks.slice(k), parity);
  assert.deepEqual(
    coded.digests.map((digest) => Buffer.from(digest)),
    blocks.map((block) => Buffer.from(digestBlock(block))),
  );
}

const packs = [
  [4096],
  Array.from({ length: 20 }, () => 4096),
  [1, 64 * KiB, 128 * KiB, 64 * KiB + 1, 64 * KiB - 1, 17, 100_000, 4096, 4096, 5000],
];

describe('a pack', () => {
  it('is sealed and coded here', async () => {
    for (const lengths of packs) {
      for (const run of [runThrough, runInTurns]) {
        const pack = createPack(lengths);
        assertCoded(pack, await run(codePack(tools, pack.job)));
      }
    }
  });

  it('is sealed and coded in a thread', async () => {
    const threads = await startThread();
    for (const lengths of packs) {
      const pack = createPack(lengths);
      assertCoded(pack, await threads.tryPack(pack.job)!);
    }
    await threads.close();
  });

  it('is not given to a thread that has two already, nor without keys or shared memory', async () => {
    const threads = await startThread();
    const own = { ...createPack([1]).job, memory: new ArrayBuffer(KiB * KiB) };
    assert.equal(threads.tryPack(own), undefined);
    const taken = [1, 2, 3].map((bytes) => threads.tryPack(createPack([bytes]).job));
    assert.deepEqual(
      taken.map((each) => each !== undefined),
      [true, true, false],
    );
    await Promise.all(taken);
    await threads.close();
    const keyless = new RowThreads({ count: 1, startThread: () => assert.fail('a thread was started') });
    assert.equal(keyless.tryPack(createPack([1]).job), undefined);
  });
});

describe('small objects that are sealed in threads', () => {
  const bodies = Array.from({ length: 40 }, (_, at) => patternBytes(at % 10 === 9 ? 100 * KiB : 4 * KiB + at, at));
  let threads: RowThreads;
  let test: TestEngine;
  afterEach(async () => {
    await test.close();
    await threads.close();
  });

  function putAll(): Promise<unknown>[] {
    return bodies.map((bytes, at) => put(test, `key ${at}`, bytes));
  }

  async function assertAllThere(): Promise<void> {
    for (const [at, bytes] of bodies.entries()) {
      assert.ok((await get(test, `key ${at}`)).equals(bytes));
      const version = await test.metadata.findVersion('tests', `key ${at}`);
      assert.ok(version && 'etag' in version);
      assert.equal(version.etag, hash('md5', bytes));
      assert.equal(await verifyShards(test, `key ${at}`), (await stripesOf(test, `key ${at}`))[0]!.shards.length);
    }
    await assertBudgetsFree(test);
  }

  it('are what was put, each with its MD5', async () => {
    threads = await startThread();
    test = await createTestEngine({ rowThreads: threads });
    await Promise.all(putAll());
    assert.ok(test.metrics.rowTasks.pack.thread.value > 0);
    await assertAllThere();
  });

  it('fail where their thread dies, leave nothing, and are written the next time', async () => {
    const idle: Worker[] = [];
    threads = await startThread((data) => {
      if (idle.length > 0) return startWorker(data);
      idle.push(new Worker(idleThread, { eval: true }));
      return idle[0]!;
    });
    test = await createTestEngine({ rowThreads: threads });
    const putting = Promise.allSettled(putAll());
    while (test.metrics.rowTasks.pack.thread.value === 0) await new Promise((resolve) => setImmediate(resolve));
    await idle[0]!.terminate();
    const outcomes = await putting;
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length;
    assert.ok(stored < outcomes.length, 'the thread had a pack');
    for (const [at, { status }] of outcomes.entries()) {
      if (status === 'rejected') await assert.rejects(get(test, `key ${at}`), failure('object-missing'));
    }
    if (stored === 0) assert.equal(await countShards(test), 0);
    await Promise.all(putAll());
    await assertAllThere();
  });
});
