import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CopyObjectCommand } from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';
import type { SignedAnswer } from '../harness/signed-fetch.ts';

const text = 'the source';
const etag = md5Hex(text);

describe('copies', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    for (const bucket of ['from', 'into']) assertOk(await gateway.fetchSigned('PUT', `/${bucket}`));
    assertOk(
      await gateway.fetchSigned('PUT', '/from/source', {
        body: text,
        headers: {
          'content-type': 'text/plain',
          'cache-control': 'no-cache',
          'x-amz-meta-color': 'red',
          'x-amz-tagging': 'a=1&b=2',
        },
      }),
    );
  });
  after(() => gateway.close());

  const copy = (path: string, source: string, headers: Record<string, string> = {}): Promise<SignedAnswer> =>
    gateway.fetchSigned('PUT', path, { headers: { 'x-amz-copy-source': source, ...headers } });

  for (const source of ['/from/source', 'from/source', '/from/%73ource', 'from%2Fsource', '%2Ffrom%2Fsource']) {
    it(`take ${source} for the source`, async () => {
      const answer = await copy('/into/named', source);
      assertOk(answer);
      assert.match(answer.text, new RegExp(`<CopyObjectResult.*<ETag>&quot;${etag}&quot;</ETag>`, 's'));
      assert.match(answer.text, /<LastModified>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z<\/LastModified>/);
      const got = await gateway.fetchSigned('GET', '/into/named');
      assert.equal(got.text, text);
      assert.equal(got.headers.get('etag'), `"${etag}"`);
    });
  }

  it('take over headers, metadata and tags unless they are told otherwise', async () => {
    // Without the directive what the request says of metadata counts for nothing.
    assertOk(await copy('/into/same', '/from/source', { 'content-type': 'text/html', 'x-amz-meta-color': 'blue' }));
    const { headers } = await gateway.fetchSigned('HEAD', '/into/same');
    assert.equal(headers.get('content-type'), 'text/plain');
    assert.equal(headers.get('cache-control'), 'no-cache');
    assert.equal(headers.get('x-amz-meta-color'), 'red');
    assert.equal(headers.get('x-amz-tagging-count'), '2');
  });

  it('replace headers and metadata, all of them, and keep the tags', async () => {
    const replacing = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-shape': 'round' };
    assertOk(await copy('/into/replaced', '/from/source', replacing));
    const { headers } = await gateway.fetchSigned('HEAD', '/into/replaced');
    assert.equal(headers.get('content-type'), 'binary/octet-stream');
    assert.equal(headers.get('cache-control'), null);
    assert.equal(headers.get('x-amz-meta-color'), null);
    assert.equal(headers.get('x-amz-meta-shape'), 'round');
    assert.equal(headers.get('x-amz-tagging-count'), '2');
  });

  it('replace the tags and keep the metadata', async () => {
    const replacing = { 'x-amz-tagging-directive': 'REPLACE', 'x-amz-tagging': 'c=3' };
    assertOk(await copy('/into/retagged', '/from/source', replacing));
    const { headers } = await gateway.fetchSigned('HEAD', '/into/retagged');
    assert.equal(headers.get('x-amz-tagging-count'), '1');
    assert.equal(headers.get('x-amz-meta-color'), 'red');
  });

  it('refuse directives that are none', async () => {
    for (const name of ['x-amz-metadata-directive', 'x-amz-tagging-directive'])
      assertS3Error(await copy('/into/undirected', '/from/source', { [name]: 'MOVE' }), 400, 'InvalidArgument');
  });

  it('of an object onto itself must change something', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/from/self', { body: text, headers: { 'x-amz-meta-a': '1' } }));
    assertS3Error(await copy('/from/self', '/from/self'), 400, 'InvalidRequest');
    const replacing = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-a': '2' };
    assertOk(await copy('/from/self', '/from/self', replacing));
    const got = await gateway.fetchSigned('GET', '/from/self');
    assert.equal(got.text, text);
    assert.equal(got.headers.get('x-amz-meta-a'), '2');
  });

  it('outlive their source, whatever its length', async () => {
    for (const size of [0, 1, 20_000, 1_500_000]) {
      const bytes = patternBytes(size, size);
      assertOk(await gateway.fetchSigned('PUT', '/from/short-lived', { body: bytes }));
      assertOk(await copy(`/into/of-${size}`, '/from/short-lived'));
      assertOk(await gateway.fetchSigned('DELETE', '/from/short-lived'), 204);
      const { body } = await gateway.fetchSigned('GET', `/into/of-${size}`);
      assert.ok(bytes.equals(body), `${size} bytes`);
    }
  });

  it('follow the conditions on their source, and answer 412 where AWS does for a GET that says 304', async () => {
    const { headers } = await gateway.fetchSigned('HEAD', '/from/source');
    const modified = headers.get('last-modified') ?? '';
    const earlier = new Date(Date.parse(modified) - 3_600_000).toUTCString();
    const other = md5Hex('other');
    const outcomes: [status: number, conditions: Record<string, string>][] = [
      [200, { 'if-match': etag }],
      [412, { 'if-match': other }],
      [200, { 'if-none-match': other }],
      [412, { 'if-none-match': etag }],
      [200, { 'if-modified-since': earlier }],
      [412, { 'if-modified-since': modified }],
      [200, { 'if-unmodified-since': modified }],
      [412, { 'if-unmodified-since': earlier }],
      [200, { 'if-match': etag, 'if-unmodified-since': earlier }],
      [412, { 'if-none-match': etag, 'if-modified-since': earlier }],
    ];
    for (const [status, conditions] of outcomes) {
      const prefixed = Object.entries(conditions).map(([name, value]) => [`x-amz-copy-source-${name}`, value]);
      const answer = await copy('/into/conditional', '/from/source', Object.fromEntries(prefixed));
      assert.equal(answer.status, status, JSON.stringify(conditions));
      if (status === 412) assertS3Error(answer, 412, 'PreconditionFailed');
    }
  });

  it('name what is missing: the source, its bucket, or the bucket that they go to', async () => {
    assertS3Error(await copy('/into/x', '/from/missing'), 404, 'NoSuchKey');
    assertS3Error(await copy('/into/x', '/no-such-bucket/source'), 404, 'NoSuchBucket');
    assertS3Error(await copy('/no-such-bucket/x', '/from/source'), 404, 'NoSuchBucket');
    const send = gateway.client.send(new CopyObjectCommand({ Bucket: 'into', Key: 'x', CopySource: 'from/missing' }));
    await assert.rejects(send, sdkError(404, 'NoSuchKey'));
  });

  for (const source of ['from', '/from', '/from/', '/', '', 'from/%ZZ', '/from/source?versionId=']) {
    it(`refuse ${JSON.stringify(source)} as a source`, async () => {
      assertS3Error(await copy('/into/x', source), 400, 'InvalidArgument');
    });
  }

  it('of a bucket that belongs to someone else are denied', async () => {
    assertOk(await gateway.fetchAsStranger('PUT', '/strangers'));
    assertOk(await gateway.fetchAsStranger('PUT', '/strangers/theirs', { body: 'theirs' }));
    assertS3Error(await copy('/into/stolen', '/strangers/theirs'), 403, 'AccessDenied');
    assertS3Error(await copy('/strangers/planted', '/from/source'), 403, 'AccessDenied');
  });

  it('compute the checksum that they are asked for', async () => {
    const answer = await copy('/into/summed', '/from/source', { 'x-amz-checksum-algorithm': 'SHA256' });
    assertOk(answer);
    const value = /<ChecksumSHA256>(.*?)<\/ChecksumSHA256>/.exec(answer.text)?.[1];
    assert.equal(value, Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('base64'));
    const head = await gateway.fetchSigned('HEAD', '/into/summed', { headers: { 'x-amz-checksum-mode': 'ENABLED' } });
    assert.equal(head.headers.get('x-amz-checksum-sha256'), value);
  });
});
