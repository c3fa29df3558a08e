import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { readMarkerId } from '../../placement/providers/directory-marker.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { listAll, nameOf, storeShard } from './provider-conformance.ts';

const id = 'd1' as ProviderId;
const isProviderError = (error: unknown) => isFailure(error, 'provider-error') && error.cause instanceof Error;

describe('directory of a provider', () => {
  let parent: string;
  let path: string;
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'holdfast-provider-'));
    path = join(parent, 'disk', 'd1');
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));
  const open = (reserveBytes = 0) => openDirectoryProvider({ id, path, reserveBytes });

  it('is made and marked at first open', async () => {
    await (await open()).close();
    assert.deepEqual((await readdir(path)).sort(), ['index.sqlite', 'provider.json', 'segments', 'shards', 'tmp']);
    assert.deepEqual(await readdir(join(path, 'segments')), []);
    assert.equal(await readMarkerId(path), id);
    assert.deepEqual(JSON.parse(await readFile(join(path, 'provider.json'), 'utf8')), {
      format: 'holdfast-provider',
      version: 1,
      id: 'd1',
    });
  });

  it('keeps a shard as one file, in a folder named after the end of its CID, for the owner alone', async () => {
    const provider = await open();
    const bytes = randomBytes(1000);
    const cid = await storeShard(provider, bytes);
    const file = join(path, 'shards', cid.slice(-2), cid);
    assert.deepEqual(await readFile(file), bytes);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
  });

  it('has its shards again when it is opened again', async () => {
    const bytes = randomBytes(1000);
    const cid = await storeShard(await open(), bytes);
    const again = await open();
    assert.deepEqual(Buffer.from(await again.readShard(cid, 0, 1000)), bytes);
    await storeShard(again, randomBytes(10));
    assert.equal((await listAll(again, 10)).length, 2);
  });

  it('loses what a crash left half written when it is opened again', async () => {
    const crashed = await open();
    const writer = await crashed.createShard();
    await writer.append([randomBytes(100)]);
    await mkdir(join(path, 'tmp', 'odd'));
    assert.equal((await readdir(join(path, 'tmp'))).length, 2);
    const again = await open();
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
    assert.deepEqual(await listAll(again, 10), []);
    await assert.rejects(writer.commit(nameOf(randomBytes(5))), isProviderError);
    assert.deepEqual(await listAll(again, 10), []);
    await writer.abort();
  });

  it('lists folders with many shards, in pages that end anywhere', async () => {
    const provider = await open();
    const pattern = nameOf(randomBytes(10));
    const cids = ['ca', 'ce', 'da'].flatMap((folder) =>
      Array.from({ length: 40 }, (_, i) => {
        const number = i.toString(2).padStart(8, 'a').replaceAll('0', 'a').replaceAll('1', 'b');
        return `${pattern.slice(0, -10)}${number}${folder}` as ShardCid;
      }),
    );
    for (const cid of cids) {
      const writer = await provider.createShard();
      await writer.append([randomBytes(3)]);
      await writer.commit(cid);
    }
    assert.equal((await readdir(join(path, 'shards'))).length, 3);
    for (const limit of [7, 40, 80, 119, 120, 1000]) {
      const listed = (await listAll(provider, limit)).map((shard) => shard.cid);
      assert.deepEqual(listed.toSorted(), cids.toSorted(), `in pages of ${limit}`);
    }
    const page = await provider.listShards(undefined, 10);
    assert.deepEqual(await provider.listShards(page.cursor, 50), await provider.listShards(page.cursor, 50));
  });

  it('does not close a file that is still being written', async () => {
    const provider = await open();
    const writer = await provider.createShard();
    const events: string[] = [];
    const append = writer.append([Buffer.alloc(2 ** 24)]).then(() => events.push('written'));
    await Promise.all([append, writer.abort().then(() => events.push('aborted'))]);
    assert.deepEqual(events, ['written', 'aborted']);
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
  });

  it('is refused to a provider with another id', async () => {
    await open();
    await assert.rejects(
      openDirectoryProvider({ id: 'd2' as ProviderId, path }),
      (error) => isFailure(error, 'provider-error') && /belongs to the provider d1/.test(String(error.cause)),
    );
  });

  it('is refused when its marker is damaged or of a later format', async () => {
    await open();
    for (const text of ['', '{}', '[1]', '{"format":"holdfast-provider","version":2,"id":"d1"}']) {
      await writeFile(join(path, 'provider.json'), text);
      await assert.rejects(open(), isProviderError, text);
      await assert.rejects(readMarkerId(path), Error, text);
    }
  });

  it('is refused when it holds other files and was never marked, but not when it is a fresh file system', async () => {
    await mkdir(join(path, 'photos'), { recursive: true });
    await assert.rejects(open(), isProviderError);
    assert.deepEqual(await readdir(path), ['photos']);
    await rename(join(path, 'photos'), join(path, 'lost+found'));
    await storeShard(await open(), randomBytes(10));
  });

  it('is refused when it is a file', async () => {
    await mkdir(join(parent, 'disk'));
    await writeFile(path, '');
    await assert.rejects(open(), isProviderError);
  });

  it('fails every call while it is gone, is not made anew, and works again once it is back', async () => {
    const provider = await open();
    const bytes = randomBytes(100);
    const cid = await storeShard(provider, bytes);
    const small = randomBytes(99);
    const smallCid = nameOf(small);
    await provider.putShard(smallCid, [small]);
    const writer = await provider.createShard();
    await writer.append([bytes]);
    await rename(path, `${path}-gone`);
    const calls = [
      () => provider.createShard(),
      () => provider.putShard(nameOf(randomBytes(4)), [randomBytes(4)]),
      () => provider.statShard(smallCid),
      () => provider.deleteShard(smallCid),
      () => provider.readRoot(),
      () => provider.writeRoot(bytes),
      () => provider.reclaim(),
      () => writer.commit(nameOf(randomBytes(3))),
      () => provider.readShard(cid, 0, 100),
      () => provider.statShard(cid),
      () => provider.deleteShard(cid),
      () => provider.listShards(undefined, 10),
      () => provider.capacity(),
    ];
    for (const call of calls) await assert.rejects(call, isProviderError, String(call));
    await writer.abort();
    assert.deepEqual(await readdir(join(parent, 'disk')), ['d1-gone']);
    await rename(`${path}-gone`, path);
    assert.deepEqual(Buffer.from(await provider.readShard(cid, 0, 100)), bytes);
    assert.deepEqual(Buffer.from(await provider.readShard(smallCid, 0, 99)), small);
    await storeShard(provider, randomBytes(20));
    await provider.putShard(nameOf(bytes.subarray(1)), [bytes.subarray(1)]);
    assert.equal((await listAll(provider, 1)).length, 4);
    await provider.close();
    assert.equal((await listAll(await open(), 1)).length, 4);
  });

  it('writes nothing to the mount point beneath a disk that fell out', async () => {
    const provider = await open();
    const cid = await storeShard(provider, randomBytes(100));
    await rename(path, `${path}-gone`);
    await mkdir(path);
    await assert.rejects(storeShard(provider, randomBytes(100)), isProviderError);
    await assert.rejects(provider.putShard(nameOf(randomBytes(9)), [randomBytes(9)]), isProviderError);
    await assert.rejects(provider.writeRoot(randomBytes(9)), isProviderError);
    await assert.rejects(provider.readShard(cid, 0, 1), isProviderError);
    await assert.rejects(provider.deleteShard(cid), isProviderError);
    await assert.rejects(provider.listShards(undefined, 10), isProviderError);
    await assert.rejects(provider.capacity(), isProviderError);
    assert.deepEqual(await readdir(path), []);
  });

  it('makes its folders again when only they are gone', async () => {
    const provider = await open();
    const bytes = randomBytes(100);
    const cid = await storeShard(provider, bytes);
    await rm(join(path, 'shards'), { recursive: true });
    await rm(join(path, 'tmp'), { recursive: true });
    assert.deepEqual(await listAll(provider, 10), []);
    await assert.rejects(provider.readShard(cid, 0, 1), (error) => isFailure(error, 'shard-missing'));
    await provider.deleteShard(cid);
    await storeShard(provider, bytes);
    assert.deepEqual(Buffer.from(await provider.readShard(cid, 0, 100)), bytes);
  });

  it('is full when free space is under the reserve, and keeps nothing of what it refused', async () => {
    const { freeBytes } = await (await open()).capacity();
    const full = await open(freeBytes * 2 + 2 ** 30);
    await assert.rejects(storeShard(full, randomBytes(10)), (error) => isFailure(error, 'provider-full'));
    assert.equal((await full.capacity()).freeBytes, 0);
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
  });

  it('is full when an append would eat into the reserve', async () => {
    const { freeBytes } = await (await open()).capacity();
    const provider = await open(Math.floor(freeBytes / 2));
    const writer = await provider.createShard();
    await writer.append([randomBytes(10)]);
    const huge = { length: freeBytes } as Uint8Array;
    await assert.rejects(writer.append([huge]), (error) => isFailure(error, 'provider-full'));
    await writer.abort();
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
  });

  it('fails to read a shard that was cut short, and lists it as long as it is', async () => {
    const provider = await open();
    const cid = await storeShard(provider, randomBytes(100));
    await truncate(join(path, 'shards', cid.slice(-2), cid), 60);
    await assert.rejects(provider.readShard(cid, 0, 100), isProviderError);
    assert.equal((await provider.readShard(cid, 0, 60)).length, 60);
    assert.equal((await listAll(provider, 10))[0]?.bytes, 60);
  });

  it('overlooks files that are not shards', async () => {
    const provider = await open();
    const cid = await storeShard(provider, randomBytes(100));
    await writeFile(join(path, 'shards', 'README'), '');
    await writeFile(join(path, 'shards', cid.slice(-2), '.hidden'), '');
    await writeFile(join(path, 'shards', cid.slice(-2), `${cid}.old`), '');
    const again = await open();
    assert.deepEqual(
      (await listAll(again, 10)).map((shard) => shard.cid),
      [cid],
    );
  });

  it('never leaves its directory for a name that is no CID', async () => {
    const provider = await open();
    await writeFile(join(parent, 'disk', 'secret'), 'secret');
    for (const name of ['../../../secret', '..', '', 'b../..', '/etc/passwd', 'bAAAAAAAAAA'] as ShardCid[]) {
      await assert.rejects(provider.readShard(name, 0, 1), isProviderError, name);
      await assert.rejects(provider.deleteShard(name), isProviderError, name);
      const writer = await provider.createShard();
      await assert.rejects(writer.commit(name), isProviderError, name);
    }
    assert.equal(await readFile(join(parent, 'disk', 'secret'), 'utf8'), 'secret');
    assert.deepEqual(await readdir(join(path, 'tmp')), []);
  });
});
