import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  type ChecksumAlgorithm,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  GetObjectAttributesCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const Bucket = 'multipart-checksums';
/** Where a row below holds a literal, another implementation of S3 came to that value for these two parts. */
const fiveMiB = Buffer.alloc(5 * 1024 * 1024, 'A');
const tail = Buffer.from('tail');

const crc32Of = (...chunks: Uint8Array[]): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(chunks.reduce((sum, chunk) => crc32(chunk, sum), 0));
  return bytes.toString('base64');
};
const sha256Of = (...chunks: Uint8Array[]): string =>
  chunks.reduce((hash, chunk) => hash.update(chunk), createHash('sha256')).digest('base64');
const decoded = (value: string): Buffer => Buffer.from(value, 'base64');

describe('checksums of multipart uploads', () => {
  let gateway: TestGateway;
  let made = 0;

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
  });
  after(() => gateway.close());

  const startRaw = async (headers: Record<string, string>): Promise<{ path: string; uploadId: string }> => {
    const key = `raw-${++made}`;
    const answer = await gateway.fetchSigned('POST', `/${Bucket}/${key}?uploads`, { headers });
    assertOk(answer);
    const uploadId = /<UploadId>(.*?)</.exec(answer.text)?.[1] ?? '';
    return { path: `/${Bucket}/${key}?uploadId=${uploadId}`, uploadId };
  };
  const sendPart = (path: string, number: number, body: Uint8Array, headers: Record<string, string> = {}) =>
    gateway.fetchSigned('PUT', `${path}&partNumber=${number}`, { body, headers });
  const complete = (path: string, parts: string, headers: Record<string, string> = {}) =>
    gateway.fetchSigned('POST', path, {
      body: `<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`,
      headers,
    });
  const part = (number: number, body: Uint8Array, checksum = ''): string =>
    `<Part><PartNumber>${number}</PartNumber><ETag>"${md5Hex(body)}"</ETag>${checksum}</Part>`;

  const rows: [
    algorithm: ChecksumAlgorithm,
    type: CreateMultipartUploadCommandInput['ChecksumType'],
    checksum: string,
  ][] = [
    ['CRC32', undefined, `${crc32Of(decoded(crc32Of(fiveMiB)), decoded(crc32Of(tail)))}-2`],
    ['CRC32', 'FULL_OBJECT', crc32Of(fiveMiB, tail)],
    ['CRC32C', undefined, '9nmlxg==-2'],
    ['CRC32C', 'FULL_OBJECT', 'LZbOwA=='],
    ['CRC64NVME', undefined, 'UpfGsWmSCEg='],
    ['SHA1', undefined, 'l89BPfYtRdlTXZSsCsWMB0Elnjg=-2'],
    ['SHA256', undefined, `${sha256Of(decoded(sha256Of(fiveMiB)), decoded(sha256Of(tail)))}-2`],
  ];
  for (const [ChecksumAlgorithm, ChecksumType, checksum] of rows) {
    it(`are ${ChecksumAlgorithm} ${ChecksumType ?? 'of the default type'} from the first part to the object`, async () => {
      const { client } = gateway;
      const Key = `${ChecksumAlgorithm}-${ChecksumType}`;
      const type = ChecksumType ?? (ChecksumAlgorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE');
      const created = await client.send(
        new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm, ChecksumType }),
      );
      assert.deepEqual([created.ChecksumAlgorithm, created.ChecksumType], [ChecksumAlgorithm, type]);
      const { UploadId } = created;
      const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }));
      assert.deepEqual([Uploads?.[0]?.ChecksumAlgorithm, Uploads?.[0]?.ChecksumType], [ChecksumAlgorithm, type]);

      const field = `Checksum${ChecksumAlgorithm}` as 'ChecksumCRC32';
      const Parts: CompletedPart[] = [];
      for (const [at, Body] of [fiveMiB, tail].entries()) {
        const PartNumber = at + 1;
        const asked = { Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm };
        const sent = await client.send(new UploadPartCommand(asked));
        assert.ok(sent[field]);
        Parts.push({ PartNumber, ETag: sent.ETag, [field]: sent[field] });
      }
      const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }));
      assert.deepEqual(
        listed.Parts?.map((found) => found[field]),
        Parts.map((found) => found[field]),
      );
      assert.deepEqual([listed.ChecksumAlgorithm, listed.ChecksumType], [ChecksumAlgorithm, type]);

      const asked = { Bucket, Key, UploadId, MultipartUpload: { Parts }, ChecksumType: type, [field]: checksum };
      const done = await client.send(new CompleteMultipartUploadCommand(asked));
      assert.deepEqual([done[field], done.ChecksumType], [checksum, type]);
      const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
      assert.deepEqual([head[field], head.ChecksumType], [checksum, type]);

      const attributes = await client.send(
        new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['Checksum', 'ObjectParts'] }),
      );
      assert.deepEqual(
        [attributes.Checksum?.[field], attributes.Checksum?.ChecksumType, attributes.ObjectParts?.TotalPartsCount],
        [checksum.replace('-2', ''), type, 2],
      );
      // AWS tells the parts only where the object's checksum is made of theirs.
      const expected = Parts.map(({ PartNumber, ...found }) => [PartNumber, found[field]]);
      const told = attributes.ObjectParts?.Parts?.map((found) => [found.PartNumber, found[field]]);
      assert.deepEqual(told, type === 'COMPOSITE' ? expected : undefined);
    });
  }

  const startRows = [
    [{ 'x-amz-checksum-algorithm': 'SHA256', 'x-amz-checksum-type': 'FULL_OBJECT' }, /^The FULL_OBJECT checksum type cannot be used with the sha256/],
    [{ 'x-amz-checksum-algorithm': 'CRC64NVME', 'x-amz-checksum-type': 'COMPOSITE' }, /^The COMPOSITE checksum type cannot be used with the crc64nvme/],
    [{ 'x-amz-checksum-type': 'COMPOSITE' }, /can only be used with the x-amz-checksum-algorithm header/],
    [{ 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'PARTS' }, /^Value for x-amz-checksum-type header is invalid/],
    [{ 'x-amz-checksum-algorithm': 'MD4' }, /^Checksum algorithm provided is unsupported/],
  ] as const; // biome-ignore format: rows
  for (const [headers, message] of startRows) {
    it(`cannot begin with ${Object.values(headers).join(' ')}`, async () => {
      const answer = await gateway.fetchSigned('POST', `/${Bucket}/refused?uploads`, { headers });
      assert.match(assertS3Error(answer, 400, 'InvalidRequest').Message ?? '', message);
    });
  }

  it('are computed for a part that names none', async () => {
    const { path } = await startRaw({ 'x-amz-checksum-algorithm': 'SHA256' });
    const sent = await sendPart(path, 1, tail);
    assert.equal(sent.headers.get('x-amz-checksum-sha256'), sha256Of(tail));
    assert.equal(sent.headers.get('x-amz-checksum-type'), null);
    assertOk(await complete(path, part(1, tail, `<ChecksumSHA256>${sha256Of(tail)}</ChecksumSHA256>`)));
  });

  it('of a part are compared with its bytes, and with the algorithm of the upload', async () => {
    const { path } = await startRaw({ 'x-amz-checksum-algorithm': 'SHA256' });
    const wrong = await sendPart(path, 1, tail, { 'x-amz-checksum-sha256': sha256Of(fiveMiB) });
    assertS3Error(wrong, 400, 'BadDigest');
    const other = assertS3Error(
      await sendPart(path, 1, tail, { 'x-amz-checksum-crc32': crc32Of(tail) }),
      400,
      'InvalidRequest',
    );
    const message = 'Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32';
    assert.equal(other.Message, message);
    assert.doesNotMatch((await gateway.fetchSigned('GET', path)).text, /<Part>/);
  });

  it('may be on parts of an upload that has none, and are compared all the same', async () => {
    const { path } = await startRaw({});
    assertS3Error(await sendPart(path, 1, tail, { 'x-amz-checksum-crc32': 'AAAAAA==' }), 400, 'BadDigest');
    const sent = await sendPart(path, 1, tail, { 'x-amz-checksum-crc32': crc32Of(tail) });
    assert.equal(sent.headers.get('x-amz-checksum-crc32'), crc32Of(tail));
    const done = await complete(path, part(1, tail));
    assertOk(done);
    assert.doesNotMatch(done.text, /Checksum/);
  });

  it('are compared when the upload is completed', async () => {
    const { path } = await startRaw({ 'x-amz-checksum-algorithm': 'SHA256' });
    assertOk(await sendPart(path, 1, tail));
    const right = part(1, tail, `<ChecksumSHA256>${sha256Of(tail)}</ChecksumSHA256>`);
    const composite = `${sha256Of(decoded(sha256Of(tail)))}-1`;
    const rows: [parts: string, headers: Record<string, string>, code: string, message: RegExp][] = [
      [part(1, tail), {}, 'InvalidRequest', /^The upload was created using a sha256 checksum.*missing for part 1 /],
      [part(1, tail, `<ChecksumSHA256>${sha256Of(fiveMiB)}</ChecksumSHA256>`), {}, 'InvalidPart', /could not be found/],
      [part(1, tail, `<ChecksumCRC32>${crc32Of(tail)}</ChecksumCRC32>`), {}, 'InvalidPart', /could not be found/],
      [part(1, tail, '<ChecksumSHA256>short</ChecksumSHA256>'), {}, 'InvalidArgument', /^Invalid Base64 or multiple/],
      [right, { 'x-amz-checksum-sha256': sha256Of(fiveMiB) }, 'BadDigest', /^The SHA256 you specified did not match/],
      [right, { 'x-amz-checksum-type': 'FULL_OBJECT' }, 'InvalidRequest', /created using the COMPOSITE checksum mode/],
      [right, { 'x-amz-checksum-type': 'other' }, 'InvalidRequest', /^Value for x-amz-checksum-type/],
      [
        right,
        { 'x-amz-checksum-crc32': crc32Of(tail) },
        'InvalidRequest',
        /expected checksum Type: sha256, actual.* crc32$/,
      ],
      [right, { 'x-amz-checksum-crc32': 'a', 'x-amz-checksum-sha256': 'b' }, 'InvalidRequest', /^Expecting a single/],
    ];
    for (const [parts, headers, code, message] of rows) {
      assert.match(assertS3Error(await complete(path, parts, headers), 400, code).Message ?? '', message);
    }
    const headers = { 'x-amz-checksum-sha256': composite, 'x-amz-checksum-type': 'COMPOSITE' };
    const done = await complete(path, right, headers);
    assertOk(done);
    assert.match(
      done.text,
      new RegExp(`<ChecksumSHA256>${composite.replace(/[+/]/g, '\\$&')}</ChecksumSHA256><ChecksumType>COMPOSITE<`),
    );
  });

  it('of the full object need none of the parts to be named', async () => {
    const headers = { 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'FULL_OBJECT' };
    const { path } = await startRaw(headers);
    assertOk(await sendPart(path, 1, patternBytes(100)));
    const bytes = patternBytes(100);
    assertS3Error(await complete(path, part(1, bytes), { 'x-amz-checksum-crc32': crc32Of(tail) }), 400, 'BadDigest');
    assertOk(await complete(path, part(1, bytes), { 'x-amz-checksum-crc32': crc32Of(bytes) }));
  });
});
