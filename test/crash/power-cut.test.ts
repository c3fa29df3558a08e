import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { shardCid } from '../../erasure/shard-format.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { SegmentAppenders } from '../../placement/providers/segments/segment-appender.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { memoryFolder } from '../model/memory-folder.ts';
import { onDurableStep } from '../placement/durable-step-listener.ts';
import { diskRecorder, recordFiles } from './disk-recorder.ts';
import { Random } from './random.ts';
import * as recordedFiles from './recording-fs-promises.ts';
import { type DiskEvent, SimulatedDisk, type Tree, writeTree } from './simulated-disk.ts';

recordFiles();
const { startGateway } = await import('../harness/gateway.ts');
const { openDirectoryProvider } = await import('../../placement/providers/directory-provider.ts');
const { appendBatch } = await import('../../placement/providers/segments/append-batch.ts');

const id = 'p1' as ProviderId;
const batches = 6;
const shardsABatch = 5;
const smallABatch = 8;
const segmentBytes = 4000;

/** A shard that was written: from which event on it must be there, and from which on it may be gone again. */
interface KnownShard {
  readonly bytes: Buffer;
  committedAt: number;
  deletedAt: number;
}

interface KnownRoot {
  readonly bytes: Buffer;
  readonly startedAt: number;
  writtenAt: number;
}

/** A copy of the index as it once was. */
interface KnownIndex {
  readonly path: string;
  readonly savedAt: number;
}

describe('a power cut after the first start', () => {
  it('takes neither the data directory nor a provider away', async (test) => {
    const root = await mkdtemp(join(memoryFolder, 'holdfast-power-'));
    test.after(() => rm(root, { recursive: true, force: true }));
    diskRecorder.start(root);
    const gateway = await startGateway({ dataDir: join(root, 'new', 'data') });
    const disk = new SimulatedDisk();
    for (const event of diskRecorder.stop()) disk.apply(event);
    await gateway.close();
    let tree: Tree | Buffer | undefined = disk.afterPowerCut(undefined);
    for (const name of ['new', 'data', 'providers', 'p1', 'provider.json']) {
      tree = tree instanceof Map ? tree.get(name) : undefined;
      assert.ok(tree, `${name} is lost`);
    }
  });
});

describe('a power cut under a directory provider', () => {
  let folder: string;
  let events: DiskEvent[];
  const shards = new Map<ShardCid, KnownShard>();
  const roots: KnownRoot[] = [];
  const indexes: KnownIndex[] = [];

  before(async () => {
    folder = await mkdtemp(join(memoryFolder, 'holdfast-power-'));
    const root = join(folder, 'disk');
    await mkdir(root);
    diskRecorder.start(root);
    const path = join(root, 'data', 'p1');
    const keepIndex = () => {
      const kept = join(folder, `index-${indexes.length}`);
      cpSync(path, kept, { recursive: true, filter: (name) => name === path || name.includes('index.sqlite') });
      indexes.push({ path: kept, savedAt: diskRecorder.length });
    };
    const stop = onDurableStep((step) => {
      if (step === 'index-saved') keepIndex();
    });
    let provider = await openDirectoryProvider({ id, path, segmentBytes });
    for (let batch = 0; batch < batches; batch++) {
      if (batch === batches / 2) {
        // The process dies right after it made a folder, and the next one finds that folder there.
        await recordedFiles.mkdir(join(path, 'shards', 'ac'));
        provider = await openDirectoryProvider({ id, path, segmentBytes, appenders: appendersHere });
      }
      await Promise.all([
        ...Array.from({ length: shardsABatch }, (_, at) => writeShard(provider, shards, batch, at)),
        ...Array.from({ length: smallABatch }, (_, at) => putShard(provider, shards, batch * smallABatch + at)),
        writeRoot(provider, roots),
      ]);
      await deleteShards(provider, shards);
      while (await provider.reclaim());
    }
    await provider.close();
    stop();
    events = diskRecorder.stop();
    await assertRecordedAll(root, events);
    assert.ok(indexes.length > 3, 'the index was hardly ever saved');
    assert.ok(
      events.some(({ kind, ...event }) => kind === 'remove' && 'path' in event && event.path.endsWith('.seg')),
      'no segment was emptied',
    );
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Cuts the power after each event and lets a provider open what is left. */
  async function cutEverywhere(random: Random | undefined): Promise<void> {
    const disk = new SimulatedDisk();
    for (const [at, event] of events.entries()) {
      disk.apply(event);
      if (!changesDisk(event)) continue;
      const root = await mkdtemp(join(folder, 'after-'));
      await writeTree(root, disk.afterPowerCut(random));
      const path = join(root, 'data', 'p1');
      // The index is SQLite's: lost, or in a state that it once had.
      const older = indexes.filter(({ savedAt }) => savedAt <= at + 1);
      if (random && older.length > 0 && random.next() < 0.7) {
        const index = random.pick(older.slice(-3));
        await cp(index.path, path, { recursive: true });
      }
      const provider = await openDirectoryProvider({ id, path, segmentBytes });
      await assertIntact(provider, shards, at + 1);
      await assertRoot(provider, roots, at + 1);
      await provider.close();
      assert.deepEqual(await readdir(join(path, 'tmp')), []);
      await rm(root, { recursive: true });
    }
  }

  it('keeps every shard that was stored, where nothing survives that was not flushed', async () => {
    await cutEverywhere(undefined);
  });

  it('keeps every shard that was stored, and shows no torn one, where anything may survive', async (test) => {
    const seed = Date.now() & 0xffff;
    test.diagnostic(`seed ${seed}, ${events.length} moments`);
    await cutEverywhere(new Random(seed));
  });
});

/** Does in this thread, where it is recorded, what appending threads do in theirs. */
const appendersHere: SegmentAppenders = {
  appenderFor: (markerPath) => ({
    take: (bytes) => Buffer.alloc(bytes),
    append: async (batch) => appendBatch(batch, markerPath),
    close() {},
  }),
};

/** Whether a power cut after the event can leave something else than one before it. */
function changesDisk(event: DiskEvent): boolean {
  return event.kind === 'open' ? event.creates || event.truncates : event.kind !== 'sync-begin';
}

/** Some shards are given up, and some deleted again. */
async function writeShard(
  provider: Provider,
  shards: Map<ShardCid, KnownShard>,
  batch: number,
  at: number,
): Promise<void> {
  const number = batch * shardsABatch + at;
  const bytes = patternBytes(100 + 50 * number, number);
  // Few folders, so that shards share them and find them made or not.
  const cid =
    `b${'a'.repeat(20)}${'abcdefghijklmnopqrstuvwxyz234567'[number]}a${number % 3 === 0 ? 'a' : batch < batches / 2 ? 'b' : 'c'}` as ShardCid;
  const shard = { bytes, committedAt: Number.POSITIVE_INFINITY, deletedAt: Number.POSITIVE_INFINITY };
  shards.set(cid, shard);
  const writer = await provider.createShard();
  await writer.append([bytes.subarray(0, 40)]);
  await writer.append([bytes.subarray(40, 60), bytes.subarray(60)]);
  if (number % 7 === 0) return writer.abort();
  await writer.commit(cid);
  shard.committedAt = diskRecorder.length;
  if (number % 5 !== 0) return;
  shard.deletedAt = diskRecorder.length;
  await provider.deleteShard(cid);
}

async function putShard(provider: Provider, shards: Map<ShardCid, KnownShard>, number: number): Promise<void> {
  const bytes = patternBytes(200 + 30 * (number % 20), `small ${number}`);
  const cid = shardCid(new Uint8Array(0), bytes);
  const shard = { bytes, committedAt: Number.POSITIVE_INFINITY, deletedAt: Number.POSITIVE_INFINITY };
  shards.set(cid, shard);
  await provider.putShard(cid, [bytes.subarray(0, 50), bytes.subarray(50)]);
  shard.committedAt = diskRecorder.length;
}

/** Deletes most of the shards that are there. */
async function deleteShards(provider: Provider, shards: ReadonlyMap<ShardCid, KnownShard>): Promise<void> {
  const present = [...shards].filter(
    ([, shard]) => Number.isFinite(shard.committedAt) && shard.deletedAt === Number.POSITIVE_INFINITY,
  );
  for (const [i, [cid, shard]] of present.entries()) {
    if (i % 4 === 0) continue;
    shard.deletedAt = diskRecorder.length;
    await provider.deleteShard(cid);
  }
}

async function writeRoot(provider: Provider, roots: KnownRoot[]): Promise<void> {
  const root = {
    bytes: patternBytes(300 + roots.length, `root ${roots.length}`),
    startedAt: diskRecorder.length,
    writtenAt: Number.POSITIVE_INFINITY,
  };
  roots.push(root);
  await provider.writeRoot(root.bytes);
  root.writtenAt = diskRecorder.length;
}

async function assertRoot(provider: Provider, roots: readonly KnownRoot[], moment: number): Promise<void> {
  const read = await provider.readRoot();
  const oldest = roots.findLastIndex(({ writtenAt }) => writtenAt <= moment);
  const possible = roots.filter(({ startedAt }, i) => i >= oldest && startedAt <= moment);
  const isKnown = read === undefined ? oldest === -1 : possible.some(({ bytes }) => bytes.equals(read));
  assert.ok(isKnown, `the root is lost or torn after event ${moment}`);
}

async function assertIntact(
  provider: Provider,
  shards: ReadonlyMap<ShardCid, KnownShard>,
  moment: number,
): Promise<void> {
  const listed = await provider.listShards(undefined, 1000);
  for (const { cid, bytes } of listed.shards) {
    const shard = shards.get(cid);
    assert.ok(shard, `${cid} was never written`);
    assert.equal(bytes, shard.bytes.length, `${cid} is torn after event ${moment}`);
    const read = await provider.readShard(cid, 0, bytes);
    assert.ok(shard.bytes.equals(read), `${cid} has other bytes after event ${moment}`);
  }
  const names = new Set(listed.shards.map(({ cid }) => cid));
  for (const [cid, { committedAt, deletedAt }] of shards) {
    if (committedAt <= moment && moment <= deletedAt) assert.ok(names.has(cid), `${cid} is lost after event ${moment}`);
  }
}

/** A change that the recorder does not know of would make the rest of this worthless. */
async function assertRecordedAll(root: string, events: readonly DiskEvent[]): Promise<void> {
  const disk = new SimulatedDisk();
  for (const event of events) disk.apply(event);
  assert.deepEqual(disk.current(), await readTree(root));
}

async function readTree(path: string): Promise<Tree> {
  const tree: Tree = new Map();
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    // SQLite's own files are not recorded.
    if (entry.name.startsWith('index.sqlite')) continue;
    tree.set(entry.name, entry.isDirectory() ? await readTree(child) : await readFile(child));
  }
  return tree;
}
