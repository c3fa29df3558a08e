import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CreateBucketCommand, HeadBucketCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import { type BenchCase, benchCases } from '../../bench/bench-case.ts';
import { compareRates, compareServers } from '../../bench/compare-servers.ts';
import type { Access } from '../../bench/head-signer.ts';
import { openBenchBucket, RefusedBucketError } from '../../bench/other-endpoint.ts';
import { renderCases } from '../../bench/render-cases.ts';
import { type ServerTarget, startProgram } from '../../bench/target.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';

const pace = {
  rounds: 1,
  roundMs: 20,
  warmUpMs: 1,
  afterDeathMs: 1,
  maxObjects: 4,
  isQuick: true,
  isSigningLive: true,
};
const names = ['put-4KiB-8', 'get-4KiB-8', 'range-1MiB-1', 'mixed-4KiB-8'];

/** With the few bytes and clients that a test has time for. */
function shrink(name: string): BenchCase {
  const benchCase = benchCases.find((one) => one.name === name)!;
  return { ...benchCase, bytes: 64 * 1024, clients: 2 };
}

describe('the load against another endpoint', () => {
  let gateway: TestGateway;
  let access: Access;
  before(async () => {
    gateway = await startGateway();
    access = { url: new URL(gateway.url), ...rootKey, region: 'us-east-1' };
  });
  after(() => gateway.close());

  const listKeys = async (bucket: string) =>
    (await gateway.client.send(new ListObjectsV2Command({ Bucket: bucket }))).Contents?.map(({ Key }) => Key);

  it('gives a table, and leaves nothing behind', async () => {
    const opened = await openBenchBucket(access, 'made');
    const nullServer = await startProgram('raw-server.ts', ['null', String(64 * 1024)]);
    try {
      const targets: ServerTarget[] = [
        { name: 'null', ...nullServer },
        { name: 'other', access, bucket: 'made', pid: undefined, stop: async () => {} },
      ];
      const results = [];
      for (const name of names) results.push(await compareServers(shrink(name), targets, pace));
      for (const { servers } of results) {
        assert.ok(servers.other!.requestsPerS.median > 0 && servers.other!.cpu === undefined);
        assert.ok(servers.null!.cpu !== undefined && servers.null!.mibPerS.median > 0);
        assert.ok(compareRates(servers.other, servers.null)!.median > 0);
      }
      const text = renderCases(results);
      for (const name of names) assert.match(text, new RegExp(`^\\| ${name} \\| null \\| [\\d.]+ \\| [\\d.]+ `, 'm'));
      assert.doesNotMatch(text, /CPU s\/GiB/);
    } finally {
      await nullServer.stop();
      await opened.close();
    }
    await assert.rejects(gateway.client.send(new HeadBucketCommand({ Bucket: 'made' })));
  });

  it('goes on with a bucket that an earlier run left', async () => {
    await openBenchBucket(access, 'left');
    await gateway.client.send(new PutObjectCommand({ Bucket: 'left', Key: 'put-4KiB-1/000001', Body: 'x' }));
    const opened = await openBenchBucket(access, 'left');
    assert.deepEqual(await listKeys('left'), ['made-by-holdfast-bench']);
    await opened.close();
    await assert.rejects(gateway.client.send(new HeadBucketCommand({ Bucket: 'left' })));
  });

  it('takes an empty bucket, and leaves it there', async () => {
    await gateway.client.send(new CreateBucketCommand({ Bucket: 'empty' }));
    const opened = await openBenchBucket(access, 'empty');
    await gateway.client.send(new PutObjectCommand({ Bucket: 'empty', Key: 'put-4KiB-1/000001', Body: 'x' }));
    await opened.close();
    assert.equal(await listKeys('empty'), undefined);
  });

  it('touches nothing in a bucket that is not its own', async () => {
    await gateway.client.send(new CreateBucketCommand({ Bucket: 'mine' }));
    await gateway.client.send(new PutObjectCommand({ Bucket: 'mine', Key: 'thing', Body: 'x' }));
    await assert.rejects(openBenchBucket(access, 'mine'), RefusedBucketError);
    assert.deepEqual(await listKeys('mine'), ['thing']);
  });
});
