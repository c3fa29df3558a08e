import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthRequest } from '../../gateway/auth/auth-request.ts';
import { authenticate } from '../../gateway/auth/authenticate.ts';
import { createAuthRequest, presignRequest } from './smithy-signer.ts';
import { accessKeyId, createContext, signingDate, timestamp } from './test-account.ts';

const get = { method: 'GET', path: '/bucket/key', query: {}, headers: {} };

function refused(request: AuthRequest, now?: Date) {
  try {
    authenticate(request, createContext(now));
  } catch (error) {
    const { code, message, extra } = error as { code: string; message: string; extra: Record<string, string> };
    return { code, message, extra };
  }
  return assert.fail('was not refused');
}

function signed(request: AuthRequest) {
  const result = authenticate(request, createContext());
  assert.ok(result.kind === 'signed');
  return result;
}

/** Replaces or removes (undefined) one parameter. */
function withParameter(request: AuthRequest, name: string, value: string | undefined): AuthRequest {
  const kept = request.rawQuery.split('&').filter((pair) => !pair.startsWith(`${name}=`));
  if (value !== undefined) kept.push(`${name}=${encodeURIComponent(value)}`);
  return { ...request, rawQuery: kept.join('&') };
}

function withHeader(request: AuthRequest, name: string, value: string): AuthRequest {
  return createAuthRequest({ ...request, headers: [...Object.entries(request.headers), [name, value]] as never });
}

for (const name of ['Algorithm', 'Credential', 'Signature', 'Date', 'SignedHeaders', 'Expires']) {
  test(`a presigned URL without X-Amz-${name} is refused`, async () => {
    const request = await presignRequest(get, 60);
    for (const value of [undefined, '']) {
      const error = refused(withParameter(request, `X-Amz-${name}`, value));
      assert.equal(error.code, 'AuthorizationQueryParametersError');
      assert.match(error.message, /^Query-string authentication version 4 requires the X-Amz-Algorithm, /);
    }
  });
}

const problem = 'Error parsing the X-Amz-Credential parameter; ';
const badParameters = [
  ['X-Amz-Algorithm', 'AWS4-SHA256', 'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"'],
  [
    'X-Amz-Credential',
    'a/b',
    `${problem}the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`,
  ],
  [
    'X-Amz-Credential',
    `${accessKeyId}/20130524/us-east-1/s3/aws5_request`,
    `${problem}incorrect terminal "aws5_request". This endpoint uses "aws4_request".`,
  ],
  [
    'X-Amz-Credential',
    `${accessKeyId}/20130524/us-east-1/sns/aws4_request`,
    `${problem}incorrect service "sns". This endpoint belongs to "s3".`,
  ],
  [
    'X-Amz-Credential',
    `${accessKeyId}/20130524/us-west-1/s3/aws4_request`,
    `${problem}the region 'us-west-1' is wrong; expecting 'us-east-1'`,
  ],
  [
    'X-Amz-Credential',
    `${accessKeyId}/20130525/us-east-1/s3/aws4_request`,
    'Invalid credential date "20130525". This date is not the same as X-Amz-Date: "20130524".',
  ],
  [
    'X-Amz-Date',
    'Fri, 24 May 2013 00:00:00 GMT',
    `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`,
  ],
  ['X-Amz-Expires', 'soon', 'X-Amz-Expires should be a number'],
  ['X-Amz-Expires', '1.5', 'X-Amz-Expires should be a number'],
  ['X-Amz-Expires', '-1', 'X-Amz-Expires must be non-negative'],
  [
    'X-Amz-Expires',
    '604801',
    'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
  ],
] as const;

for (const [name, value, message] of badParameters) {
  test(`a presigned URL is refused with ${name} ${value}`, async () => {
    const error = refused(withParameter(await presignRequest(get, 60), name, value));
    assert.deepEqual(
      { code: error.code, message: error.message },
      { code: 'AuthorizationQueryParametersError', message },
    );
  });
}

test('a presigned URL lives exactly as long as it says', async () => {
  for (const seconds of [1, 604_800]) {
    const request = await presignRequest(get, seconds);
    const end = signingDate.getTime() + seconds * 1000;
    assert.equal(authenticate(request, createContext(new Date(end))).kind, 'signed');
    const error = refused(request, new Date(end + 1000));
    assert.deepEqual(error, {
      code: 'AccessDenied',
      message: 'Request has expired',
      extra: {
        'X-Amz-Expires': String(seconds),
        Expires: new Date(end).toISOString().replace('.000', ''),
        ServerTime: new Date(end + 1000).toISOString().replace('.000', ''),
      },
    });
  }
});

test('a presigned URL from the future is refused, but for fifteen minutes of skew', async () => {
  const request = await presignRequest(get, 60);
  const start = signingDate.getTime();
  assert.equal(authenticate(request, createContext(new Date(start - 15 * 60_000))).kind, 'signed');
  assert.deepEqual(refused(request, new Date(start - 15 * 60_000 - 1000)), {
    code: 'AccessDenied',
    message: 'Request is not valid yet',
    extra: { RequestTime: timestamp, ServerTime: '2013-05-23T23:44:59Z' },
  });
});

test('an expired URL is told so, whatever its signature', async () => {
  const request = withParameter(await presignRequest(get, 60), 'X-Amz-Signature', 'wrong');
  assert.equal(refused(request).code, 'SignatureDoesNotMatch');
  assert.equal(refused(request, new Date(signingDate.getTime() + 61_000)).message, 'Request has expired');
});

test('an unknown access key in a URL is refused by its name', async () => {
  const name = 'X-Amz-Credential';
  const request = withParameter(await presignRequest(get, 60), name, 'AKIDX/20130524/us-east-1/s3/aws4_request');
  assert.deepEqual(refused(request).extra, { AWSAccessKeyId: 'AKIDX' });
});

test('whoever holds a URL cannot add x-amz-* headers to it', async () => {
  const request = await presignRequest({ ...get, method: 'PUT' }, 60);
  assert.deepEqual(refused(withHeader(request, 'X-Amz-Copy-Source', '/bucket/other')), {
    code: 'AccessDenied',
    message: 'There were headers present in the request which were not signed',
    extra: { HeadersNotSigned: 'x-amz-copy-source' },
  });
  assert.equal(signed(withHeader(request, 'Content-Type', 'text/plain')).accessKeyId, accessKeyId);
});

test('headers that the SDK moved into the URL are given back, as Latin-1 like all headers', async () => {
  const headers = { 'x-amz-meta-name': 'a b+ü', 'x-amz-checksum-crc32': 'AAAAAA==' };
  const { hoistedHeaders } = signed(await presignRequest({ ...get, method: 'PUT', headers }, 60));
  assert.deepEqual(hoistedHeaders, {
    'x-amz-checksum-crc32': 'AAAAAA==',
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
    'x-amz-meta-name': Buffer.from('a b+ü').toString('latin1'),
  });
});

test('the body of a presigned request is unsigned unless a digest is signed with it', async () => {
  const sha256Hex = 'ab'.repeat(32);
  assert.deepEqual(signed(await presignRequest(get, 60)).payloadMode, { kind: 'unsigned' });
  const digest = await presignRequest({ ...get, headers: { 'x-amz-content-sha256': sha256Hex.toUpperCase() } }, 60);
  assert.deepEqual(signed(digest).payloadMode, { kind: 'digest', sha256Hex });
});

test('a presigned body is never taken for a framed one: like AWS, what is not a digest just does not match', async () => {
  const value = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
  const request = await presignRequest({ ...get, headers: { 'x-amz-content-sha256': value } }, 60);
  assert.deepEqual(signed(request).payloadMode, { kind: 'digest', sha256Hex: value });
});
