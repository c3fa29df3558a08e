import assert from 'node:assert/strict';
import { copyFile, mkdir, open as openFile, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { isFailure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { onDurableStep } from './durable-step-listener.ts';
import { listAll, nameOf, storeShard } from './provider-conformance.ts';
import { put, reclaimAll, removeIndex, SegmentFolder } from './segment-harness.ts';

const headerBytes = 64;
let seed = 0;
const someBytes = (length: number) => patternBytes(length, `segments ${seed++}`);
const isMissing = (error: unknown) => isFailure(error, 'shard-missing');
const isProviderError = (error: unknown) => isFailure(error, 'provider-error');

async function assertHolds(provider: Provider, shards: Iterable<Buffer>, message = ''): Promise<void> {
  const expected = new Map<ShardCid, number>();
  for (const bytes of shards) {
    expected.set(nameOf(bytes), bytes.length);
    const read = await provider.readShard(nameOf(bytes), 0, bytes.length);
    assert.ok(bytes.equals(read), `a shard of ${bytes.length} bytes differs ${message}`);
  }
  const listed = await listAll(provider, 7);
  assert.equal(listed.length, expected.size, message);
  assert.deepEqual(new Map(listed.map(({ cid, bytes }) => [cid, bytes])), expected, message);
}

async function changeByte(path: string, offset: number): Promise<void> {
  const file = await openFile(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  await file.write(Buffer.of(byte[0]! ^ 0x40), 0, 1, offset);
  await file.close();
}

describe('segments of a directory provider', () => {
  let folder: SegmentFolder;
  beforeEach(async () => {
    folder = await SegmentFolder.create();
  });
  afterEach(() => folder.dispose());

  it('are zeroed ahead of short shards and not of long ones, which would be written twice', async () => {
    const provider = await folder.open({ segmentShardBytes: 512 * 1024 });
    const long = [someBytes(200_000), someBytes(200_000), someBytes(400_000)];
    for (const bytes of long) await put(provider, bytes);
    const ends = headerBytes + long.reduce((sum, bytes) => sum + headerBytes + bytes.length, 0);
    assert.equal((await stat(folder.segmentPath(1))).size, ends);
    for (let n = 0; n < 3; n++) await put(provider, someBytes(60_000));
    assert.ok((await stat(folder.segmentPath(1))).size > ends + 3 * 60_064);
  });

  it('take shards below the bound, and leave the others to files', async () => {
    const provider = await folder.open({ segmentShardBytes: 1000 });
    const small = someBytes(999);
    const large = someBytes(1000);
    await Promise.all([put(provider, small), put(provider, large)]);
    const segment = await readFile(folder.segmentPath(1));
    assert.equal(segment.indexOf(small), 2 * headerBytes);
    assert.equal(segment.indexOf(large), -1);
    assert.ok(large.equals(await readFile(join(folder.path, 'shards', nameOf(large).slice(-2), nameOf(large)))));
    await assertHolds(provider, [small, large]);
  });

  it('are still read by a provider that writes none', async () => {
    const small = someBytes(999);
    const first = await folder.open();
    await put(first, small);
    await first.close();
    const again = await folder.open({ segmentShardBytes: 0 });
    const other = someBytes(10);
    await put(again, other);
    await assertHolds(again, [small, other]);
    assert.equal((await folder.segmentSizes()).size, 1);
    await again.deleteShard(nameOf(small));
    await assertHolds(again, [other]);
  });

  it('hold no more than was stored once they are closed', async () => {
    const provider = await folder.open();
    const shards = Array.from({ length: 40 }, (_, i) => someBytes(i * 100));
    await Promise.all(shards.map((bytes) => put(provider, bytes)));
    await provider.close();
    const stored = shards.reduce((sum, bytes) => sum + headerBytes + bytes.length, headerBytes);
    assert.deepEqual([...(await folder.segmentSizes()).values()], [stored]);
    const empty = await folder.open();
    await empty.close();
    assert.equal((await folder.segmentSizes()).size, 1, 'a start that stores nothing leaves no segment');
  });

  it('follow one another when they are full', async () => {
    const provider = await folder.open({ segmentBytes: 20_000 });
    const shards = Array.from({ length: 60 }, () => someBytes(1500));
    for (const bytes of shards) await put(provider, bytes);
    await provider.close();
    const sizes = [...(await folder.segmentSizes()).values()];
    assert.equal(sizes.length, 5);
    for (const size of sizes) assert.ok(size <= 20_000, `${size} bytes`);
    await assertHolds(await folder.open(), shards);
  });

  it('write what comes together with one flush, and the first call at once', async () => {
    const provider = await folder.open();
    await put(provider, someBytes(10));
    let flushes = 0;
    const stop = onDurableStep((step) => {
      if (step === 'segment-flushed') flushes++;
    });
    await put(provider, someBytes(10));
    assert.equal(flushes, 1);
    await Promise.all(Array.from({ length: 100 }, () => put(provider, someBytes(100))));
    stop();
    assert.equal(flushes, 2);
  });

  it('store the bytes that were given, also when the caller reuses the buffer after it gave up', async () => {
    const provider = await folder.open();
    const bytes = someBytes(5000);
    const buffer = Buffer.from(bytes);
    const busy = put(provider, someBytes(200_000));
    const controller = new AbortController();
    const calls = [provider.putShard(nameOf(bytes), [buffer], controller.signal)];
    controller.abort(new Error('enough'));
    await Promise.allSettled(calls);
    buffer.fill(0);
    await busy;
    await provider.putShard(nameOf(bytes), [bytes]);
    assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
  });

  it('lose a record torn at any byte by a crash, and no other', async () => {
    const provider = await folder.open();
    const kept = [someBytes(300), someBytes(20)];
    for (const bytes of kept) await put(provider, bytes);
    const last = someBytes(70);
    const indexBefore = join(folder.root, 'index-before');
    await provider.close();
    await copyFile(join(folder.path, 'index.sqlite'), indexBefore);
    await rm(join(folder.path, 'segments'), { recursive: true });
    await removeIndex(folder.path);
    const again = await folder.open();
    for (const bytes of [...kept, last]) await put(again, bytes);
    await again.close();
    const whole = await readFile(folder.segmentPath(1));
    const start = whole.length - last.length - headerBytes;
    for (let length = start; length <= whole.length; length++) {
      for (const tail of ['cut', 'zeros', 'changed'] as const) {
        if (tail !== 'cut' && length === whole.length) continue;
        const torn = Buffer.from(whole.subarray(0, tail === 'cut' ? length : whole.length));
        if (tail === 'zeros') torn.fill(0, length);
        if (tail === 'changed') torn[length] = torn[length]! ^ 0x10;
        if (tail === 'zeros' && torn.equals(whole)) continue;
        const path = folder.copy();
        await removeIndex(path);
        await writeFile(folder.segmentPath(1, path), torn);
        const opened = await folder.open({}, path);
        const isWhole = length === whole.length;
        await assertHolds(opened, isWhole ? [...kept, last] : kept, `${tail} at ${length}`);
        assert.deepEqual([...(await folder.segmentSizes(path)).values()], [isWhole ? whole.length : start]);
        await put(opened, last);
        await assertHolds(opened, [...kept, last], `${tail} at ${length}, and put again`);
        await opened.close();
        await rm(path, { recursive: true });
      }
    }
  });

  it('begin a new file after a crash, and leave the old one as it was', async () => {
    const crashed = await folder.open();
    const bytes = someBytes(500);
    await put(crashed, bytes);
    const path = folder.copy();
    const opened = await folder.open({}, path);
    const other = someBytes(600);
    await put(opened, other);
    await opened.close();
    assert.deepEqual(
      [...(await folder.segmentSizes(path)).values()],
      [2 * headerBytes + bytes.length, 2 * headerBytes + other.length],
    );
    await assertHolds(await folder.open({}, path), [bytes, other]);
  });

  it('are found by an index that is lost, damaged, older, of another version or of other segments', async () => {
    const other = await SegmentFolder.create();
    const stranger = await other.open();
    for (let count = 0; count < 5; count++) await put(stranger, someBytes(400));
    await stranger.close();
    const first = await folder.open({ segmentBytes: 5000 });
    const shards = Array.from({ length: 30 }, () => someBytes(700));
    for (const bytes of shards.slice(0, 10)) await put(first, bytes);
    await first.close();
    const older = join(folder.root, 'older.sqlite');
    await copyFile(join(folder.path, 'index.sqlite'), older);
    const second = await folder.open({ segmentBytes: 5000 });
    for (const bytes of shards.slice(10)) await put(second, bytes);
    for (const bytes of shards.slice(0, 10)) await second.deleteShard(nameOf(bytes));
    await reclaimAll(second);
    await second.close();
    const live = shards.slice(10);
    const damages: Record<string, (index: string) => Promise<void>> = {
      none: async () => {},
      lost: (index) => rm(index),
      empty: (index) => writeFile(index, ''),
      garbage: (index) => writeFile(index, someBytes(8192)),
      'cut short': (index) => truncate(index, 3000),
      older: (index) => copyFile(older, index),
      strange: (index) => copyFile(join(other.path, 'index.sqlite'), index),
      'of another version': async (index) => {
        const db = new Database(index);
        db.pragma('user_version = 77');
        db.close();
      },
      'without a table': async (index) => {
        const db = new Database(index);
        db.exec('DROP TABLE tombstones');
        db.close();
      },
    };
    for (const [name, damage] of Object.entries(damages)) {
      const path = folder.copy();
      await damage(join(path, 'index.sqlite'));
      const opened = await folder.open({}, path);
      await assertHolds(opened, live, name);
      const more = someBytes(900);
      await put(opened, more);
      await reclaimAll(opened);
      await opened.close();
      await assertHolds(await folder.open({}, path), [...live, more], `${name}, and opened again`);
    }
    await other.dispose();
  });

  it('are found again after the next start when the index turns out to be damaged in a place', async () => {
    const first = await folder.open();
    const shards = Array.from({ length: 400 }, () => someBytes(100));
    await Promise.all(shards.map((bytes) => put(first, bytes)));
    await first.close();
    const index = await readFile(join(folder.path, 'index.sqlite'));
    let found = 0;
    for (let page = 1; page * 4096 < index.length; page++) {
      const path = folder.copy();
      await writeFile(join(path, 'index.sqlite'), Buffer.from(index).fill(0x55, page * 4096, page * 4096 + 4096));
      const damaged = await folder.open({}, path);
      const reads = await Promise.allSettled(shards.map((bytes) => damaged.statShard(nameOf(bytes))));
      const failures = reads.filter((read) => read.status === 'rejected');
      for (const { reason } of failures) assert.ok(isProviderError(reason), String(reason));
      if (failures.length > 0) found++;
      await damaged.close().catch(() => {});
      await assertHolds(await folder.open({}, path), shards, `with page ${page} damaged`);
    }
    assert.ok(found > 0, 'no damage was met');
  });

  it('keep a deleted shard deleted when the index is made anew, also after its segment or tombstone was moved', async () => {
    const options = { segmentBytes: 8000 };
    let provider = await folder.open(options);
    const live = new Map<ShardCid, Buffer>();
    const all: Buffer[] = [];
    for (let round = 0; round < 12; round++) {
      for (let count = 0; count < 6; count++) {
        const bytes = someBytes(600 + count);
        all.push(bytes);
        live.set(await put(provider, bytes), bytes);
      }
      for (const [i, bytes] of all.entries()) {
        if ((i * 7 + round) % 3 !== 0 || !live.has(nameOf(bytes))) continue;
        await provider.deleteShard(nameOf(bytes));
        live.delete(nameOf(bytes));
      }
      if (round % 2 === 0) await reclaimAll(provider);
      await provider.close();
      if (round % 3 !== 0) await removeIndex(folder.path);
      provider = await folder.open(options);
      await assertHolds(provider, live.values(), `in round ${round}`);
    }
  });

  it('pass over a damaged record when the index is made anew, and find those after it', async () => {
    const provider = await folder.open();
    const shards = Array.from({ length: 5 }, () => someBytes(1000));
    for (const bytes of shards) await put(provider, bytes);
    await provider.close();
    const second = headerBytes + (headerBytes + 1000);
    for (const [name, offset] of Object.entries({ header: second + 13, bytes: second + headerBytes + 500 })) {
      const path = folder.copy();
      await changeByte(folder.segmentPath(1, path), offset);
      await removeIndex(path);
      const opened = await folder.open({}, path);
      await assertHolds(
        opened,
        shards.filter((_, i) => i !== 1),
        `with damage in the ${name}`,
      );
    }
  });

  it('give what they have of a damaged shard, also after reclaim, and heal when it is put again', async () => {
    const provider = await folder.open({ segmentBytes: 10_000 });
    const shards = Array.from({ length: 30 }, () => someBytes(1000));
    for (const bytes of shards) await put(provider, bytes);
    const [good, rotten, headless] = [shards[0]!, shards[1]!, shards[2]!];
    await changeByte(folder.segmentPath(1), headerBytes + 1064 + headerBytes + 500);
    await changeByte(folder.segmentPath(1), headerBytes + 2 * 1064 + 13);
    const deleted = shards.slice(3, 9);
    for (const bytes of deleted) await provider.deleteShard(nameOf(bytes));
    await reclaimAll(provider);
    assert.ok(!(await folder.segmentSizes()).has('0000000001.seg'), 'its segment was emptied');
    assert.ok(headless.equals(await provider.readShard(nameOf(headless), 0, 1000)));
    const read = Buffer.from(await provider.readShard(nameOf(rotten), 0, 1000));
    assert.ok(!read.equals(rotten) && read.subarray(0, 500).equals(rotten.subarray(0, 500)));
    await put(provider, rotten);
    await assertHolds(
      provider,
      shards.filter((bytes) => !deleted.includes(bytes)),
    );
    await provider.close();
    await removeIndex(folder.path);
    assert.ok(good.equals(await (await folder.open()).readShard(nameOf(good), 0, 1000)));
  });

  it('say that a shard is missing when its segment is gone, and take it again', async () => {
    const first = await folder.open();
    const bytes = someBytes(100);
    await put(first, bytes);
    await first.close();
    const provider = await folder.open();
    await rm(join(folder.path, 'segments'), { recursive: true });
    await assert.rejects(provider.readShard(nameOf(bytes), 0, 1), isMissing);
    assert.deepEqual(await listAll(provider, 10), []);
    await put(provider, bytes);
    await assertHolds(provider, [bytes]);
    await provider.close();
    await assertHolds(await folder.open(), [bytes]);
  });

  it('fail to read a shard that was cut short', async () => {
    const provider = await folder.open();
    const bytes = someBytes(1000);
    await put(provider, bytes);
    await provider.close();
    const again = await folder.open();
    await truncate(folder.segmentPath(1), 600);
    await assert.rejects(again.readShard(nameOf(bytes), 0, 1000), isProviderError);
    await put(again, bytes);
    await assertHolds(again, [bytes]);
  });

  it('keep aside a file that is none of theirs, and remove one that was just made', async () => {
    await (await folder.open()).close();
    await mkdir(join(folder.path, 'segments', 'folder'));
    await writeFile(folder.segmentPath(1), Buffer.alloc(4096));
    await writeFile(folder.segmentPath(2), Buffer.alloc(10));
    await writeFile(folder.segmentPath(3), someBytes(4096));
    const provider = await folder.open();
    assert.deepEqual(await listAll(provider, 10), []);
    assert.deepEqual([...(await folder.segmentSizes()).keys()], ['0000000003.seg.damaged', 'folder']);
    await put(provider, someBytes(10));
    assert.ok((await folder.segmentSizes()).has('0000000004.seg'));
  });

  it('are written by one process: whoever opened them before changes the index no more', async () => {
    const first = await folder.open();
    const early = someBytes(100);
    await put(first, early);
    const second = await folder.open();
    const late = someBytes(100);
    await put(second, late);
    await second.close();
    await assert.rejects(first.close(), isProviderError);
    await assertHolds(await folder.open(), [early, late]);
  });

  it('keep nothing of a write that failed, and begin a new file after it', async () => {
    const provider = await folder.open();
    const shards = [someBytes(100), someBytes(200)];
    const refused = someBytes(300);
    await put(provider, shards[0]!);
    const marker = join(folder.path, 'provider.json');
    await rename(marker, `${marker}.away`);
    await assert.rejects(put(provider, refused), isProviderError);
    await rename(`${marker}.away`, marker);
    await assert.rejects(provider.statShard(nameOf(refused)), isMissing);
    await put(provider, shards[1]!);
    await assertHolds(provider, shards);
    await provider.close();
    assert.deepEqual([...(await folder.segmentSizes()).values()], [2 * headerBytes + 100, 2 * headerBytes + 200]);
    await removeIndex(folder.path);
    await assertHolds(await folder.open(), shards);
  });

  it('bring the log of the index into its database while they are open', async () => {
    const provider = await folder.open();
    const shards = Array.from({ length: 9500 }, (_, i) => Buffer.from(`shard ${i}`));
    await Promise.all(shards.map((bytes) => put(provider, bytes)));
    const index = join(folder.path, 'index.sqlite');
    for (let count = 0; (await stat(index)).size < 100_000; count++) {
      assert.ok(count < 100_000, 'the log only grows');
      await new Promise((resolve) => setImmediate(resolve));
    }
    const bytes = shards[5000]!;
    assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
    await provider.close();
    const again = await folder.open();
    assert.equal((await listAll(again, 5000)).length, shards.length);
  });

  it('keep few descriptors open, and read from all of them at once', async () => {
    const provider = await folder.open({ segmentBytes: 2000 });
    const shards = Array.from({ length: 100 }, () => someBytes(1500));
    for (const bytes of shards) await put(provider, bytes);
    assert.ok((await folder.segmentSizes()).size >= 100);
    const before = await folder.countOpenSegments();
    const read = await Promise.all(shards.map((bytes) => provider.readShard(nameOf(bytes), 0, 1500)));
    for (const [i, bytes] of shards.entries()) assert.ok(bytes.equals(read[i]!));
    // Those that were used last, and the one or two that are being written; closing does not wait.
    for (let count = 0; (await folder.countOpenSegments()) > before + 32; count++) {
      assert.ok(count < 1000, `${await folder.countOpenSegments()} segments are open`);
    }
    await provider.close();
  });

  it('take no new shard when only the reserve is left, but deletes and reclaim go on', async () => {
    const options = { segmentBytes: 20_000 };
    const first = await folder.open(options);
    const shards = Array.from({ length: 60 }, () => someBytes(1500));
    for (const bytes of shards) await put(first, bytes);
    const { freeBytes } = await first.capacity();
    await first.close();
    const full = await folder.open({ ...options, reserveBytes: freeBytes * 2 + 2 ** 30 });
    await assert.rejects(put(full, someBytes(10)), (error) => isFailure(error, 'provider-full'));
    for (const [i, bytes] of shards.entries()) if (i % 4 !== 0) await full.deleteShard(nameOf(bytes));
    await reclaimAll(full);
    await full.close();
    const left = shards.filter((_, i) => i % 4 === 0);
    const stored = left.reduce((sum, bytes) => sum + headerBytes + bytes.length, 0);
    const used = [...(await folder.segmentSizes()).values()].reduce((sum, size) => sum + size, 0);
    assert.ok(used < stored * 1.3, `${used} bytes for ${stored}`);
    await assertHolds(await folder.open(), left);
  });

  it('delete both the file and the record of a shard that was stored in both ways', async () => {
    const provider = await folder.open();
    const bytes = someBytes(100);
    await storeShard(provider, bytes);
    await put(provider, bytes);
    await provider.deleteShard(nameOf(bytes));
    await assert.rejects(provider.statShard(nameOf(bytes)), isMissing);
  });
});
