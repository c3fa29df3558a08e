import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { memoryFolder } from '../model/memory-folder.ts';
import { diskRecorder, recordFiles } from './disk-recorder.ts';
import { Random } from './random.ts';
import * as recordedFiles from './recording-fs-promises.ts';
import { type DiskEvent, SimulatedDisk, type Tree, writeTree } from './simulated-disk.ts';

recordFiles();
const { startGateway } = await import('../harness/gateway.ts');
const { openDirectoryProvider } = await import('../../placement/providers/directory-provider.ts');

const id = 'p1' as ProviderId;
const batches = 6;
const shardsABatch = 5;

/** A shard that was written: from which event on it must be there, and from which on it may be gone again. */
interface KnownShard {
  readonly bytes: Buffer;
  committedAt: number;
  deletedAt: number;
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

  before(async () => {
    folder = await mkdtemp(join(memoryFolder, 'holdfast-power-'));
    const root = join(folder, 'disk');
    await mkdir(root);
    diskRecorder.start(root);
    const path = join(root, 'data', 'p1');
    let provider = await openDirectoryProvider({ id, path });
    for (let batch = 0; batch < batches; batch++) {
      if (batch === batches / 2) {
        // The process dies right after it made a folder, and the next one finds that folder there.
        await recordedFiles.mkdir(join(path, 'shards', 'ac'));
        provider = await openDirectoryProvider({ id, path });
      }
      await Promise.all(Array.from({ length: shardsABatch }, (_, at) => writeShard(provider, shards, batch, at)));
    }
    events = diskRecorder.stop();
    await assertRecordedAll(root, events);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Cuts the power after each event and lets a provider open what is left. */
  async function cutEverywhere(random: Random | undefined): Promise<void> {
    const disk = new SimulatedDisk();
    for (const [at, event] of events.entries()) {
      disk.apply(event);
      const root = await mkdtemp(join(folder, 'after-'));
      await writeTree(root, disk.afterPowerCut(random));
      await assertIntact(await openDirectoryProvider({ id, path: join(root, 'data', 'p1') }), shards, at + 1);
      assert.deepEqual(await readdir(join(root, 'data', 'p1', 'tmp')), []);
      await rm(root, { recursive: true });
    }
  }

  it('keeps every shard that was committed, where nothing survives that was not flushed', async () => {
    await cutEverywhere(undefined);
  });

  it('keeps every shard that was committed, and shows no torn one, where anything may survive', async (test) => {
    const seed = Date.now() & 0xffff;
    test.diagnostic(`seed ${seed}, ${events.length} moments`);
    await cutEverywhere(new Random(seed));
  });
});

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
    tree.set(entry.name, entry.isDirectory() ? await readTree(child) : await readFile(child));
  }
  return tree;
}
