import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { processKey } from '../harness/gateway-process.ts';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { hashFile, hashTree, seededBytes, writeTree } from './file-tree.ts';

/** Clients that compare ETags with MD5s where they take them for such must not do so here. */
/** aws-cli sent Content-MD5 with every upload before it came to checksums of other kinds, in 1.37 and 2.23. */
function declaresMd5(version: string): boolean {
  const [, major, minor] = /aws-cli\/(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(minor) < (major === '1' ? 37 : 23);
}

describe('a server whose ETags are opaque', () => {
  let bench: ClientBench;
  let configFolder: string;
  const at = (name: string): string => join(bench.folder, name);

  before(async () => {
    configFolder = await mkdtemp(join(tmpdir(), 'holdfast-etags-'));
    const config = join(configFolder, 'config.json');
    await writeFile(config, JSON.stringify({ etags: 'opaque' }));
    bench = await openClientBench({ HOLDFAST_CONFIG: config });
    await writeFile(at('rclone.conf'), '');
    await writeTree(at('tree'), { seed: 'etags', smallFiles: 12 });
    await writeFile(at('tree/parts.bin'), seededBytes('etags parts', 12 * 1024 * 1024 + 1));
  });
  after(async () => {
    await bench?.close();
    await rm(configFolder, { recursive: true, force: true });
  });

  it('serves aws-cli: cp and sync both ways, in parts, and a second sync that does nothing', needs('aws'), async () => {
    const aws = async (...args: string[]): Promise<string> =>
      (await bench.run('aws', ['--endpoint-url', bench.gateway.url, ...args])).stdout;
    await aws('s3', 'mb', 's3://aws');
    await aws('s3', 'cp', at('tree/parts.bin'), 's3://aws/parts.bin');
    await aws('s3', 'cp', 's3://aws/parts.bin', at('parts.back'));
    assert.equal(await hashFile(at('parts.back')), await hashFile(at('tree/parts.bin')));
    await aws('s3', 'sync', at('tree'), 's3://aws/tree');
    const puts = await bench.gateway.countRequests('PutObject');
    await aws('s3', 'sync', at('tree'), 's3://aws/tree');
    assert.equal(await bench.gateway.countRequests('PutObject'), puts);
    await aws('s3', 'sync', 's3://aws/tree', at('aws-back'));
    assert.deepEqual(await hashTree(at('aws-back')), await hashTree(at('tree')));
    const listed = await aws('s3api', 'list-objects-v2', '--bucket', 'aws', '--query', 'Contents[].ETag');
    const etags = JSON.parse(listed) as string[];
    assert.ok(etags.length > 12);
    // Where a client declares the MD5, it is computed to be compared, and is the ETag.
    const isPlain = declaresMd5(await aws('--version'));
    for (const etag of etags) assert.match(etag, isPlain ? /^"[0-9a-f]{32}(-\d+)?"$/ : /^"[0-9a-f]{32}-\d+"$/);
  });

  it('serves rclone: copy, sync, check and copies on the server, in parts', needs('rclone'), async () => {
    const parts = ['--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', '--s3-copy-cutoff', '5M'];
    const rclone = async (...args: string[]): Promise<string> => {
      const { stdout, stderr } = await bench.run('rclone', ['--retries', '1', ...parts, ...args]);
      assert.doesNotMatch(stderr, /ERROR|[1-9]\d* differences|corrupt/i);
      return stdout;
    };
    await rclone('mkdir', 'hf:rclone');
    await rclone('copy', at('tree'), 'hf:rclone/tree');
    await rclone('check', '--download', at('tree'), 'hf:rclone/tree');
    await rclone('check', at('tree'), 'hf:rclone/tree');
    const puts = await bench.gateway.countRequests('PutObject');
    await rclone('sync', at('tree'), 'hf:rclone/tree');
    await rclone('sync', '--checksum', at('tree'), 'hf:rclone/tree');
    assert.equal(await bench.gateway.countRequests('PutObject'), puts);
    await rclone('copy', 'hf:rclone/tree', 'hf:rclone/copy');
    await rclone('copy', 'hf:rclone/copy', at('rclone-back'));
    assert.deepEqual(await hashTree(at('rclone-back')), await hashTree(at('tree')));
  });

  it('serves s3cmd, which compares what it put and got where it can', needs('s3cmd'), async () => {
    const { host } = new URL(bench.gateway.url);
    const keys = `access_key = ${processKey.accessKeyId}\nsecret_key = ${processKey.secretAccessKey}`;
    const where = `host_base = ${host}\nhost_bucket = ${host}\nuse_https = False`;
    await writeFile(at('s3cfg'), `[default]\n${keys}\n${where}\n`);
    const s3cmd = async (...args: string[]): Promise<void> => {
      const all = ['-c', at('s3cfg'), '--no-progress', '--multipart-chunk-size-mb=5', ...args];
      const { stderr } = await bench.run('s3cmd', all);
      assert.doesNotMatch(stderr, /WARNING|ERROR/);
    };
    await s3cmd('mb', 's3://s3cmd');
    await s3cmd('sync', `${at('tree')}/`, 's3://s3cmd/tree/');
    const puts = await bench.gateway.countRequests('PutObject');
    await s3cmd('sync', `${at('tree')}/`, 's3://s3cmd/tree/');
    assert.equal(await bench.gateway.countRequests('PutObject'), puts);
    await s3cmd('get', 's3://s3cmd/tree/parts.bin', at('s3cmd.back'));
    assert.equal(await hashFile(at('s3cmd.back')), await hashFile(at('tree/parts.bin')));
  });

  it('serves restic', needs('restic'), async () => {
    await bench.run('restic', ['init']);
    await bench.run('restic', ['backup', at('tree')]);
    await bench.run('restic', ['check', '--read-data']);
  });
});
