import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { ProviderId } from '../../core/model.ts';
import { openBucketProvider } from '../../placement/providers/bucket/bucket-provider.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { createWriteBudget, MiB } from './bucket-harness.ts';
import { nameOf, testProvider } from './provider-conformance.ts';

const bucket = 'shards-of-another';

describe('a bucket of another Holdfast', () => {
  let gateway: TestGateway;
  before(async () => {
    // One shard an object: what is tested is the way there.
    gateway = await startGateway({ config: { profiles: { STANDARD: { k: 1, m: 0 } } } });
    await gateway.fetchSigned('PUT', `/${bucket}`);
  });
  after(() => gateway.close());

  const make = async () => {
    const prefix = `${randomUUID()}/`;
    const provider = await openBucketProvider({
      id: 'b1' as ProviderId,
      endpoint: gateway.url,
      region: 'us-east-1',
      bucket,
      prefix,
      ...rootKey,
      writeBudget: createWriteBudget(),
    });
    return { provider, prefix };
  };

  it('takes a shard of several parts, and one that begins while another lasts', async () => {
    const { provider, prefix } = await make();
    const shards = [randomBytes(11 * MiB + 1), randomBytes(6 * MiB), randomBytes(5 * MiB)];
    await Promise.all(
      shards.map(async (bytes) => {
        const writer = await provider.createShard();
        for (let offset = 0; offset < bytes.length; offset += 300_000) {
          await writer.append([bytes.subarray(offset, offset + 300_000)]);
        }
        await writer.commit(nameOf(bytes));
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
        assert.ok(bytes.subarray(-7).equals(await provider.readShard(nameOf(bytes), bytes.length - 7, 7)));
      }),
    );
    await provider.close();
    const { Contents = [] } = await gateway.client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
    assert.equal(Contents.length, shards.length + 1);
    const uploads = await gateway.client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
    assert.deepEqual(uploads.Uploads ?? [], []);
  });

  testProvider('bucket', () => make(), { clockStepMs: 1_050, renewsTimes: true });
});
