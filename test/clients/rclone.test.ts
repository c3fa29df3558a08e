import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { hashFile, hashTree, seededBytes, writeTree } from './file-tree.ts';

/** Small enough that a file of some MiB goes up, and is copied, in parts. */
const partFlags = ['--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', '--s3-copy-cutoff', '5M'];

/** Tests build on each other: first all providers are there, then one goes during a write, then another during a read. */
describe('rclone', needs('rclone'), () => {
  let bench: ClientBench;
  let names: string[];
  const at = (name: string): string => join(bench.folder, name);
  const rclone = async (...args: string[]): Promise<string> =>
    (await bench.run('rclone', ['--retries', '1', ...partFlags, ...args])).stdout;

  before(async () => {
    bench = await openClientBench();
    await writeFile(at('rclone.conf'), '');
    await writeTree(at('tree'), { seed: 'rclone', smallFiles: 150 });
    await writeFile(at('tree/parts.bin'), seededBytes('rclone parts', 12 * 1024 * 1024 + 1));
    names = Object.keys(await hashTree(at('tree'))).toSorted();
    await rclone('mkdir', 'hf:first');
  });
  after(() => bench?.close());

  const lines = (text: string): string[] => text.split('\n').filter(Boolean).toSorted();

  it('copies a tree of odd names there, and every byte of it compares equal', async () => {
    await rclone('copy', at('tree'), 'hf:first/tree');
    await rclone('check', '--download', at('tree'), 'hf:first/tree');
    assert.ok((await bench.gateway.countRequests('UploadPart')) >= 3);
  });

  it('finds nothing to do in a second sync, by its own modification times and hashes', async () => {
    const puts = await bench.gateway.countRequests('PutObject');
    await rclone('sync', at('tree'), 'hf:first/tree');
    await rclone('sync', '--checksum', at('tree'), 'hf:first/tree');
    assert.equal(await bench.gateway.countRequests('PutObject'), puts);
  });

  it('lists files, folders and hashes', async () => {
    assert.deepEqual(lines(await rclone('lsf', '-R', '--files-only', 'hf:first/tree')), names);
    assert.match(await rclone('lsf', 'hf:first/tree'), /^deep\/$/m);
    const theirs = lines(await rclone('md5sum', 'hf:first/tree'));
    assert.deepEqual(theirs, lines(await rclone('md5sum', at('tree'))));
  });

  it('copies on the server, in parts where the object is large, and moves', async () => {
    const gets = await bench.gateway.countRequests('GetObject');
    await rclone('copy', 'hf:first/tree', 'hf:first/copy');
    assert.equal(await bench.gateway.countRequests('GetObject'), gets, 'no byte went through the client');
    assert.ok((await bench.gateway.countRequests('UploadPartCopy')) >= 3);
    await rclone('move', 'hf:first/copy', 'hf:second');
    await rclone('check', '--download', at('tree'), 'hf:second');
    assert.equal(await rclone('lsf', '-R', 'hf:first/copy'), '');
  });

  it('reads a part of an object', async () => {
    const text = await rclone('cat', '--offset', '5', '--count', '100000', 'hf:first/tree/small/3/file-3.dat');
    const whole = await rclone('cat', 'hf:first/tree/small/3/file-3.dat');
    assert.equal(text, whole.slice(5));
  });

  it('goes on writing when a provider is deleted in the middle', async () => {
    const puts = await bench.gateway.countRequests('PutObject');
    const copying = rclone('copy', at('tree'), 'hf:first/degraded');
    await bench.gateway.waitForRequests('PutObject', puts + 20);
    await bench.gateway.deleteProvider('p1');
    await copying;
    await rclone('check', '--download', at('tree'), 'hf:first/degraded');
  });

  it('goes on reading when a second provider is deleted in the middle', async () => {
    const gets = await bench.gateway.countRequests('GetObject');
    const copying = rclone('copy', 'hf:first/tree', at('back'));
    await bench.gateway.waitForRequests('GetObject', gets + 20);
    await bench.gateway.deleteProvider('p6');
    await copying;
    assert.deepEqual(await hashTree(at('back')), await hashTree(at('tree')));
  });

  it('reads everything on every way with two providers gone', async () => {
    for (const remote of ['hf:first/tree', 'hf:first/degraded', 'hf:second'])
      await rclone('check', '--download', at('tree'), remote);
    assert.deepEqual(lines(await rclone('lsf', '-R', '--files-only', 'hf:first/tree')), names);
    await rclone('copyto', '--multi-thread-cutoff', '1M', 'hf:first/tree/parts.bin', at('parts'));
    assert.equal(await hashFile(at('parts')), await hashFile(at('tree/parts.bin')));
  });

  it('deletes what a sync no longer finds, and then everything', async () => {
    await rclone('delete', 'hf:first/tree/small');
    assert.equal(await rclone('lsf', '-R', '--files-only', 'hf:first/tree/small'), '');
    await rclone('purge', 'hf:first');
    await rclone('purge', 'hf:second');
    assert.equal(await rclone('lsf', 'hf:'), '');
  });
});
