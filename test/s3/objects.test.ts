import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { planStripe } from '../../engine/stripe-plan.ts';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const Bucket = 'objects';

describe('objects', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
  });
  after(() => gateway.close());

  const put = (Key: string, Body: Uint8Array | string) =>
    gateway.client.send(new PutObjectCommand({ Bucket, Key, Body }));
  const get = async (Key: string): Promise<Uint8Array> => {
    const { Body } = await gateway.client.send(new GetObjectCommand({ Bucket, Key }));
    return (await Body?.transformToByteArray()) as Uint8Array;
  };

  const around = (size: number): number[] => [size - 1, size, size + 1];
  const sizes = [0, 1, ...[4, 16, 256].flatMap((n) => around(n * KiB)), ...around(MiB), 5 * MiB];
  for (const size of sizes) {
    it(`gives back an object of ${size} bytes, with its MD5 as ETag`, async () => {
      const bytes = patternBytes(size, size);
      const { ETag } = await put(`size-${size}`, bytes);
      assert.equal(ETag, `"${md5Hex(bytes)}"`);
      const head = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: `size-${size}` }));
      assert.equal(head.ContentLength, size);
      assert.equal(head.ETag, ETag);
      assert.ok(bytes.equals(await get(`size-${size}`)));
    });
  }

  it('gives back objects that end at a stripe, one byte before it, and one after', async () => {
    for (const size of around(16 * MiB)) {
      const bytes = patternBytes(size, size);
      // The second stripe begins where the plan of this object ends the first.
      const { dataBytes } = planStripe({ k: 4 }, { sizeBytes: size, writtenBytes: 0 });
      assert.ok(size <= 16 * MiB ? dataBytes === size : dataBytes < size);
      await put('striped', bytes);
      assert.ok(bytes.equals(await get('striped')), `${size} bytes`);
      for (const offset of around(dataBytes)) {
        const last = Math.min(offset + 9, size - 1);
        if (offset > last) continue;
        const answer = await gateway.fetchSigned('GET', `/${Bucket}/striped`, {
          headers: { range: `bytes=${offset}-${last}` },
        });
        assert.ok(bytes.subarray(offset, last + 1).equals(answer.body), `${size} bytes from ${offset}`);
      }
    }
  });

  it('shows the old object or the new one, whole, while it is overwritten', async () => {
    const versions = [patternBytes(300 * KiB, 'a'), patternBytes(500 * KiB, 'b')];
    await put('overwritten', versions[0] as Buffer);
    const writes = Array.from({ length: 6 }, (_, index) => put('overwritten', versions[index % 2] as Buffer));
    const reads = Array.from({ length: 24 }, async () => {
      const answer = await gateway.fetchSigned('GET', `/${Bucket}/overwritten`);
      assertOk(answer);
      assert.equal(answer.headers.get('etag'), `"${md5Hex(answer.body)}"`);
      assert.ok(versions.some((version) => version.equals(answer.body)));
    });
    await Promise.all([...writes, ...reads]);
  });

  it('replaces everything of an object that is overwritten, its headers too', async () => {
    await gateway.client.send(
      new PutObjectCommand({ Bucket, Key: 'again', Body: 'long text', CacheControl: 'no-cache', Metadata: { a: '1' } }),
    );
    await put('again', 'short');
    const { Body, CacheControl, Metadata, ContentLength } = await gateway.client.send(
      new GetObjectCommand({ Bucket, Key: 'again' }),
    );
    assert.equal(await Body?.transformToString(), 'short');
    assert.equal(CacheControl, undefined);
    assert.deepEqual(Metadata, {});
    assert.equal(ContentLength, 5);
  });

  it('answers HEAD with the headers of GET and no body', async () => {
    await gateway.fetchSigned('PUT', `/${Bucket}/head`, {
      body: 'some text',
      headers: { 'content-type': 'text/plain', 'x-amz-meta-a': '1', 'cache-control': 'max-age=5' },
    });
    const [got, head] = await Promise.all([
      gateway.fetchSigned('GET', `/${Bucket}/head`),
      gateway.fetchSigned('HEAD', `/${Bucket}/head`),
    ]);
    const comparable = (headers: Headers): [string, string][] =>
      [...headers].filter(([name]) => !['x-amz-request-id', 'x-amz-id-2', 'date'].includes(name));
    assert.deepEqual(comparable(head.headers), comparable(got.headers));
    assert.equal(got.headers.get('content-length'), '9');
    assert.equal(head.body.length, 0);
  });

  it('sends Last-Modified as an HTTP date of now, Accept-Ranges, and no storage class for STANDARD', async () => {
    const beforeMs = Math.floor(Date.now() / 1000) * 1000;
    await gateway.fetchSigned('PUT', `/${Bucket}/dated`, { body: 'x', headers: { 'x-amz-storage-class': 'STANDARD' } });
    const { headers } = await gateway.fetchSigned('GET', `/${Bucket}/dated`);
    const modified = headers.get('last-modified') ?? '';
    assert.equal(new Date(modified).toUTCString(), modified);
    assert.ok(Date.parse(modified) >= beforeMs && Date.parse(modified) <= Date.now());
    assert.equal(headers.get('accept-ranges'), 'bytes');
    assert.equal(headers.get('x-amz-storage-class'), null);
    assert.equal(headers.get('x-amz-version-id'), null);
    assert.equal(headers.get('content-type'), 'binary/octet-stream');
  });

  it('refuses a storage class that no profile serves, and stores nothing', async () => {
    const answer = await gateway.fetchSigned('PUT', `/${Bucket}/classless`, {
      body: 'x',
      headers: { 'x-amz-storage-class': 'NO_SUCH_CLASS' },
    });
    assertS3Error(answer, 400, 'InvalidStorageClass');
    assert.equal((await gateway.fetchSigned('HEAD', `/${Bucket}/classless`)).status, 404);
  });

  it('deletes an object, and a second time as well', async () => {
    await put('deleted', 'x');
    for (const _ of [1, 2]) {
      const answer = await gateway.fetchSigned('DELETE', `/${Bucket}/deleted`);
      assertOk(answer, 204);
      assert.equal(answer.body.length, 0);
      assert.equal(answer.headers.get('content-length'), null);
      assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}/deleted`), 404, 'NoSuchKey');
    }
  });

  it('names the key of an object that is missing, and answers HEAD of it with a bare 404', async () => {
    const body = assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}/missing%20one`), 404, 'NoSuchKey');
    assert.equal(body.Key, 'missing one');
    const head = await gateway.fetchSigned('HEAD', `/${Bucket}/missing%20one`);
    assert.equal(head.status, 404);
    assert.equal(head.body.length, 0);
    await assert.rejects(
      gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'missing' })),
      sdkError(404, 'NotFound'),
    );
    await assert.rejects(
      gateway.client.send(new GetObjectCommand({ Bucket, Key: 'missing' })),
      sdkError(404, 'NoSuchKey'),
    );
  });

  it('refuses reads and writes in a bucket that is missing with NoSuchBucket', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await gateway.fetchSigned(method, '/no-such-bucket/key');
      assert.equal(assertS3Error(answer, 404, 'NoSuchBucket').BucketName, 'no-such-bucket');
    }
    await assert.rejects(
      gateway.client.send(new DeleteObjectCommand({ Bucket: 'no-such-bucket', Key: 'key' })),
      sdkError(404, 'NoSuchBucket'),
    );
  });

  it('lets response-* parameters dictate the headers of GET and HEAD', async () => {
    await gateway.fetchSigned('PUT', `/${Bucket}/dictated`, { body: 'x', headers: { 'content-type': 'text/plain' } });
    const overrides = {
      'response-cache-control': 'no-store',
      'response-content-disposition': 'attachment; filename="a b.txt"',
      'response-content-encoding': 'identity',
      'response-content-language': 'de',
      'response-content-type': 'application/json',
      'response-expires': 'Thu, 01 Jan 2032 00:00:00 GMT',
    };
    const query = Object.entries(overrides).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    for (const method of ['GET', 'HEAD']) {
      const answer = await gateway.fetchSigned(method, `/${Bucket}/dictated?${query.join('&')}`);
      assertOk(answer);
      for (const [name, value] of Object.entries(overrides))
        assert.equal(answer.headers.get(name.replace('response-', '')), value);
    }
  });

  it('never lets a response-* parameter smuggle in a header', async () => {
    await put('dictated', 'x');
    const path = `/${Bucket}/dictated?response-content-type=${encodeURIComponent('a\r\nx-evil: 1')}`;
    assertS3Error(await gateway.fetchSigned('GET', path), 400, 'InvalidArgument');
  });

  it('stores an object without a body as an empty one', async () => {
    assertOk(await gateway.fetchSigned('PUT', `/${Bucket}/bodiless`, { headers: { 'content-length': '0' } }));
    const { body, headers } = await gateway.fetchSigned('GET', `/${Bucket}/bodiless`);
    assert.equal(body.length, 0);
    assert.equal(headers.get('content-length'), '0');
    assert.equal(headers.get('etag'), `"${md5Hex('')}"`);
  });

  it('stores a stream whose length it is told, and one in aws-chunked framing', async () => {
    const bytes = patternBytes(3 * MiB + 17, 'stream');
    const stream = Readable.from([bytes.subarray(0, 10_000), bytes.subarray(10_000)]);
    await gateway.client.send(
      new PutObjectCommand({ Bucket, Key: 'streamed', Body: stream, ContentLength: bytes.length }),
    );
    assert.ok(bytes.equals(await get('streamed')));
    const head = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'streamed' }));
    assert.equal(head.ContentEncoding, undefined);
  });

  it('answers MissingContentLength where a PUT does not tell its length', async () => {
    const answer = await gateway.fetchSigned('PUT', `/${Bucket}/lengthless`, {
      headers: { 'transfer-encoding': 'chunked' },
      payloadHash: 'UNSIGNED-PAYLOAD',
    });
    assertS3Error(answer, 411, 'MissingContentLength');
  });

  it('refuses an object of more than 5 GiB in one PUT before it reads it', async () => {
    const answer = await gateway.fetchSigned('PUT', `/${Bucket}/huge`, {
      headers: { 'content-length': String(5 * 1024 * MiB + 1), expect: '100-continue' },
      payloadHash: 'UNSIGNED-PAYLOAD',
    });
    assertS3Error(answer, 400, 'EntityTooLarge');
  });
});
