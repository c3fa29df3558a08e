import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertS3Error } from '../harness/s3-assertions.ts';

const MiB = 1024 * 1024;
const Bucket = 'large';

describe('large objects', () => {
  let gateway: TestGateway;
  const piece = randomBytes(64 * MiB);
  before(async () => {
    gateway = await startGateway();
    await gateway.fetchSigned('PUT', `/${Bucket}`);
    await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'piece', Body: piece }));
  });
  after(() => gateway.close());

  /** An object of `count` pieces, by part copies alone. */
  const assemble = async (Key: string, count: number): Promise<string | undefined> => {
    const { UploadId } = await gateway.client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const Parts = await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const copy = { Bucket, Key, UploadId, PartNumber: index + 1, CopySource: `${Bucket}/piece` };
        const { CopyPartResult } = await gateway.client.send(new UploadPartCopyCommand(copy));
        return { PartNumber: index + 1, ETag: CopyPartResult?.ETag };
      }),
    );
    const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts } };
    return (await gateway.client.send(new CompleteMultipartUploadCommand(complete))).ETag;
  };

  it('of 5 GiB come of part copies, which take neither bytes nor disk', async () => {
    const etag = await assemble('whole', 80);
    const md5 = createHash('md5').update(piece).digest();
    const expected = createHash('md5')
      .update(Buffer.concat(Array(80).fill(md5)))
      .digest('hex');
    assert.equal(etag, `"${expected}-80"`);
    const { ContentLength } = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'whole' }));
    assert.equal(ContentLength, 5 * 1024 * MiB);
  });

  it('of 5 GiB give the bytes of any range, across parts and at the very end', async () => {
    for (const at of [0, 64 * MiB - 1000, 2 ** 31 - 1000, 2 ** 32 - 1000, 5 * 1024 * MiB - 2000]) {
      const Range = `bytes=${at}-${at + 1999}`;
      const { Body, ContentRange } = await gateway.client.send(new GetObjectCommand({ Bucket, Key: 'whole', Range }));
      assert.equal(ContentRange, `bytes ${at}-${at + 1999}/${5 * 1024 * MiB}`);
      const start = at % piece.length;
      const wanted = Buffer.concat([piece, piece.subarray(0, 2000)]).subarray(start, start + 2000);
      assert.ok(wanted.equals((await Body?.transformToByteArray()) as Uint8Array), Range);
    }
  });

  it('are copied in one request up to 5 GiB, and refused beyond', async () => {
    await assemble('over', 81);
    const copy = async (source: string) =>
      gateway.fetchSigned('PUT', `/${Bucket}/copy`, { headers: { 'x-amz-copy-source': `/${Bucket}/${source}` } });
    assert.equal((await copy('whole')).status, 200);
    assertS3Error(await copy('over'), 400, 'InvalidRequest');
  });
});
