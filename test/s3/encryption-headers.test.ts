import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetBucketEncryptionCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const Bucket = 'encrypted';
const name = 'x-amz-server-side-encryption';

describe('server-side encryption', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', `/${Bucket}`));
    assertOk(await gateway.fetchSigned('PUT', `/${Bucket}/key`, { body: 'as it was' }));
  });
  after(() => gateway.close());

  it('is told of in the answers of all that makes or reads an object, asked for or not', async () => {
    const { client } = gateway;
    for (const ServerSideEncryption of ['AES256', undefined] as const) {
      const asked = ServerSideEncryption && { ServerSideEncryption };
      const target = { Bucket, Key: 'told' };
      const CopySource = `${Bucket}/key`;
      const upload = await client.send(new CreateMultipartUploadCommand({ ...target, ...asked }));
      const part = { ...target, UploadId: upload.UploadId, PartNumber: 1 };
      const copied = await client.send(new UploadPartCopyCommand({ ...part, CopySource }));
      const uploaded = await client.send(new UploadPartCommand({ ...part, Body: 'part' }));
      const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: uploaded.ETag }] };
      const answers = [
        upload,
        copied,
        uploaded,
        await client.send(
          new CompleteMultipartUploadCommand({ ...target, UploadId: upload.UploadId, MultipartUpload }),
        ),
        await client.send(new CopyObjectCommand({ ...target, CopySource, ...asked })),
        await client.send(new PutObjectCommand({ ...target, Body: 'x', ...asked })),
        await client.send(new HeadObjectCommand(target)),
        await client.send(new GetObjectCommand({ ...target, Range: 'bytes=0-0' })),
      ];
      for (const [index, answer] of answers.entries()) assert.equal(answer.ServerSideEncryption, 'AES256', `${index}`);
    }
  });

  it('is the configuration of every bucket', async () => {
    const { ServerSideEncryptionConfiguration: configuration } = await gateway.client.send(
      new GetBucketEncryptionCommand({ Bucket }),
    );
    assert.deepEqual(configuration, {
      Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' }, BucketKeyEnabled: false }],
    });
    assertS3Error(await gateway.fetchSigned('GET', '/missing?encryption'), 404, 'NoSuchBucket');
    assertS3Error(await gateway.fetchSigned('PUT', `/${Bucket}?encryption`), 501, 'NotImplemented');
    assertS3Error(await gateway.fetchSigned('DELETE', `/${Bucket}?encryption`), 501, 'NotImplemented');
  });

  const writes = [
    ['PUT', `/${Bucket}/refused`, {}],
    ['PUT', `/${Bucket}/refused`, { 'x-amz-copy-source': `/${Bucket}/key` }],
    ['POST', `/${Bucket}/refused?uploads=`, {}],
  ] as const;
  const refused = [
    [{ [name]: 'aws:kms' }, 501, 'NotImplemented'],
    [{ [name]: 'aws:kms:dsse' }, 501, 'NotImplemented'],
    [{ [name]: 'AES256', [`${name}-aws-kms-key-id`]: 'key' }, 501, 'NotImplemented'],
    [{ [`${name}-customer-algorithm`]: 'AES256' }, 501, 'NotImplemented'],
    [{ [name]: 'aes256' }, 400, 'InvalidArgument'],
    [{ [name]: 'AES-512' }, 400, 'InvalidArgument'],
  ] as const;

  for (const [asked, status, code] of refused) {
    it(`answers ${code} to ${JSON.stringify(asked)}, and nothing is written`, async () => {
      for (const [method, path, more] of writes) {
        const headers = { ...more, ...asked };
        const answer = await gateway.fetchSigned(method, path, { headers, ...(method === 'PUT' && { body: 'x' }) });
        const error = assertS3Error(answer, status, code);
        if (code === 'InvalidArgument')
          assert.deepEqual([error.ArgumentName, error.ArgumentValue], Object.entries(asked)[0]);
      }
      assert.equal((await gateway.fetchSigned('HEAD', `/${Bucket}/refused`)).status, 404);
    });
  }

  it('may not be asked for where nothing is made', async () => {
    const headers = { [name]: 'AES256' };
    for (const [method, path] of [
      ['GET', `/${Bucket}/key`],
      ['GET', `/${Bucket}`],
      ['PUT', `/${Bucket}/key?partNumber=1&uploadId=u`],
      ['POST', `/${Bucket}/key?uploadId=u`],
      ['DELETE', `/${Bucket}/key`],
      ['PUT', `/${Bucket}/key?tagging=`],
    ] as const) {
      const error = assertS3Error(await gateway.fetchSigned(method, path, { headers }), 400, 'InvalidArgument');
      assert.equal(error.Message, 'x-amz-server-side-encryption header is not supported for this operation.');
      assert.equal(error.ArgumentName, name);
    }
    assert.equal((await gateway.fetchSigned('HEAD', `/${Bucket}/key`, { headers })).status, 400);
    assert.equal((await gateway.fetchSigned('GET', `/${Bucket}/key`)).text, 'as it was');
  });

  it("with a key of the customer's is refused for parts, reads and the sources of copies", async () => {
    const headers = { [`${name}-customer-algorithm`]: 'AES256' };
    const part = `/${Bucket}/key?partNumber=1&uploadId=u`;
    assertS3Error(await gateway.fetchSigned('PUT', part, { headers, body: 'x' }), 501, 'NotImplemented');
    assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}/key`, { headers }), 400, 'InvalidRequest');
    const copy = {
      'x-amz-copy-source': `/${Bucket}/key`,
      'x-amz-copy-source-server-side-encryption-customer-algorithm': 'AES256',
    };
    assertS3Error(await gateway.fetchSigned('PUT', `/${Bucket}/refused`, { headers: copy }), 400, 'InvalidRequest');
  });
});
