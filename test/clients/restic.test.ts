import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { hashTree, seededBytes, writeTree } from './file-tree.ts';

/** Tests build on each other: first all providers are there, then one goes during a write, then another during a read. */
describe('restic', needs('restic'), () => {
  let bench: ClientBench;
  let snapshots: string[];
  const at = (name: string): string => join(bench.folder, name);
  const restic = async (...args: string[]): Promise<string> => (await bench.run('restic', args)).stdout;

  before(async () => {
    bench = await openClientBench();
    await writeTree(at('tree'), { seed: 'restic', smallFiles: 150 });
    await writeFile(at('tree/large.bin'), seededBytes('restic large', 20_000_000));
  });
  after(() => bench?.close());

  const restoreAndCompare = async (snapshot: string, target: string): Promise<void> => {
    await restic('restore', snapshot, '--target', at(target));
    assert.deepEqual(await hashTree(at(`${target}/tree`)), await hashTree(at('tree')));
  };

  const snapshotIds = async (): Promise<string[]> =>
    (JSON.parse(await restic('snapshots', '--json')) as { short_id: string }[]).map(({ short_id }) => short_id);

  it('creates a repository and its bucket, and backs a tree up', async () => {
    await restic('init');
    await restic('backup', 'tree');
  });

  it('reads all data back, verifies them, and restores the same bytes', async () => {
    assert.match(await restic('check', '--read-data', '--no-cache'), /no errors were found/);
    await restoreAndCompare('latest', 'restored-1');
  });

  it('goes on writing when a provider is deleted in the middle, and shows the difference', async () => {
    await writeFile(at('tree/added.bin'), seededBytes('restic added', 30_000_000));
    await rm(at('tree/plain.txt'));
    const puts = await bench.gateway.countRequests('PutObject');
    const backup = restic('backup', 'tree');
    await bench.gateway.waitForRequests('PutObject', puts + 2);
    await bench.gateway.deleteProvider('p3');
    await backup;
    snapshots = await snapshotIds();
    assert.equal(snapshots.length, 2);
    const [first = '', second = ''] = snapshots;
    const difference = await restic('diff', first, second);
    assert.match(difference, /^\+ +\/tree\/added\.bin$/m);
    assert.match(difference, /^- +\/tree\/plain\.txt$/m);
    await restoreAndCompare('latest', 'restored-2');
  });

  it('goes on reading when a second provider is deleted in the middle', async () => {
    const gets = await bench.gateway.countRequests('GetObject');
    const checking = restic('check', '--read-data', '--no-cache');
    await bench.gateway.waitForRequests('GetObject', gets + 3);
    await bench.gateway.deleteProvider('p4');
    assert.match(await checking, /no errors were found/);
  });

  it('checks, restores and compares with two providers gone', async () => {
    assert.match(await restic('check', '--read-data', '--no-cache'), /no errors were found/);
    await restoreAndCompare('latest', 'restored-3');
    const [first = '', second = ''] = snapshots;
    assert.match(await restic('diff', '--no-cache', first, second), /^\+ +\/tree\/added\.bin$/m);
    assert.match(await restic('ls', '--no-cache', 'latest'), /^\/tree\/日本語\/ファイル$/m);
  });
});
