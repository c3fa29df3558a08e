import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CreateBucketCommand, ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { rootKey, startGateway, strangerKey, type TestGateway } from '../harness/gateway.ts';
import { presignPath } from '../harness/presigned-url.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';
import { createSignedFetch, type SignedAnswer, signHeaders } from '../harness/signed-fetch.ts';

const minuteMs = 60_000;

describe('signatures', () => {
  let gateway: TestGateway;
  let host: string;

  before(async () => {
    gateway = await startGateway({ config: { domain: 's3.localhost' } });
    host = new URL(gateway.url).host;
    assertOk(await gateway.fetchSigned('PUT', '/signed'));
    assertOk(await gateway.fetchSigned('PUT', '/signed/key', { body: 'secret text' }));
  });
  after(() => gateway.close());

  /** Sends a head that was changed after it was signed. */
  const send = async (
    method: string,
    pathAndQuery: string,
    headers: Readonly<Record<string, string>>,
    body = '',
  ): Promise<SignedAnswer> => {
    const connection = await RawConnection.open(gateway.url);
    const lengthHeader = body === '' ? {} : { 'content-length': String(body.length) };
    await connection.write(renderHead(method, pathAndQuery, { ...headers, ...lengthHeader }) + body);
    const answer = await connection.readAnswer({ toHead: method === 'HEAD' });
    connection.destroy();
    return answer;
  };
  const sign = (method: string, pathAndQuery: string, headers: Record<string, string> = {}) =>
    signHeaders({ method, pathAndQuery, host, region: 'us-east-1', key: rootKey, options: { headers } });

  describe('in the Authorization header', () => {
    it('are taken however the path and the query are written', async () => {
      assertOk(await gateway.fetchSigned('PUT', '/signed/a%20b%2Bc%C3%A4', { body: 'x' }));
      for (const path of [
        '/signed/a%20b%2Bc%C3%A4',
        '/signed?prefix=a%20b&list-type=2',
        '/signed?list-type=2&prefix=%C3%A4&delimiter=%2F',
      ])
        assertOk(await gateway.fetchSigned('GET', path));
    });

    it('are taken with white space that was folded, and headers in any case and order', async () => {
      const headers = sign('GET', '/signed/key', { 'x-amz-meta-spaced': 'a b' });
      const shuffled = Object.fromEntries(
        Object.entries(headers)
          .toReversed()
          .map(([name, value]) => [name.toUpperCase(), value]),
      );
      assertOk(await send('GET', '/signed/key', { ...shuffled, 'X-AMZ-META-SPACED': '  a    b ' }));
    });

    it('of a wrong secret are refused with SignatureDoesNotMatch', async () => {
      const fetch = createSignedFetch(gateway.url, { ...rootKey, secretAccessKey: 'not the secret' }, 'us-east-1');
      for (const method of ['GET', 'PUT', 'DELETE'])
        assertS3Error(await fetch(method, '/signed/key'), 403, 'SignatureDoesNotMatch');
      assert.equal((await fetch('HEAD', '/signed/key')).status, 403);
      assert.equal((await gateway.fetchSigned('GET', '/signed/key')).text, 'secret text');
    });

    it('of an unknown key are refused with InvalidAccessKeyId', async () => {
      const fetch = createSignedFetch(gateway.url, { ...rootKey, accessKeyId: 'NOBODY' }, 'us-east-1');
      const body = assertS3Error(await fetch('GET', '/signed/key'), 403, 'InvalidAccessKeyId');
      assert.equal(body.AWSAccessKeyId, 'NOBODY');
    });

    it('of another region are refused with the region that is right', async () => {
      const fetch = createSignedFetch(gateway.url, rootKey, 'eu-west-1');
      const body = assertS3Error(await fetch('GET', '/signed/key'), 400, 'AuthorizationHeaderMalformed');
      assert.equal(body.Region, 'us-east-1');
    });

    for (const [what, change] of [
      ['the path', { path: '/signed/kez' }],
      ['the query', { path: '/signed/key?versionId=null' }],
      ['the method', { method: 'DELETE' }],
      ['a signed header', { headers: { 'x-amz-meta-a': 'changed' } }],
      ['the payload digest', { headers: { 'x-amz-content-sha256': '0'.repeat(64) } }],
      ['the host', { headers: { host: 'elsewhere.example' } }],
    ] as const) {
      it(`do not cover a request whose ${what.replace(/^(the|a) /, '')} was changed`, async () => {
        const headers = sign('GET', '/signed/key', { 'x-amz-meta-a': 'as signed' });
        const {
          method = 'GET',
          path = '/signed/key',
          headers: changed = {},
        } = change as {
          method?: string;
          path?: string;
          headers?: Record<string, string>;
        };
        assertS3Error(await send(method, path, { ...headers, ...changed }), 403, 'SignatureDoesNotMatch');
      });
    }

    it('must cover every x-amz header', async () => {
      const headers = { ...sign('GET', '/signed/key'), 'x-amz-meta-late': 'x' };
      const body = assertS3Error(await send('GET', '/signed/key', headers), 403, 'AccessDenied');
      assert.match(body.Message ?? '', /headers present in the request which were not signed/);
    });

    it('are refused when the clocks are more than 15 minutes apart, either way', async () => {
      for (const minutes of [-14, 14])
        assertOk(await gateway.fetchSigned('GET', '/signed/key', { nowMs: Date.now() + minutes * minuteMs }));
      for (const minutes of [-16, 16, -24 * 60]) {
        const answer = await gateway.fetchSigned('GET', '/signed/key', { nowMs: Date.now() + minutes * minuteMs });
        const body = assertS3Error(answer, 403, 'RequestTimeTooSkewed');
        assert.equal(body.MaxAllowedSkewMilliseconds, '900000');
      }
    });

    it('that cannot be understood are refused before anything else is looked at', async () => {
      const good = sign('GET', '/signed/key');
      const malformed = [
        'AWS4-HMAC-SHA256 Credential=x',
        good.authorization?.replace(/Credential=[^,]+/, 'Credential=a/b/c') ?? '',
        good.authorization?.replace('/s3/', '/ec2/') ?? '',
        good.authorization?.replace('aws4_request', 'aws5_request') ?? '',
      ];
      for (const authorization of malformed) {
        const answer = await send('GET', '/signed/key', { ...good, authorization });
        assertS3Error(answer, 400, 'AuthorizationHeaderMalformed');
      }
      for (const authorization of ['Basic dXNlcjpwYXNz', 'nonsense', 'AWS4-HMAC-SHA256']) {
        const answer = await send('GET', '/signed/key', { ...good, authorization });
        assertS3Error(answer, 400, 'InvalidArgument');
      }
    });

    it('need a date, and a payload digest that is one', async () => {
      const { 'x-amz-date': _, ...dateless } = sign('GET', '/signed/key');
      const answer = await send('GET', '/signed/key', dateless);
      assertS3Error(answer, 403, 'AccessDenied');
      const odd = await gateway.fetchSigned('PUT', '/signed/odd', { body: 'x', payloadHash: 'nonsense' });
      assertS3Error(odd, 400, 'InvalidArgument');
    });

    it('come from the SDK as well', async () => {
      const wrong = gateway.createClient({ credentials: { ...rootKey, secretAccessKey: 'not the secret' } });
      await assert.rejects(wrong.send(new ListBucketsCommand({})), sdkError(403, 'SignatureDoesNotMatch'));
      const { Owner } = await gateway.client.send(new ListBucketsCommand({}));
      assert.equal(Owner?.ID, 'a'.repeat(64));
    });
  });

  describe('in the query', () => {
    const fetchPlain = async (method: string, pathAndQuery: string, headers: Record<string, string> = {}, body = '') =>
      send(method, pathAndQuery, { host, ...headers }, body);

    it('let whoever holds the URL read and write', async () => {
      const get = await fetchPlain('GET', presignPath({ path: '/signed/key', host }));
      assertOk(get);
      assert.equal(get.text, 'secret text');
      assertOk(await fetchPlain('PUT', presignPath({ method: 'PUT', path: '/signed/by-url', host }), {}, 'by url'));
      assert.equal((await gateway.fetchSigned('GET', '/signed/by-url')).text, 'by url');
      assertOk(await fetchPlain('HEAD', presignPath({ method: 'HEAD', path: '/signed/by-url', host })));
      assertOk(await fetchPlain('DELETE', presignPath({ method: 'DELETE', path: '/signed/by-url', host })), 204);
    });

    it('carry response-* parameters and keys with any character', async () => {
      const query = { 'response-content-type': 'text/x; charset=utf-8' };
      const answer = await fetchPlain('GET', presignPath({ path: '/signed/a%20b%2Bc%C3%A4', host, query }));
      assertOk(answer);
      assert.equal(answer.headers.get('content-type'), 'text/x; charset=utf-8');
    });

    it('are refused once they have expired', async () => {
      const nowMs = Date.now() - 61_000;
      const body = assertS3Error(
        await fetchPlain('GET', presignPath({ path: '/signed/key', host, expiresS: 60, nowMs })),
        403,
        'AccessDenied',
      );
      assert.equal(body.Message, 'Request has expired');
      assertOk(await fetchPlain('GET', presignPath({ path: '/signed/key', host, expiresS: 604_800, nowMs })));
    });

    it('are refused when they are of the future', async () => {
      const nowMs = Date.now() + 16 * minuteMs;
      assertS3Error(await fetchPlain('GET', presignPath({ path: '/signed/key', host, nowMs })), 403, 'AccessDenied');
    });

    it('may last from 1 second to 7 days', async () => {
      assertOk(await fetchPlain('GET', presignPath({ path: '/signed/key', host, expiresS: 604_800 })));
      const zero = await fetchPlain('GET', presignPath({ path: '/signed/key', host, expiresS: 0 }));
      assert.equal(assertS3Error(zero, 403, 'AccessDenied').Message, 'Request has expired');
      for (const expiresS of [-1, 604_801, 'soon', '']) {
        const answer = await fetchPlain('GET', presignPath({ path: '/signed/key', host, expiresS }));
        assertS3Error(answer, 400, 'AuthorizationQueryParametersError');
      }
    });

    it('must have all their parameters', async () => {
      const whole = presignPath({ path: '/signed/key', host });
      for (const name of ['Algorithm', 'Credential', 'Date', 'Expires', 'SignedHeaders', 'Signature']) {
        const answer = await fetchPlain('GET', whole.replace(new RegExp(`([?&])X-Amz-${name}=[^&]*&?`), '$1'));
        assert.ok([400, 403].includes(answer.status), name);
        assert.notEqual(answer.text, 'secret text');
      }
    });

    it('do not cover another path, method, parameter or time', async () => {
      const whole = presignPath({ path: '/signed/key', host, expiresS: 60 });
      const changed = [
        whole.replace('/signed/key', '/signed/kez'),
        whole.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'),
        `${whole}&response-content-type=text%2Fhtml`,
        whole.replace(/X-Amz-Signature=(.)/, (_, digit: string) => `X-Amz-Signature=${digit === '0' ? '1' : '0'}`),
      ];
      for (const path of changed) assertS3Error(await fetchPlain('GET', path), 403, 'SignatureDoesNotMatch');
      assertS3Error(await fetchPlain('DELETE', whole), 403, 'SignatureDoesNotMatch');
      assertS3Error(await fetchPlain('PUT', whole, {}, 'x'), 403, 'SignatureDoesNotMatch');
    });

    it('hold the client to the headers that were signed', async () => {
      const headers = { 'content-type': 'text/plain' };
      const path = presignPath({ method: 'PUT', path: '/signed/typed', host, headers });
      assertS3Error(await fetchPlain('PUT', path, { 'content-type': 'text/html' }, 'x'), 403, 'SignatureDoesNotMatch');
      assertOk(await fetchPlain('PUT', path, headers, 'x'));
    });

    it('let nobody add an x-amz header that was not signed', async () => {
      const path = presignPath({ method: 'PUT', path: '/signed/added', host });
      assertS3Error(await fetchPlain('PUT', path, { 'x-amz-meta-added': '1' }, 'x'), 403, 'AccessDenied');
    });

    it('of a wrong secret or an unknown key are refused', async () => {
      const wrong = { ...rootKey, secretAccessKey: 'not the secret' };
      const answer = await fetchPlain('GET', presignPath({ path: '/signed/key', host, key: wrong }));
      assertS3Error(answer, 403, 'SignatureDoesNotMatch');
      const unknown = { ...rootKey, accessKeyId: 'NOBODY' };
      const other = await fetchPlain('GET', presignPath({ path: '/signed/key', host, key: unknown }));
      assertS3Error(other, 403, 'InvalidAccessKeyId');
    });

    it('cannot be combined with an Authorization header', async () => {
      const path = presignPath({ path: '/signed/key', host });
      const answer = await send('GET', path, sign('GET', path));
      assertS3Error(answer, 400, 'InvalidArgument');
    });
  });

  it('are asked for: an anonymous request is denied, whatever it wants', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/signed'],
      ['GET', '/signed/key'],
      ['PUT', '/signed/new'],
      ['DELETE', '/signed/key'],
      ['PUT', '/new-bucket'],
      ['GET', '/no-such-bucket/key'],
      ['GET', '/signed?acl'],
    ] as const)
      assertS3Error(await send(method, path, { host }), 403, 'AccessDenied');
    assert.equal((await send('HEAD', '/signed/key', { host })).status, 403);
  });

  describe('of requests in virtual-host style', () => {
    const fetchAt = (bucketHost: string, method: string, path: string, body?: string): Promise<SignedAnswer> =>
      gateway.fetchSigned(method, path, {
        headers: { host: `${bucketHost}:${new URL(gateway.url).port}` },
        ...(body !== undefined && { body }),
      });

    it('cover a bucket that is named by the host', async () => {
      assertOk(await fetchAt('signed.s3.localhost', 'PUT', '/hosted/key//x', 'hosted'));
      assert.equal((await fetchAt('SIGNED.s3.localhost', 'GET', '/hosted/key//x')).text, 'hosted');
      assert.equal((await gateway.fetchSigned('GET', '/signed/hosted/key//x')).text, 'hosted');
      const listing = await fetchAt('signed.s3.localhost', 'GET', '/?prefix=hosted');
      assert.match(listing.text, /<Name>signed<\/Name>.*<Key>hosted\/key\/\/x<\/Key>/s);
      assertOk(await fetchAt('signed.s3.localhost', 'DELETE', '/hosted/key//x'), 204);
    });

    it('may name a bucket with dots', async () => {
      assertOk(await fetchAt('dotted.bucket.s3.localhost', 'PUT', '/'));
      assertOk(await gateway.fetchSigned('HEAD', '/dotted.bucket'));
    });

    it('leave path style as it is at the bare domain and at other hosts', async () => {
      assert.match((await fetchAt('s3.localhost', 'GET', '/')).text, /<ListAllMyBucketsResult/);
      assert.equal((await fetchAt('s3.localhost', 'GET', '/signed/key')).text, 'secret text');
      assert.equal((await fetchAt('elsewhere.example', 'GET', '/signed/key')).text, 'secret text');
    });
  });
});

describe('a stranger', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/owned'));
    assertOk(await gateway.fetchSigned('PUT', '/owned/key', { body: 'private' }));
  });
  after(() => gateway.close());

  for (const [method, path, headers] of [
    ['GET', '/owned'],
    ['GET', '/owned?list-type=2'],
    ['GET', '/owned?versions'],
    ['GET', '/owned?uploads'],
    ['GET', '/owned?location'],
    ['GET', '/owned?versioning'],
    ['PUT', '/owned?versioning'],
    ['POST', '/owned?delete'],
    ['DELETE', '/owned'],
    ['HEAD', '/owned'],
    ['GET', '/owned/key'],
    ['HEAD', '/owned/key'],
    ['PUT', '/owned/key'],
    ['DELETE', '/owned/key'],
    ['GET', '/owned/missing'],
    ['GET', '/owned/key?attributes', { 'x-amz-object-attributes': 'ETag' }],
    ['GET', '/owned/key?tagging'],
    ['PUT', '/owned/key?tagging'],
    ['DELETE', '/owned/key?tagging'],
    ['POST', '/owned/key?uploads'],
    ['PUT', '/owned/key?partNumber=1&uploadId=x'],
    ['GET', '/owned/key?uploadId=x'],
    ['POST', '/owned/key?uploadId=x'],
    ['DELETE', '/owned/key?uploadId=x'],
    ['PUT', '/owned/copy', { 'x-amz-copy-source': '/owned/key' }],
  ] as [string, string, Record<string, string>?][]) {
    it(`is denied ${method} ${path}${headers ? ` with ${Object.keys(headers)}` : ''}`, async () => {
      const answer = await gateway.fetchAsStranger(method, path, headers && { headers });
      if (method === 'HEAD') assert.equal(answer.status, 403);
      else assertS3Error(answer, 403, 'AccessDenied');
      assert.equal((await gateway.fetchSigned('GET', '/owned/key')).text, 'private');
    });
  }

  it('learns of a bucket that is missing that it is missing', async () => {
    assertS3Error(await gateway.fetchAsStranger('GET', '/missing/key'), 404, 'NoSuchBucket');
  });

  it('sees no bucket of others, and cannot take their names', async () => {
    const { Buckets = [], Owner } = await gateway.stranger.send(new ListBucketsCommand({}));
    assert.deepEqual(Buckets, []);
    assert.equal(Owner?.ID, 'b'.repeat(64));
    const create = gateway.stranger.send(new CreateBucketCommand({ Bucket: 'owned' }));
    await assert.rejects(create, sdkError(409, 'BucketAlreadyExists'));
  });

  it('owns what they create, and is as safe from others', async () => {
    await gateway.stranger.send(new CreateBucketCommand({ Bucket: 'theirs' }));
    await gateway.stranger.send(new PutObjectCommand({ Bucket: 'theirs', Key: 'key', Body: 'x' }));
    assertS3Error(await gateway.fetchSigned('GET', '/theirs/key'), 403, 'AccessDenied');
    const wrong = createSignedFetch(
      gateway.url,
      { ...strangerKey, secretAccessKey: rootKey.secretAccessKey },
      'us-east-1',
    );
    assertS3Error(await wrong('GET', '/theirs/key'), 403, 'SignatureDoesNotMatch');
  });

  it('may be kept out by mistake: x-amz-expected-bucket-owner is enforced', async () => {
    const fetchExpecting = (owner: string) =>
      gateway.fetchSigned('GET', '/owned/key', { headers: { 'x-amz-expected-bucket-owner': owner } });
    assertOk(await fetchExpecting('000000000000'));
    assertS3Error(await fetchExpecting('111111111111'), 403, 'AccessDenied');
  });
});
