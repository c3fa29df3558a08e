import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { processKey } from '../harness/gateway-process.ts';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { hashFile, hashTree, seededBytes, writeTree } from './file-tree.ts';

/** Tests build on each other: first all providers are there, then one goes during a write, then another during a read. */
describe('s3cmd', needs('s3cmd'), () => {
  let bench: ClientBench;
  const at = (name: string): string => join(bench.folder, name);
  const s3cmd = async (...args: string[]): Promise<string> =>
    (await bench.run('s3cmd', ['-c', at('s3cfg'), '--no-progress', '--multipart-chunk-size-mb=5', ...args])).stdout;

  before(async () => {
    bench = await openClientBench();
    const { host } = new URL(bench.gateway.url);
    const settings = {
      access_key: processKey.accessKeyId,
      secret_key: processKey.secretAccessKey,
      host_base: host,
      host_bucket: host,
      use_https: 'False',
    };
    const text = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    await writeFile(at('s3cfg'), `[default]\n${text.join('')}`);
    await writeTree(at('tree'), { seed: 's3cmd', smallFiles: 30 });
    await writeFile(at('parts.bin'), seededBytes('s3cmd parts', 12 * 1024 * 1024 + 1));
    await s3cmd('mb', 's3://first');
  });
  after(() => bench?.close());

  const getAndCompare = async (name: string): Promise<void> => {
    await s3cmd('get', 's3://first/parts.bin', at(name));
    assert.equal(await hashFile(at(name)), await hashFile(at('parts.bin')));
  };

  const syncAndCompare = async (remote: string, name: string): Promise<void> => {
    await s3cmd('sync', `s3://first/${remote}/`, `${at(name)}/`);
    assert.deepEqual(await hashTree(at(name)), await hashTree(at('tree')));
  };

  it('puts in parts, lists and gets', async () => {
    await s3cmd('put', at('parts.bin'), 's3://first/');
    assert.match(await s3cmd('ls', 's3://first'), / 12582913 +s3:\/\/first\/parts\.bin$/m);
    await getAndCompare('parts-1.bin');
    await s3cmd('get', '--continue', 's3://first/parts.bin', at('parts-1.bin'));
  });

  it('syncs a tree of odd names there and back, and then finds nothing left to do', async () => {
    await s3cmd('sync', `${at('tree')}/`, 's3://first/tree/');
    await syncAndCompare('tree', 'tree-1');
    const puts = await bench.gateway.countRequests('PutObject');
    await s3cmd('sync', `${at('tree')}/`, 's3://first/tree/');
    assert.equal(await bench.gateway.countRequests('PutObject'), puts);
  });

  it('copies and moves on the server', async () => {
    await s3cmd('cp', 's3://first/parts.bin', 's3://first/copied.bin');
    await s3cmd('mv', 's3://first/copied.bin', 's3://first/moved.bin');
    await s3cmd('get', 's3://first/moved.bin', at('moved.bin'));
    assert.equal(await hashFile(at('moved.bin')), await hashFile(at('parts.bin')));
    assert.doesNotMatch(await s3cmd('ls', 's3://first'), /copied\.bin/);
  });

  it('goes on writing when a provider is deleted in the middle', async () => {
    const puts = await bench.gateway.countRequests('PutObject');
    const syncing = s3cmd('sync', `${at('tree')}/`, 's3://first/degraded/');
    await bench.gateway.waitForRequests('PutObject', puts + 5);
    await bench.gateway.deleteProvider('p4');
    await syncing;
    await syncAndCompare('degraded', 'degraded-1');
  });

  it('reads everything on every way when a second provider is deleted in the middle', async () => {
    const gets = await bench.gateway.countRequests('GetObject');
    const syncing = syncAndCompare('tree', 'tree-2');
    await bench.gateway.waitForRequests('GetObject', gets + 5);
    await bench.gateway.deleteProvider('p2');
    await syncing;
    await getAndCompare('parts-2.bin');
    await syncAndCompare('degraded', 'degraded-2');
    assert.match(await s3cmd('ls', '--recursive', 's3://first'), /s3:\/\/first\/tree\/emoji-🪢-knot$/m);
  });

  it('deletes one object, then all, then the bucket', async () => {
    await s3cmd('del', 's3://first/parts.bin');
    assert.doesNotMatch(await s3cmd('ls', 's3://first'), /parts\.bin/);
    await s3cmd('del', '--recursive', '--force', 's3://first');
    await s3cmd('rb', 's3://first');
    assert.equal(await s3cmd('ls'), '');
  });
});
