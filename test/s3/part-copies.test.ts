import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const Bucket = 'part-copies';
const MiB = 1024 * 1024;
const source = patternBytes(6 * MiB, 'source');

describe('copies of parts', () => {
  let gateway: TestGateway;
  let uploadId: string;

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'folder/a source', Body: source }));
    uploadId = await start({});
  });
  after(() => gateway.close());

  const start = async (headers: Record<string, string>): Promise<string> => {
    const answer = await gateway.fetchSigned('POST', `/${Bucket}/target?uploads`, { headers });
    assertOk(answer);
    return /<UploadId>(.*?)</.exec(answer.text)?.[1] ?? '';
  };
  const copy = (headers: Record<string, string>, number = 1, upload = uploadId) =>
    gateway.fetchSigned('PUT', `/${Bucket}/target?partNumber=${number}&uploadId=${upload}`, {
      headers: { 'x-amz-copy-source': `/${Bucket}/folder/a%20source`, ...headers },
    });

  it('take an object whole or a range of it, and become an object', async () => {
    const ranges = [
      [1, 'bytes=0-5242879', source.subarray(0, 5 * MiB)],
      [2, undefined, source],
      [3, 'bytes=6291455-6291455', source.subarray(6 * MiB - 1)],
    ] as const;
    const UploadId = await start({});
    const parts: string[] = [];
    for (const [PartNumber, CopySourceRange, bytes] of ranges) {
      const CopySource = `${Bucket}/folder/a%20source`;
      const asked = { Bucket, Key: 'target', UploadId, PartNumber, CopySource, CopySourceRange };
      const { CopyPartResult, CopySourceVersionId } = await gateway.client.send(new UploadPartCopyCommand(asked));
      assert.equal(CopyPartResult?.ETag, `"${md5Hex(bytes)}"`);
      assert.ok(Math.abs(Number(CopyPartResult?.LastModified) - Date.now()) < 60_000);
      assert.equal(CopySourceVersionId, undefined);
      parts.push(`<Part><PartNumber>${PartNumber}</PartNumber><ETag>${md5Hex(bytes)}</ETag></Part>`);
    }
    const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
    assertOk(await gateway.fetchSigned('POST', `/${Bucket}/target?uploadId=${UploadId}`, { body }));
    const { Body } = await gateway.client.send(new GetObjectCommand({ Bucket, Key: 'target' }));
    const whole = Buffer.concat(ranges.map(([, , bytes]) => bytes));
    assert.ok(whole.equals((await Body?.transformToByteArray()) ?? Buffer.alloc(0)));
  });

  it('have the checksum that the upload was created with', async () => {
    const upload = await start({ 'x-amz-checksum-algorithm': 'CRC32C' });
    const { text } = await copy({ 'x-amz-copy-source-range': 'bytes=0-0' }, 1, upload);
    assert.match(
      text,
      /<ETag>&quot;[0-9a-f]{32}&quot;<\/ETag><ChecksumCRC32C>[\w+/]{6}==<\/ChecksumCRC32C><\/CopyPartResult>/,
    );
  });

  it('name the version of the source that they took', async () => {
    const versioned = 'part-copy-source';
    await gateway.client.send(new CreateBucketCommand({ Bucket: versioned }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await gateway.client.send(new PutBucketVersioningCommand({ Bucket: versioned, VersioningConfiguration }));
    const put = (Body: string) => gateway.client.send(new PutObjectCommand({ Bucket: versioned, Key: 'k', Body }));
    const [first, second] = [await put('first'), await put('second')];
    const current = await copy({ 'x-amz-copy-source': `${versioned}/k` });
    assert.equal(current.headers.get('x-amz-copy-source-version-id'), second.VersionId);
    const named = await copy({ 'x-amz-copy-source': `${versioned}/k?versionId=${first.VersionId}` });
    assert.equal(named.headers.get('x-amz-copy-source-version-id'), first.VersionId);
    assert.match(named.text, new RegExp(md5Hex('first')));
  });

  for (const range of [
    '0-2',
    'bytes=0',
    'bytes=-2',
    'bytes=0-',
    'bytes=a-z',
    'bytes=0-2,4-5',
    'bytes=5-2',
    'bytes 0-2',
  ]) {
    it(`are refused with the range ${range}`, async () => {
      const error = assertS3Error(await copy({ 'x-amz-copy-source-range': range }), 400, 'InvalidArgument');
      assert.match(error.Message ?? '', /must be of the form bytes=first-last/);
      assert.deepEqual([error.ArgumentName, error.ArgumentValue], ['x-amz-copy-source-range', range]);
    });
  }

  for (const range of ['bytes=0-6291456', 'bytes=6291456-6291457']) {
    it(`are refused with ${range}, which lies beyond the source`, async () => {
      const error = assertS3Error(await copy({ 'x-amz-copy-source-range': range }), 400, 'InvalidArgument');
      assert.equal(error.Message, 'Range specified is not valid for source object of size: 6291456');
    });
  }

  it('are made only when the conditions on the source hold', async () => {
    const wrong = [
      { 'x-amz-copy-source-if-match': '"0123"' },
      { 'x-amz-copy-source-if-none-match': `"${md5Hex(source)}"` },
      { 'x-amz-copy-source-if-modified-since': new Date(Date.now() + 60_000).toUTCString() },
      { 'x-amz-copy-source-if-unmodified-since': new Date(0).toUTCString() },
    ] as const;
    for (const headers of wrong) assertS3Error(await copy(headers), 412, 'PreconditionFailed');
    assertOk(await copy({ 'x-amz-copy-source-if-match': `"${md5Hex(source)}"` }));
  });

  it('need a source that is there and that the caller may read', async () => {
    const missing = await copy({ 'x-amz-copy-source': `${Bucket}/missing` });
    assert.equal(assertS3Error(missing, 404, 'NoSuchKey').Key, 'missing');
    assertS3Error(await copy({ 'x-amz-copy-source': 'no-such-bucket/key' }), 404, 'NoSuchBucket');
    assertS3Error(await copy({ 'x-amz-copy-source': 'nothing' }), 400, 'InvalidArgument');
    await gateway.stranger.send(new CreateBucketCommand({ Bucket: 'strange-source' }));
    await gateway.stranger.send(new PutObjectCommand({ Bucket: 'strange-source', Key: 'k', Body: 'secret' }));
    assertS3Error(await copy({ 'x-amz-copy-source': 'strange-source/k' }), 403, 'AccessDenied');
  });
});
