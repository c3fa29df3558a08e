import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectAttributesCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import type { SignedAnswer } from '../harness/signed-fetch.ts';

const Bucket = 'attributes';
const all = 'ETag,Checksum,ObjectParts,StorageClass,ObjectSize';
const namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

describe('attributes of objects', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    assertOk(await gateway.fetchSigned('PUT', `/${Bucket}/plain`, { body: 'plain' }));
  });
  after(() => gateway.close());

  const get = (
    names: string | undefined,
    path = 'plain',
    headers: Record<string, string> = {},
  ): Promise<SignedAnswer> =>
    gateway.fetchSigned('GET', `/${Bucket}/${path}${path.includes('?') ? '&' : '?'}attributes`, {
      headers: { ...headers, ...(names !== undefined && { 'x-amz-object-attributes': names }) },
    });

  it('are given for those names that were asked for, in the order of AWS', async () => {
    const etag = `<ETag>${md5Hex('plain')}</ETag>`;
    const rows = [
      [all, `${etag}<StorageClass>STANDARD</StorageClass><ObjectSize>5</ObjectSize>`],
      ['ObjectSize, ETag', `${etag}<ObjectSize>5</ObjectSize>`],
      ['ETag,', etag],
      ['StorageClass', '<StorageClass>STANDARD</StorageClass>'],
      ['ObjectParts', ''],
    ] as const;
    for (const [names, inner] of rows) {
      const answer = await get(names);
      assertOk(answer);
      const root = `<GetObjectAttributesResponse ${namespace}>${inner}</GetObjectAttributesResponse>`;
      assert.equal(answer.text.slice(answer.text.indexOf('\n') + 1), root);
    }
  });

  it('come with the time of the object', async () => {
    const { LastModified } = await gateway.client.send(
      new GetObjectAttributesCommand({ Bucket, Key: 'plain', ObjectAttributes: ['ETag'] }),
    );
    const head = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'plain' }));
    assert.deepEqual(LastModified, head.LastModified);
  });

  it('hold the checksum that the object was sent with', async () => {
    const put = { Bucket, Key: 'summed', Body: 'x', ChecksumAlgorithm: 'SHA256' } as const;
    const { ChecksumSHA256 } = await gateway.client.send(new PutObjectCommand(put));
    const { Checksum } = await gateway.client.send(
      new GetObjectAttributesCommand({ Bucket, Key: 'summed', ObjectAttributes: ['Checksum'] }),
    );
    assert.deepEqual(Checksum, { ChecksumSHA256, ChecksumType: 'FULL_OBJECT' });
  });

  const refusals = [
    [undefined, 'InvalidRequest', undefined],
    [',', 'InvalidRequest', undefined],
    ['', 'InvalidArgument', ''],
    ['etag', 'InvalidArgument', 'etag'],
    ['ETag,Owner', 'InvalidArgument', 'Owner'],
    ['ETag,,ObjectSize', 'InvalidArgument', ''],
    [',ETag', 'InvalidArgument', ''],
  ] as const;
  for (const [names, code, value] of refusals) {
    it(`are refused for the names ${JSON.stringify(names)}`, async () => {
      const error = assertS3Error(await get(names), 400, code);
      assert.equal(error.ArgumentValue, value);
      if (value !== undefined) assert.equal(error.ArgumentName, 'x-amz-object-attributes');
    });
  }

  it('are those of the version that was named, and never of a delete marker', async () => {
    const versioned = 'attributes-versioned';
    await gateway.client.send(new CreateBucketCommand({ Bucket: versioned }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await gateway.client.send(new PutBucketVersioningCommand({ Bucket: versioned, VersioningConfiguration }));
    const put = (Body: string) => gateway.client.send(new PutObjectCommand({ Bucket: versioned, Key: 'k', Body }));
    const [first, second] = [await put('1'), await put('twenty-two')];
    const read = async (VersionId?: string) =>
      gateway.client.send(
        new GetObjectAttributesCommand({ Bucket: versioned, Key: 'k', VersionId, ObjectAttributes: ['ObjectSize'] }),
      );
    const [old, current] = [await read(first.VersionId), await read()];
    assert.deepEqual([old.ObjectSize, old.VersionId], [1, first.VersionId]);
    assert.deepEqual([current.ObjectSize, current.VersionId], [10, second.VersionId]);

    const marker = await gateway.client.send(new DeleteObjectCommand({ Bucket: versioned, Key: 'k' }));
    const headers = { 'x-amz-object-attributes': 'ETag' };
    const gone = await gateway.fetchSigned('GET', `/${versioned}/k?attributes`, { headers });
    assertS3Error(gone, 404, 'NoSuchKey');
    assert.equal(gone.headers.get('x-amz-delete-marker'), 'true');
    const path = `/${versioned}/k?attributes&versionId=${marker.VersionId}`;
    assertS3Error(await gateway.fetchSigned('GET', path, { headers }), 405, 'MethodNotAllowed');
  });

  it('of an object that is not there are 404', async () => {
    assertS3Error(await get('ETag', 'missing'), 404, 'NoSuchKey');
    assertS3Error(await get('ETag', 'plain?versionId=nothing'), 404, 'NoSuchVersion');
  });

  describe('that was uploaded in parts', () => {
    const sizes = [5 * 1024 * 1024, 5 * 1024 * 1024, 7];

    /** An object of three parts, with a checksum of this kind. */
    const upload = async (key: string, headers: Record<string, string>): Promise<void> => {
      const started = await gateway.fetchSigned('POST', `/${Bucket}/${key}?uploads`, { headers });
      const path = `/${Bucket}/${key}?uploadId=${/<UploadId>(.*?)</.exec(started.text)?.[1]}`;
      const algorithm = headers['x-amz-checksum-algorithm'] ?? '';
      let body = '';
      for (const [at, size] of sizes.entries()) {
        const sent = await gateway.fetchSigned('PUT', `${path}&partNumber=${at + 1}`, { body: patternBytes(size) });
        assertOk(sent);
        const checksum = sent.headers.get(`x-amz-checksum-${algorithm.toLowerCase()}`);
        const element = checksum ? `<Checksum${algorithm}>${checksum}</Checksum${algorithm}>` : '';
        body += `<Part><PartNumber>${at + 1}</PartNumber><ETag>${sent.headers.get('etag')}</ETag>${element}</Part>`;
      }
      const document = `<CompleteMultipartUpload>${body}</CompleteMultipartUpload>`;
      assertOk(await gateway.fetchSigned('POST', path, { body: document }));
    };

    it('hold how many those are, and no more where the checksum is not made of theirs', async () => {
      await upload('parts-plain', {});
      await upload('parts-full', { 'x-amz-checksum-algorithm': 'CRC64NVME' });
      for (const key of ['parts-plain', 'parts-full']) {
        const { text } = await get('ObjectParts', key);
        assert.match(text, /><ObjectParts><PartsCount>3<\/PartsCount><\/ObjectParts><\/GetObjectAttributesResponse>$/);
      }
    });

    it('list the parts in pages where the checksum is made of theirs', async () => {
      await upload('parts-composite', { 'x-amz-checksum-algorithm': 'CRC32' });
      const read = async (MaxParts?: number, PartNumberMarker?: string) =>
        (
          await gateway.client.send(
            new GetObjectAttributesCommand({
              Bucket,
              Key: 'parts-composite',
              ObjectAttributes: ['ObjectParts'],
              MaxParts,
              PartNumberMarker,
            }),
          )
        ).ObjectParts;
      const whole = await read();
      assert.deepEqual(
        whole?.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
        sizes.map((size, at) => [at + 1, size]),
      );
      assert.ok(whole?.Parts?.every(({ ChecksumCRC32 }) => /^[\w+/]{6}==$/.test(ChecksumCRC32 ?? '')));
      assert.deepEqual([whole?.MaxParts, whole?.IsTruncated, whole?.TotalPartsCount], [1000, false, 3]);
      const outlines = [];
      for (const [max, marker] of [
        [2, '0'],
        [2, '2'],
        [1, '3'],
        [0, '1'],
      ] as const) {
        const page = await read(max, marker);
        const numbers = page?.Parts?.map(({ PartNumber }) => PartNumber).join() ?? '';
        outlines.push(`${page?.PartNumberMarker}: ${numbers} next ${page?.NextPartNumberMarker} ${page?.IsTruncated}`);
      }
      assert.deepEqual(outlines, ['0: 1,2 next 2 true', '2: 3 next 3 false', '3:  next 3 false', '1:  next 1 false']);
    });

    for (const [header, value] of [
      ['x-amz-max-parts', '-1'],
      ['x-amz-max-parts', 'few'],
      ['x-amz-part-number-marker', 'x'],
    ] as const) {
      it(`are refused for ${header}: ${value}`, async () => {
        const error = assertS3Error(await get('ObjectParts', 'plain', { [header]: value }), 400, 'InvalidArgument');
        assert.deepEqual([error.ArgumentName, error.ArgumentValue], [header, value]);
      });
    }
  });
});
