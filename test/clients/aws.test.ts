import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ClientBench, type ClientRun, needs, openClientBench } from '../harness/run-client.ts';
import { hashFile, hashTree, seededBytes, writeTree } from './file-tree.ts';

const largeBytes = 100 * 1024 * 1024;
/** Three parts. */
const mediumBytes = 20 * 1024 * 1024;

/** Tests build on each other: first all providers are there, then one goes during a write, then another during a read. */
describe('aws-cli', needs('aws', 'curl'), () => {
  let bench: ClientBench;
  let large: string;
  let largeHash: string;

  /** `--endpoint-url` for every version of the client: older ones know no AWS_ENDPOINT_URL. */
  const aws = (...args: string[]): Promise<ClientRun> =>
    bench.run('aws', ['--endpoint-url', bench.gateway.url, ...args]);
  const awsJson = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await aws('--output', 'json', 's3api', ...args)).stdout) as T;
  const at = (name: string): string => join(bench.folder, name);

  before(async () => {
    bench = await openClientBench();
    large = at('large.bin');
    await writeFile(large, seededBytes('aws large', largeBytes));
    largeHash = await hashFile(large);
    await writeTree(at('tree'), { seed: 'aws', smallFiles: 20 });
    await aws('s3', 'mb', 's3://first');
  });
  after(() => bench?.close());

  const readBackLarge = async (name: string): Promise<void> => {
    await aws('s3', 'cp', '--only-show-errors', 's3://first/large.bin', at(name));
    assert.equal(await hashFile(at(name)), largeHash);
  };

  const readBackTree = async (name: string): Promise<void> => {
    await aws('s3', 'sync', '--only-show-errors', 's3://first/tree', at(name));
    assert.deepEqual(await hashTree(at(name)), await hashTree(at('tree')));
  };

  const presign = async (key: string): Promise<string> =>
    (await aws('s3', 'presign', `s3://first/${key}`, '--expires-in', '300')).stdout.trim();

  it('copies 100 MiB in parts there and back', async () => {
    await aws('s3', 'cp', '--only-show-errors', large, 's3://first/large.bin');
    const head = await awsJson<{ ETag: string; ContentLength: number }>(
      ...['head-object', '--bucket', 'first', '--key', 'large.bin'],
    );
    assert.equal(head.ContentLength, largeBytes);
    assert.match(head.ETag, /^"[0-9a-f]{32}-13"$/, '8 MiB a part');
    await readBackLarge('large-1.bin');
  });

  it('syncs a tree of odd names there and back, and then finds nothing left to do', async () => {
    await aws('s3', 'sync', '--only-show-errors', at('tree'), 's3://first/tree');
    await readBackTree('tree-1');
    const again = await aws('s3', 'sync', at('tree-1'), 's3://first/tree', '--size-only');
    assert.equal(again.stdout, '');
  });

  it('lists folders, and everything with a summary', async () => {
    const { stdout: folders } = await aws('s3', 'ls', 's3://first');
    assert.match(folders, /^ +PRE tree\/$/m);
    assert.match(folders, /\b104857600 large\.bin$/m);
    const count = Object.keys(await hashTree(at('tree'))).length;
    const { stdout: all } = await aws('s3', 'ls', '--recursive', '--summarize', 's3://first/tree/');
    assert.match(all, new RegExp(`Total Objects: ${count}\\n`));
    assert.match((await aws('s3', 'ls')).stdout, / first$/m);
  });

  it('copies and moves on the server, in parts where the object is large', async () => {
    await writeFile(at('parts.bin'), seededBytes('aws parts', mediumBytes));
    const hash = await hashFile(at('parts.bin'));
    const copies = await bench.gateway.countRequests('UploadPartCopy');
    await aws('s3', 'mv', '--only-show-errors', at('parts.bin'), 's3://first/parts.bin');
    await aws('s3', 'cp', '--only-show-errors', 's3://first/parts.bin', 's3://first/copied.bin');
    await aws('s3', 'mv', '--only-show-errors', 's3://first/copied.bin', 's3://first/moved.bin');
    await aws('s3', 'mv', '--only-show-errors', 's3://first/moved.bin', at('moved.bin'));
    assert.equal(await hashFile(at('moved.bin')), hash);
    assert.equal(await bench.gateway.countRequests('UploadPartCopy'), copies + 6);
    const { stdout } = await aws('s3', 'ls', 's3://first');
    assert.match(stdout, / parts\.bin$/m);
    assert.doesNotMatch(stdout, /copied\.bin|moved\.bin/);
  });

  it('presigns a URL that curl can read whole and in part', async () => {
    const url = await presign('tree/emoji-🪢-knot');
    const { stdout: text } = await bench.run('curl', ['-sSf', '-o', at('presigned'), '-w', '%{http_code}', url]);
    assert.equal(text, '200');
    assert.equal(await hashFile(at('presigned')), await hashFile(at('tree/emoji-🪢-knot')));
    await bench.run('curl', ['-sSf', '-r', '10-19', '-o', at('range'), await presign('large.bin')]);
    assert.deepEqual(await readFile(at('range')), seededBytes('aws large', 20).subarray(10));
    const { stdout: refused } = await bench.run('curl', ['-sS', '-w', '%{http_code}', url.replace(/.$/, 'x')]);
    assert.match(refused, /<Code>SignatureDoesNotMatch<\/Code>.*403$/s);
  });

  it('stores checksums, shows them, and refuses a wrong one', async () => {
    await writeFile(at('small'), 'checked');
    const object = ['--bucket', 'first', '--key', 'checked'];
    for (const algorithm of ['CRC32', 'SHA256']) {
      const field = `Checksum${algorithm}`;
      const put = await awsJson<Record<string, string>>(
        ...['put-object', ...object, '--body', at('small'), '--checksum-algorithm', algorithm],
      );
      assert.ok(put[field]);
      const get = await awsJson<Record<string, string>>(
        ...['get-object', ...object, '--checksum-mode', 'ENABLED', at('small-1')],
      );
      assert.equal(get[field], put[field]);
      assert.equal(await readFile(at('small-1'), 'utf8'), 'checked');
    }
    const attributes = await awsJson<{ Checksum: Record<string, string>; ObjectSize: number }>(
      ...['get-object-attributes', ...object, '--object-attributes', 'Checksum', 'ObjectSize'],
    );
    assert.equal(attributes.ObjectSize, 7);
    assert.ok(attributes.Checksum.ChecksumSHA256);
    const wrong = ['--checksum-sha256', Buffer.alloc(32).toString('base64')];
    await assert.rejects(
      aws('s3api', 'put-object', '--bucket', 'first', '--key', 'wrong', '--body', at('small'), ...wrong),
      /BadDigest/,
    );
    assert.doesNotMatch((await aws('s3', 'ls', 's3://first')).stdout, /wrong/);
  });

  it('keeps versions, hides the object behind a delete marker, and gives an old version back', async () => {
    await aws('s3', 'mb', 's3://versioned');
    await aws(
      ...['s3api', 'put-bucket-versioning', '--bucket', 'versioned'],
      ...['--versioning-configuration', 'Status=Enabled'],
    );
    const object = ['--bucket', 'versioned', '--key', 'one'];
    const ids: string[] = [];
    for (const text of ['old', 'new']) {
      await writeFile(at('text'), text);
      ids.push((await awsJson<{ VersionId: string }>('put-object', ...object, '--body', at('text'))).VersionId);
    }
    await aws('s3', 'rm', '--only-show-errors', 's3://versioned/one');
    await assert.rejects(aws('s3api', 'head-object', ...object), /404/);
    await awsJson('get-object', ...object, '--version-id', ids[0]!, at('text-1'));
    assert.equal(await readFile(at('text-1'), 'utf8'), 'old');
    const listed = await awsJson<{ Versions: { VersionId: string }[]; DeleteMarkers: { VersionId: string }[] }>(
      ...['list-object-versions', '--bucket', 'versioned'],
    );
    assert.deepEqual(
      listed.Versions.map(({ VersionId }) => VersionId),
      ids.toReversed(),
    );
    const all = [...listed.Versions, ...listed.DeleteMarkers].map(({ VersionId }) => ({ Key: 'one', VersionId }));
    await awsJson('delete-objects', '--bucket', 'versioned', '--delete', JSON.stringify({ Objects: all }));
    await aws('s3', 'rb', 's3://versioned');
  });

  it('goes on writing when a provider is deleted in the middle', async () => {
    const parts = await bench.gateway.countRequests('UploadPart');
    const upload = aws('s3', 'cp', '--only-show-errors', large, 's3://first/degraded.bin');
    await bench.gateway.waitForRequests('UploadPart', parts + 2);
    await bench.gateway.deleteProvider('p2');
    await upload;
    await aws('s3', 'sync', '--only-show-errors', at('tree'), 's3://first/degraded');
    await aws('s3', 'sync', '--only-show-errors', 's3://first/degraded', at('degraded'));
    assert.deepEqual(await hashTree(at('degraded')), await hashTree(at('tree')));
  });

  it('goes on reading when a second provider is deleted in the middle', async () => {
    const gets = await bench.gateway.countRequests('GetObject');
    const download = readBackLarge('large-2.bin');
    await bench.gateway.waitForRequests('GetObject', gets + 1);
    await bench.gateway.deleteProvider('p5');
    await download;
    await aws('s3', 'cp', '--only-show-errors', 's3://first/degraded.bin', at('degraded.bin'));
    assert.equal(await hashFile(at('degraded.bin')), largeHash);
  });

  it('reads everything on every way with two providers gone', async () => {
    await readBackTree('tree-2');
    await bench.run('curl', ['-sSf', '-o', at('presigned-2'), await presign('tree/emoji-🪢-knot')]);
    assert.equal(await hashFile(at('presigned-2')), await hashFile(at('tree/emoji-🪢-knot')));
    const object = ['--bucket', 'first', '--key', 'large.bin'];
    await awsJson('get-object', ...object, '--range', 'bytes=50000000-50300000', at('range-2'));
    const expected = (await readFile(large)).subarray(50_000_000, 50_300_001);
    assert.ok(expected.equals(await readFile(at('range-2'))));
    await awsJson('get-object', ...object, '--part-number', '13', at('part-13'));
    assert.ok((await readFile(large)).subarray(12 * 8 * 1024 * 1024).equals(await readFile(at('part-13'))));
  });

  it('is told 503 for a large write with two providers gone, and nothing is stored', async () => {
    await writeFile(at('medium'), seededBytes('aws medium', 1_000_000));
    const write = await bench.run(
      'aws',
      ['--endpoint-url', bench.gateway.url, 's3', 'cp', '--only-show-errors', at('medium'), 's3://first/refused'],
      { environment: { AWS_MAX_ATTEMPTS: '1' }, status: 1 },
    );
    assert.match(write.stderr, /ServiceUnavailable/);
    assert.doesNotMatch((await aws('s3', 'ls', 's3://first')).stdout, /refused/);
  });

  it('deletes one object, then all of them and the bucket', async () => {
    await aws('s3', 'rm', '--only-show-errors', 's3://first/large.bin');
    assert.doesNotMatch((await aws('s3', 'ls', 's3://first')).stdout, /large\.bin/);
    await aws('s3', 'rb', '--force', 's3://first');
    assert.equal((await aws('s3', 'ls')).stdout, '');
  });
});
