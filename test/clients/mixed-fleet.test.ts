import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type MixedFleet, startMixedFleet } from '../harness/mixed-fleet.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { readMetric } from '../harness/read-metric.ts';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { hashFile, hashTree, seededBytes, writeTree } from './file-tree.ts';

/** Three parts of aws-cli. */
const largeBytes = 24 * 1024 * 1024;

/**
 * The clients over two directories, two nodes and two buckets, in short. Tests build on each other: first all providers are there, then both
 * buckets are away, which is all that 4+2 can bear, and then a node is.
 */
describe('clients over a fleet of directories, nodes and buckets', () => {
  let fleet: MixedFleet;
  let bench: ClientBench;
  const at = (name: string): string => join(bench.folder, name);
  const aws = async (...args: string[]): Promise<string> =>
    (await bench.run('aws', ['--endpoint-url', bench.gateway.url, 's3', ...args])).stdout;
  const rclone = async (...args: string[]): Promise<string> =>
    (await bench.run('rclone', ['--retries', '1', ...args])).stdout;
  const restic = async (...args: string[]): Promise<string> => (await bench.run('restic', args)).stdout;

  before(async () => {
    fleet = await startMixedFleet();
    const config = join(fleet.back.dataDir, 'front.json');
    const limits = { suspectMs: 200, providerTimeoutMs: 5_000 };
    await writeFile(config, JSON.stringify({ providers: fleet.providers, limits }));
    bench = await openClientBench({ HOLDFAST_CONFIG: config });
    await writeFile(at('rclone.conf'), '');
    await writeTree(at('tree'), { seed: 'mixed', smallFiles: 20 });
    await writeFile(at('large.bin'), seededBytes('mixed large', largeBytes));
  });
  after(async () => {
    await bench?.close();
    await fleet?.close();
  });

  const readBackByAws = async (name: string): Promise<void> => {
    await aws('cp', '--only-show-errors', 's3://aws/large.bin', at(name));
    assert.equal(await hashFile(at(name)), await hashFile(at('large.bin')));
    await rm(at(name));
    await aws('sync', '--only-show-errors', 's3://aws/tree', at(`${name}-tree`));
    assert.deepEqual(await hashTree(at(`${name}-tree`)), await hashTree(at('tree')));
  };

  /** Without a lock, which would be a write. */
  const readBackByRestic = async (target: string): Promise<void> => {
    assert.match(await restic('check', '--read-data', '--no-cache', '--no-lock'), /no errors were found/);
    await restic('restore', 'latest', '--no-lock', '--target', at(target));
    assert.deepEqual(await hashTree(at(`${target}/tree`)), await hashTree(at('tree')));
  };

  it('aws-cli writes and reads, in parts too, syncs, lists and deletes', needs('aws'), async () => {
    await aws('mb', 's3://aws');
    const parts = await bench.gateway.countRequests('UploadPart');
    await aws('cp', '--only-show-errors', at('large.bin'), 's3://aws/large.bin');
    assert.equal(await bench.gateway.countRequests('UploadPart'), parts + 3);
    await aws('cp', '--only-show-errors', at('tree/plain.txt'), 's3://aws/gone.txt');
    await aws('sync', '--only-show-errors', at('tree'), 's3://aws/tree');
    await aws('rm', '--only-show-errors', 's3://aws/gone.txt');
    const listed = await aws('ls', 's3://aws');
    assert.match(listed, /\b25165824 large\.bin$/m);
    assert.match(listed, /^ +PRE tree\/$/m);
    assert.doesNotMatch(listed, /gone\.txt/);
    await readBackByAws('aws-1');
  });

  it('rclone syncs, and every byte compares equal', needs('rclone'), async () => {
    await rclone('sync', at('tree'), 'hf:rclone/tree');
    await rclone('check', '--download', at('tree'), 'hf:rclone/tree');
  });

  it('restic backs up, checks and restores', needs('restic'), async () => {
    await restic('init');
    await restic('backup', 'tree');
    await readBackByRestic('restored-1');
  });

  it('has put a part of it at every provider', needs('aws'), async () => {
    for (const { id } of fleet.providers) {
      const bytes = await readMetric(
        bench.gateway.adminUrl,
        'holdfast_provider_bytes_total',
        `provider="${id}",direction="out"`,
      );
      assert.ok(bytes > largeBytes / 6, `${id} was sent ${bytes} bytes`);
    }
  });

  describe('while the gateway of both buckets is stopped', () => {
    before(() => fleet.back.close());
    after(() => fleet.startBack());

    it('aws-cli reads all of it', needs('aws'), () => readBackByAws('aws-2'));

    it('rclone compares all of it', needs('rclone'), async () => {
      await rclone('check', '--download', at('tree'), 'hf:rclone/tree');
    });

    it('restic checks and restores all of it', needs('restic'), () => readBackByRestic('restored-2'));
  });

  describe('while a node is dead, and the buckets are back', () => {
    before(async () => {
      const wellBuckets = () => readMetric(bench.gateway.adminUrl, 'holdfast_provider_breaker', 'provider="bucket-');
      await pollUntil('the buckets are asked again', async () => (await wellBuckets()) === 0, 30_000);
      await fleet.nodes[0]!.nodeServer.stop(0);
    });

    it('aws-cli writes and reads', needs('aws'), async () => {
      await writeFile(at('two-parts.bin'), seededBytes('mixed two parts', 9_000_000));
      await aws('cp', '--only-show-errors', at('two-parts.bin'), 's3://aws/after.bin');
      await aws('rm', '--only-show-errors', 's3://aws/large.bin');
      await aws('mv', '--only-show-errors', 's3://aws/after.bin', at('after.bin'));
      assert.equal(await hashFile(at('after.bin')), await hashFile(at('two-parts.bin')));
      assert.doesNotMatch(await aws('ls', 's3://aws'), /\.bin/);
    });

    it('rclone deletes what is no longer there, and adds what is new', needs('rclone'), async () => {
      await rm(at('tree/plain.txt'));
      await writeFile(at('tree/new.bin'), seededBytes('mixed new', 1_500_000));
      await rclone('sync', at('tree'), 'hf:rclone/tree');
      await rclone('check', '--download', at('tree'), 'hf:rclone/tree');
    });

    it('restic backs up what changed, and restores it', needs('restic'), async () => {
      await writeFile(at('tree/newer.bin'), seededBytes('mixed newer', 1_500_000));
      await restic('backup', 'tree');
      await readBackByRestic('restored-3');
    });
  });
});
