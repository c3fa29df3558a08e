import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import type { SignedAnswer } from '../harness/signed-fetch.ts';

const MiB = 1024 * 1024;
const Bucket = 'multipart';
/** The smallest part that is not the last. */
const big = patternBytes(5 * MiB, 'big');
const small = Buffer.from('the tail');

type NamedPart = readonly [partNumber: number | string, etag: string];

function completion(parts: readonly NamedPart[]): string {
  const named = parts.map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`);
  return `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${named.join('')}</CompleteMultipartUpload>`;
}

/** S3's ETag of parts. */
function multipartETag(...parts: Uint8Array[]): string {
  const md5 = createHash('md5');
  for (const part of parts) md5.update(createHash('md5').update(part).digest());
  return `"${md5.digest('hex')}-${parts.length}"`;
}

describe('multipart uploads', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
  });
  after(() => gateway.close());

  const start = async (key: string, headers: Record<string, string> = {}, bucket = Bucket): Promise<string> => {
    const answer = await gateway.fetchSigned('POST', `/${bucket}/${key}?uploads`, { headers });
    assertOk(answer);
    return /<UploadId>(.*?)<\/UploadId>/.exec(answer.text)?.[1] ?? '';
  };
  const sendPart = (key: string, uploadId: string, number: number | string, body: Uint8Array | string) =>
    gateway.fetchSigned('PUT', `/${Bucket}/${key}?partNumber=${number}&uploadId=${uploadId}`, { body });
  const complete = (
    key: string,
    uploadId: string,
    parts: readonly NamedPart[] | string,
    headers: Record<string, string> = {},
  ): Promise<SignedAnswer> =>
    gateway.fetchSigned('POST', `/${Bucket}/${key}?uploadId=${uploadId}`, {
      headers,
      body: typeof parts === 'string' ? parts : completion(parts),
    });
  const sendParts = async (key: string, parts: Record<number, Uint8Array | string>): Promise<string> => {
    const uploadId = await start(key);
    for (const [number, body] of Object.entries(parts)) assertOk(await sendPart(key, uploadId, number, body));
    return uploadId;
  };
  const exists = async (key: string): Promise<boolean> =>
    (await gateway.fetchSigned('HEAD', `/${Bucket}/${key}`)).status === 200;

  it('become one object of the parts that were chosen, with the metadata of the start', async () => {
    const Key = 'folder/a key?.bin';
    const { client } = gateway;
    const { UploadId, ...created } = await client.send(
      new CreateMultipartUploadCommand({
        Bucket,
        Key,
        ContentType: 'text/x-test',
        CacheControl: 'no-store',
        Metadata: { color: 'blue' },
        Tagging: 'a=1&b=2',
      }),
    );
    assert.deepEqual([created.Bucket, created.Key], [Bucket, Key]);
    const sent: Record<number, Uint8Array> = { 1: big, 5: patternBytes(5 * MiB, 'not chosen'), 9: small };
    const Parts = [];
    for (const [number, Body] of Object.entries(sent)) {
      const PartNumber = Number(number);
      const part = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
      assert.equal(part.ETag, `"${md5Hex(Body)}"`);
      if (PartNumber !== 5) Parts.push({ PartNumber, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32 });
    }
    const done = await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    );
    assert.equal(done.ETag, multipartETag(big, small));
    assert.deepEqual([done.Bucket, done.Key], [Bucket, Key]);
    assert.equal(done.Location, `${gateway.url}/${Bucket}/folder%2Fa%20key%3F.bin`);

    const object = await client.send(new GetObjectCommand({ Bucket, Key }));
    const bytes = await object.Body?.transformToByteArray();
    assert.ok(Buffer.concat([big, small]).equals(bytes ?? Buffer.alloc(0)));
    assert.deepEqual(
      [object.ContentType, object.CacheControl, object.Metadata],
      ['text/x-test', 'no-store', { color: 'blue' }],
    );
    assert.equal(object.TagCount, 2);
    const { TagSet } = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    assert.deepEqual(
      TagSet?.map((tag) => `${tag.Key}=${tag.Value}`),
      ['a=1', 'b=2'],
    );
    const first = await client.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 1 }));
    assert.deepEqual([first.ContentLength, first.PartsCount], [big.length, 2]);
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
    assert.equal(Uploads, undefined);
  });

  it('take a part again, and the last one counts', async () => {
    const uploadId = await sendParts('again', { 1: 'first' });
    assertOk(await sendPart('again', uploadId, 1, 'second'));
    assertS3Error(await complete('again', uploadId, [[1, md5Hex('first')]]), 400, 'InvalidPart');
    assertOk(await complete('again', uploadId, [[1, `"${md5Hex('second')}"`]]));
    assert.equal((await gateway.fetchSigned('GET', `/${Bucket}/again`)).text, 'second');
  });

  it('are answered alike when they are completed twice', async () => {
    const uploadId = await sendParts('twice', { 1: 'x', 2: 'y' });
    const first = await complete('twice', uploadId, [[1, md5Hex('x')]], { 'if-none-match': '*' });
    assertOk(first);
    const again = await complete('twice', uploadId, [[1, md5Hex('x')]], { 'if-none-match': '*' });
    assert.deepEqual([again.status, again.text], [200, first.text]);
    const other = assertS3Error(await complete('twice', uploadId, [[2, md5Hex('y')]]), 404, 'NoSuchUpload');
    assert.equal(other.UploadId, uploadId);
  });

  it('may consist of one empty part', async () => {
    const uploadId = await sendParts('empty', { 1: '' });
    assertOk(await complete('empty', uploadId, [[1, md5Hex('')]]));
    const { ContentLength, ETag } = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'empty' }));
    assert.deepEqual([ContentLength, ETag], [0, multipartETag(Buffer.alloc(0))]);
  });

  const one: NamedPart = [1, md5Hex('one')];
  const two: NamedPart = [2, md5Hex('two')];
  const part = (inner: string) => `<CompleteMultipartUpload><Part>${inner}</Part></CompleteMultipartUpload>`;
  const refusals: [why: string, parts: readonly NamedPart[] | string, code: string][] = [
    ['a part that was never sent', [[4, md5Hex('one')]], 'InvalidPart'],
    ['a part number above 10,000', [[10_001, md5Hex('one')]], 'InvalidPart'],
    ['the ETag of another part', [[1, md5Hex('two')]], 'InvalidPart'],
    ['an empty ETag', [[1, '']], 'InvalidPart'],
    ['parts in descending order', [two, one], 'InvalidPartOrder'],
    ['a part twice', [one, one], 'InvalidPartOrder'],
    ['a part below 5 MiB that is not the last', [one, two], 'EntityTooSmall'],
    ['part number 0', [[0, md5Hex('one')]], 'InvalidArgument'],
    ['no body', '', 'MalformedXML'],
    ['a body that is not XML', 'PartNumber=1', 'MalformedXML'],
    ['another document', '<Parts/>', 'MalformedXML'],
    ['no parts', completion([]), 'MalformedXML'],
    ['10,001 parts', completion(Array.from({ length: 10_001 }, (_, at) => [at + 1, 'x'] as const)), 'MalformedXML'],
    ['a part without number', part(`<ETag>${one[1]}</ETag>`), 'MalformedXML'],
    ['a part without ETag', part('<PartNumber>1</PartNumber>'), 'MalformedXML'],
    ['a part number that is none', [['one', md5Hex('one')]], 'MalformedXML'],
    ['an unknown element', part(`<PartNumber>1</PartNumber><ETag>${one[1]}</ETag><Size>3</Size>`), 'MalformedXML'],
  ];
  it('are not completed with what AWS would refuse, and go on as before', async () => {
    const uploadId = await sendParts('refused', { 1: 'one', 2: 'two' });
    for (const [why, parts, code] of refusals) {
      const error = assertS3Error(await complete('refused', uploadId, parts), 400, code);
      assert.ok(error.Message, why);
      if (code === 'EntityTooSmall') {
        assert.deepEqual([error.ProposedSize, error.MinSizeAllowed, error.PartNumber], ['3', String(5 * MiB), '1']);
      }
    }
    assert.equal(await exists('refused'), false);
    assertOk(await complete('refused', uploadId, [two]));
  });

  it('are completed only when the size is what the client says', async () => {
    const uploadId = await sendParts('sized', { 1: 'one' });
    for (const size of ['4', 'three', '-1']) {
      assertS3Error(await complete('sized', uploadId, [one], { 'x-amz-mp-object-size': size }), 400, 'InvalidRequest');
    }
    assertOk(await complete('sized', uploadId, [one], { 'x-amz-mp-object-size': '3' }));
  });

  it('are completed only when the condition holds', async () => {
    await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'conditional', Body: 'old' }));
    const uploadId = await sendParts('conditional', { 1: 'one' });
    const wrong = [{ 'if-none-match': '*' }, { 'if-match': '"0123"' }] as const;
    for (const headers of wrong) {
      assertS3Error(await complete('conditional', uploadId, [one], headers), 412, 'PreconditionFailed');
    }
    assertOk(await complete('conditional', uploadId, [one], { 'if-match': `"${md5Hex('old')}"` }));
    const missing = await sendParts('conditional-missing', { 1: 'one' });
    assertS3Error(await complete('conditional-missing', missing, [one], { 'if-match': '*' }), 404, 'NoSuchKey');
  });

  it('name the new version in a versioned bucket', async () => {
    const versioned = 'multipart-versioned';
    await gateway.client.send(new CreateBucketCommand({ Bucket: versioned }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await gateway.client.send(new PutBucketVersioningCommand({ Bucket: versioned, VersioningConfiguration }));
    const uploadId = await start('key', {}, versioned);
    const path = `/${versioned}/key?uploadId=${uploadId}`;
    assertOk(await gateway.fetchSigned('PUT', `${path}&partNumber=1`, { body: 'one' }));
    const done = await gateway.fetchSigned('POST', path, { body: completion([one]) });
    const head = await gateway.client.send(new HeadObjectCommand({ Bucket: versioned, Key: 'key' }));
    assert.ok(head.VersionId);
    assert.equal(done.headers.get('x-amz-version-id'), head.VersionId);
  });

  it('are gone once aborted, and were never there for another key', async () => {
    const uploadId = await sendParts('aborted', { 1: 'one' });
    const missing = async (key: string): Promise<void> => {
      const path = `/${Bucket}/${key}?uploadId=${uploadId}`;
      for (const answer of [
        await gateway.fetchSigned('GET', path),
        await gateway.fetchSigned('PUT', `${path}&partNumber=1`, { body: 'x' }),
        await gateway.fetchSigned('PUT', `${path}&partNumber=1`, {
          headers: { 'x-amz-copy-source': `${Bucket}/sized` },
        }),
        await gateway.fetchSigned('POST', path, { body: completion([one]) }),
        await gateway.fetchSigned('DELETE', path),
      ]) {
        assert.equal(assertS3Error(answer, 404, 'NoSuchUpload').UploadId, uploadId);
      }
    };
    await missing('another-key');
    const aborted = await gateway.fetchSigned('DELETE', `/${Bucket}/aborted?uploadId=${uploadId}`);
    assertOk(aborted, 204);
    await missing('aborted');
    assert.equal(await exists('aborted'), false);
  });

  for (const number of ['0', '10001', '-1', '1.5', 'one', '']) {
    it(`have no part numbered "${number}"`, async () => {
      const uploadId = await start('numbered');
      const error = assertS3Error(await sendPart('numbered', uploadId, number, 'x'), 400, 'InvalidArgument');
      assert.deepEqual([error.ArgumentName, error.ArgumentValue], ['partNumber', number]);
    });
  }

  it('are neither parts nor objects when a part comes without an upload', async () => {
    assertS3Error(
      await gateway.fetchSigned('PUT', `/${Bucket}/stray?partNumber=1`, { body: 'x' }),
      501,
      'NotImplemented',
    );
    assertS3Error(
      await gateway.fetchSigned('PUT', `/${Bucket}/stray?uploadId=u`, { body: 'x' }),
      501,
      'NotImplemented',
    );
    assert.equal(await exists('stray'), false);
  });

  it('list their parts in order and in pages', async () => {
    const key = 'listed-parts';
    const uploadId = await start(key);
    for (const number of [8, 1, 5, 3]) assertOk(await sendPart(key, uploadId, number, 'x'.repeat(number)));
    const list = (MaxParts?: number, PartNumberMarker?: string) =>
      gateway.client.send(new ListPartsCommand({ Bucket, Key: key, UploadId: uploadId, MaxParts, PartNumberMarker }));
    const whole = await list();
    assert.deepEqual(
      whole.Parts?.map((found) => [found.PartNumber, found.Size]),
      [
        [1, 1],
        [3, 3],
        [5, 5],
        [8, 8],
      ],
    );
    assert.equal(whole.Parts?.[1]?.ETag, `"${md5Hex('xxx')}"`);
    const who = { ID: 'a'.repeat(64), DisplayName: 'root' };
    assert.deepEqual([whole.Initiator, whole.Owner, whole.StorageClass], [who, who, 'STANDARD']);
    const outlines = [];
    for (const [max, marker] of [
      [2, '0'],
      [2, '3'],
      [1, '8'],
      [0, '3'],
    ] as const) {
      const page = await list(max, marker);
      const numbers = page.Parts?.map(({ PartNumber }) => PartNumber).join() ?? '';
      outlines.push(`${page.PartNumberMarker}: ${numbers} next ${page.NextPartNumberMarker} ${page.IsTruncated}`);
    }
    assert.deepEqual(outlines, ['0: 1,3 next 3 true', '3: 5,8 next 8 false', '8:  next 8 false', '3:  next 3 false']);
  });
});

describe('the list of uploads', () => {
  let gateway: TestGateway;
  const ids: Record<string, string> = {};

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    for (const name of ['b1 b', 'c d', 'a2 a/2', 'b2 b', 'a1 a/1']) {
      const key = name.replace(/^[ab]\d /, '');
      const answer = await gateway.fetchSigned('POST', `/${Bucket}/${key.replace(' ', '%20')}?uploads`);
      assertOk(answer);
      ids[name.split(' ')[0] ?? ''] = /<UploadId>(.*?)</.exec(answer.text)?.[1] ?? '';
    }
  });
  after(() => gateway.close());

  /** The names of the uploads, then the common prefixes. */
  const list = async (query: string): Promise<{ text: string; found: string }> => {
    const answer = await gateway.fetchSigned('GET', `/${Bucket}?uploads${query}`);
    assertOk(answer);
    const nameOf = (id: string | undefined) => Object.keys(ids).find((name) => ids[name] === id);
    const uploads = [...answer.text.matchAll(/<UploadId>(.*?)<\/UploadId>/g)].map(([, id]) => nameOf(id));
    const prefixes = [...answer.text.matchAll(/<CommonPrefixes><Prefix>(.*?)<\/Prefix>/g)].map(([, prefix]) => prefix);
    return { text: answer.text, found: [...uploads, ...prefixes].join(' ') };
  };

  it('is in the order of keys, and within a key of their start', async () => {
    assert.equal((await list('')).found, 'a1 a2 b1 b2 c');
    assert.equal((await list('&prefix=a%2F')).found, 'a1 a2');
    assert.equal((await list('&delimiter=%2F')).found, 'b1 b2 c a/');
    assert.equal((await list('&max-uploads=0')).found, '');
  });

  it('goes on behind a key, or behind one upload of it', async () => {
    assert.equal((await list('&key-marker=b')).found, 'c');
    assert.equal((await list(`&key-marker=b&upload-id-marker=${ids.b1}`)).found, 'b2 c');
    assert.equal((await list(`&upload-id-marker=${ids.b1}`)).found, 'a1 a2 b1 b2 c');
  });

  for (const delimiter of ['', '&delimiter=%2F']) {
    it(`comes in pages${delimiter && ' with a delimiter'}`, async () => {
      const seen: string[] = [];
      for (let markers = ''; ; ) {
        const { text, found } = await list(`&max-uploads=1${delimiter}${markers}`);
        seen.push(found);
        if (text.includes('<IsTruncated>false')) break;
        const next = (name: string) => encodeURIComponent(new RegExp(`<Next${name}>(.*?)<`).exec(text)?.[1] ?? '');
        markers = `&key-marker=${next('KeyMarker')}&upload-id-marker=${next('UploadIdMarker')}`;
      }
      assert.deepEqual(seen, delimiter ? ['a/', 'b1', 'b2', 'c'] : ['a1', 'a2', 'b1', 'b2', 'c']);
    });
  }

  it('says of each who started it, when, and for which storage class', async () => {
    const { Uploads } = await gateway.client.send(new ListMultipartUploadsCommand({ Bucket, MaxUploads: 1 }));
    const who = { ID: 'a'.repeat(64), DisplayName: 'root' };
    assert.deepEqual(
      [Uploads?.[0]?.Initiator, Uploads?.[0]?.Owner, Uploads?.[0]?.StorageClass],
      [who, who, 'STANDARD'],
    );
    assert.ok(Math.abs(Number(Uploads?.[0]?.Initiated) - Date.now()) < 60_000);
  });

  it('is url-encoded when asked', async () => {
    const { text } = await list('&encoding-type=url&prefix=c%20&delimiter=d');
    assert.match(text, /<Delimiter>d<\/Delimiter><Prefix>c\+<\/Prefix>.*<EncodingType>url</);
    assert.match(text, /<CommonPrefixes><Prefix>c\+d<\/Prefix>/);
  });

  for (const [query, argument, value] of [
    ['max-uploads=-1', 'max-uploads', '-1'],
    ['max-uploads=few', 'max-uploads', 'few'],
    ['encoding-type=hex', 'encoding-type', 'hex'],
  ] as const) {
    it(`is refused for ${query}`, async () => {
      const answer = await gateway.fetchSigned('GET', `/${Bucket}?uploads&${query}`);
      const error = assertS3Error(answer, 400, 'InvalidArgument');
      assert.deepEqual([error.ArgumentName, error.ArgumentValue], [argument, value]);
    });
  }
});
