import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import type { AuthRequest } from '../../gateway/auth/auth-request.ts';
import { authenticate } from '../../gateway/auth/authenticate.ts';
import { SigningKeys } from '../../gateway/auth/signing-key.ts';
import { createAuthRequest, presignRequest, signRequest } from './smithy-signer.ts';
import { accessKeyId, createContext, region, secretAccessKey, signingDate, timestamp } from './test-account.ts';

const get = { method: 'GET', path: '/bucket/key', query: {}, headers: {} };
const emptyDigest = createHash('sha256').digest('hex');
const scope = `20130524/${region}/s3/aws4_request`;

function refused(request: AuthRequest, now?: Date) {
  try {
    authenticate(request, createContext(now));
  } catch (error) {
    const { code, message, extra } = error as { code: string; message: string; extra: Record<string, string> };
    return { code, message, extra };
  }
  return assert.fail('was not refused');
}

/** Changes or removes (undefined) headers of a signed request. */
function withHeaders(request: AuthRequest, changes: Record<string, string | undefined>): AuthRequest {
  const kept = Object.entries({ ...request.headers, ...changes }).filter(([, value]) => value !== undefined);
  return createAuthRequest({ ...request, headers: kept as [string, string][] });
}

/** Signs these headers and no others, with an Authorization header. */
function signByHand(headers: Record<string, string>, unsigned: Record<string, string> = {}): AuthRequest {
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  const hash = headers['x-amz-content-sha256'] ?? unsigned['x-amz-content-sha256'];
  const canonical = `GET\n/\n\n${lines}\n${names.join(';')}\n${hash}`;
  const digest = createHash('sha256').update(canonical).digest('hex');
  const key = scope
    .split('/')
    .reduce<string | Buffer>(
      (previous, part) => createHmac('sha256', previous).update(part).digest(),
      `AWS4${secretAccessKey}`,
    );
  const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${digest}`;
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return createAuthRequest({
    method: 'GET',
    rawPath: '/',
    rawQuery: '',
    headers: Object.entries({ ...headers, ...unsigned, authorization }),
  });
}

const host = 's3.example.com';
const complete = { host, 'x-amz-content-sha256': emptyDigest, 'x-amz-date': timestamp };

test('a request without any signature is anonymous', () => {
  const request = createAuthRequest({ method: 'GET', rawPath: '/', rawQuery: 'prefix=a', headers: [['host', host]] });
  assert.deepEqual(authenticate(request, createContext()), { kind: 'anonymous', payloadMode: { kind: 'unsigned' } });
});

test('an anonymous request may declare the digest of its body', () => {
  const request = createAuthRequest({
    method: 'PUT',
    rawPath: '/b/k',
    rawQuery: '',
    headers: [['x-amz-content-sha256', emptyDigest]],
  });
  const { payloadMode } = authenticate(request, createContext());
  assert.deepEqual(payloadMode, { kind: 'digest', sha256Hex: emptyDigest });
});

test('signature version 2 is not supported, in a header or in a URL', async () => {
  const message = 'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.';
  const request = await signRequest(get);
  for (const authorization of ['AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwoyllqDzg=', 'AWS4-ECDSA-P256-SHA256 Credential=a']) {
    assert.deepEqual(refused(withHeaders(request, { authorization })), { code: 'InvalidRequest', message, extra: {} });
  }
  const url = createAuthRequest({
    method: 'GET',
    rawPath: '/b/k',
    rawQuery: 'AWSAccessKeyId=AKIDEXAMPLE&Expires=1141889120&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4%3D',
    headers: [['host', host]],
  });
  assert.deepEqual(refused(url), { code: 'InvalidRequest', message, extra: {} });
});

test('two mechanisms at once are refused', async () => {
  const request = await signRequest(get);
  const { rawQuery } = await presignRequest(get, 60);
  for (const query of [rawQuery, 'X-Amz-Signature=1', 'Signature=1']) {
    const { code, message, extra } = refused({ ...request, rawQuery: query });
    assert.equal(code, 'InvalidArgument');
    assert.match(message, /^Only one auth mechanism allowed; /);
    assert.deepEqual(extra, { ArgumentName: 'Authorization', ArgumentValue: request.headers.authorization });
  }
});

const credential = `Credential=${accessKeyId}/${scope}`;
const malformedHeaders: readonly (readonly [authorization: string, code: string, message: string])[] = [
  ['nospace', 'InvalidArgument', "Authorization header is invalid -- one and only one ' ' (space) required"],
  ['', 'InvalidArgument', "Authorization header is invalid -- one and only one ' ' (space) required"],
  ['Bearer token', 'InvalidArgument', 'Unsupported Authorization Type'],
  ...[
    [
      `${credential},Signature=a`,
      'the authorization header requires three components: Credential, SignedHeaders, and Signature.',
    ],
    [`${credential},SignedHeaders-host,Signature=a`, 'the authorization component "SignedHeaders-host" is malformed.'],
    [`Cred=${accessKeyId}/${scope},SignedHeaders=host,Signature=a`, 'missing Credential.'],
    [`${credential},Signed=host,Signature=a`, 'missing SignedHeaders.'],
    [`${credential},SignedHeaders=host,Sig=a`, 'missing Signature.'],
    [
      'Credential=AKID/20130524/us-east-1/s3/extra/aws4_request,SignedHeaders=host,Signature=a',
      'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
    ],
    [
      'Credential=AKID/20130524/us-east-1/s3/aws_request,SignedHeaders=host,Signature=a',
      'incorrect terminal "aws_request". This endpoint uses "aws4_request".',
    ],
    [
      'Credential=AKID/20130524/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=a',
      'incorrect service "ec2". This endpoint belongs to "s3".',
    ],
    [
      'Credential=AKID/2013052/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=a',
      'incorrect date format "2013052". This date in the credential must be in the format "yyyyMMdd".',
    ],
    [
      'Credential=AKID/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host,Signature=a',
      "the region 'eu-west-1' is wrong; expecting 'us-east-1'",
    ],
    [
      'Credential=AKID/20130523/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=a',
      'Invalid credential date "20130523". This date is not the same as X-Amz-Date: "20130524".',
    ],
  ].map(
    ([components, problem]) =>
      [
        `AWS4-HMAC-SHA256 ${components}`,
        'AuthorizationHeaderMalformed',
        `The authorization header is malformed; ${problem}`,
      ] as const,
  ),
];

for (const [authorization, code, message] of malformedHeaders) {
  test(`a bad Authorization header is refused: ${authorization || '(empty)'}`, async () => {
    const { extra, ...error } = refused(withHeaders(await signRequest(get), { authorization }));
    assert.deepEqual(error, { code, message });
    if (code === 'InvalidArgument') {
      assert.deepEqual(extra, { ArgumentName: 'Authorization', ArgumentValue: authorization });
    } else assert.deepEqual(extra, message.includes('region') ? { Region: 'us-east-1' } : {});
  });
}

test('the components of an Authorization header may come in any order and spacing', async () => {
  const request = await signRequest(get);
  const [, components = ''] = request.headers.authorization!.split(/ (.*)/);
  const authorization = `AWS4-HMAC-SHA256 ${components.split(', ').reverse().join(' ,  ')}`;
  assert.equal(authenticate(withHeaders(request, { authorization }), createContext()).kind, 'signed');
});

test('a request without a valid date is refused', async () => {
  const message = 'AWS authentication requires a valid Date or x-amz-date header';
  const request = await signRequest(get);
  for (const changes of [
    { 'x-amz-date': undefined },
    { 'x-amz-date': '03032006' },
    { 'x-amz-date': '20131324T000000Z' },
    { 'x-amz-date': undefined, date: 'yesterday' },
  ]) {
    assert.deepEqual(refused(withHeaders(request, changes)), { code: 'AccessDenied', message, extra: {} });
  }
});

test('the Date header serves where x-amz-date is absent', () => {
  for (const date of ['Fri, 24 May 2013 00:00:00 GMT', timestamp]) {
    const request = signByHand({ host, date, 'x-amz-content-sha256': emptyDigest });
    assert.equal(authenticate(request, createContext()).kind, 'signed', date);
  }
});

test('a clock may be off by fifteen minutes and no more', async () => {
  const request = await signRequest(get);
  const limitMs = 15 * 60 * 1000;
  for (const offMs of [-limitMs, limitMs]) {
    assert.equal(authenticate(request, createContext(new Date(signingDate.getTime() + offMs))).kind, 'signed');
    const error = refused(request, new Date(signingDate.getTime() + offMs + Math.sign(offMs) * 1000));
    assert.deepEqual(error, {
      code: 'RequestTimeTooSkewed',
      message: 'The difference between the request time and the current time is too large.',
      extra: {
        RequestTime: timestamp,
        ServerTime: offMs < 0 ? '2013-05-23T23:44:59Z' : '2013-05-24T00:15:01Z',
        MaxAllowedSkewMilliseconds: '900000',
      },
    });
  }
});

test('x-amz-content-sha256 must be there, and must make sense', async () => {
  const request = await signRequest(get);
  assert.deepEqual(refused(withHeaders(request, { 'x-amz-content-sha256': undefined })), {
    code: 'InvalidRequest',
    message: 'Missing required header for this request: x-amz-content-sha256',
    extra: {},
  });
  for (const value of ['unsigned-payload', 'abc', `${emptyDigest}0`, 'STREAMING-', '__proto__']) {
    const { code, message, extra } = refused(withHeaders(request, { 'x-amz-content-sha256': value }));
    assert.equal(code, 'InvalidArgument');
    assert.match(message, /^x-amz-content-sha256 must be UNSIGNED-PAYLOAD, .* or a valid sha256 value\.$/);
    assert.deepEqual(extra, { ArgumentName: 'x-amz-content-sha256', ArgumentValue: value });
  }
  const ecdsa = 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER';
  assert.equal(refused(withHeaders(request, { 'x-amz-content-sha256': ecdsa })).code, 'NotImplemented');
});

test('x-amz-content-sha256 tells how the body is framed', () => {
  const modes = {
    'UNSIGNED-PAYLOAD': { kind: 'unsigned' },
    [emptyDigest.toUpperCase()]: { kind: 'digest', sha256Hex: emptyDigest },
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD': { kind: 'chunked', signed: true, trailer: false },
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER': { kind: 'chunked', signed: true, trailer: true },
    'STREAMING-UNSIGNED-PAYLOAD-TRAILER': { kind: 'chunked', signed: false, trailer: true },
  };
  for (const [value, mode] of Object.entries(modes)) {
    const request = signByHand({ ...complete, 'x-amz-content-sha256': value });
    assert.deepEqual(authenticate(request, createContext()).payloadMode, mode);
  }
});

test('an unknown access key is refused by its name', async () => {
  const request = await signRequest(get);
  const authorization = request.headers.authorization!.replace(accessKeyId, 'AKIDUNKNOWN');
  assert.deepEqual(refused(withHeaders(request, { authorization })), {
    code: 'InvalidAccessKeyId',
    message: 'The AWS access key ID you provided does not exist in our records.',
    extra: { AWSAccessKeyId: 'AKIDUNKNOWN' },
  });
});

test('a wrong signature is answered with what was signed here', async () => {
  const request = await signRequest({ ...get, headers: { 'x-amz-meta-a': 'ü' } }, 'another secret');
  const { code, extra } = refused(request);
  assert.equal(code, 'SignatureDoesNotMatch');
  const canonical = [
    'GET',
    '/bucket/key',
    '',
    'host:bucket.s3.example.com:9000',
    `x-amz-content-sha256:${emptyDigest}`,
    `x-amz-date:${timestamp}`,
    'x-amz-meta-a:ü',
    '',
    'host;x-amz-content-sha256;x-amz-date;x-amz-meta-a',
    emptyDigest,
  ].join('\n');
  const digest = createHash('sha256').update(canonical).digest('hex');
  const hexBytes = (text: string) => [...Buffer.from(text)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
  const toSign = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${digest}`;
  assert.deepEqual(extra, {
    AWSAccessKeyId: accessKeyId,
    StringToSign: toSign,
    SignatureProvided: request.headers.authorization!.split('Signature=')[1],
    StringToSignBytes: hexBytes(toSign),
    CanonicalRequest: canonical,
    CanonicalRequestBytes: hexBytes(canonical),
  });
});

test('a signature of another length or in capitals does not match', async () => {
  const request = await signRequest(get);
  const [start = '', signature = ''] = request.headers.authorization!.split('Signature=');
  for (const other of [signature.slice(1), `${signature}0`, signature.toUpperCase(), 'é'.repeat(64), '0'.repeat(64)]) {
    const error = refused(withHeaders(request, { authorization: `${start}Signature=${other}` }));
    assert.equal(error.code, 'SignatureDoesNotMatch', other);
  }
});

test('the host, x-amz-* headers and Content-MD5 must be signed, others need not be', () => {
  const unsigned = { 'x-amz-acl': 'private', 'content-md5': 'a', 'x-amz-meta-b': 'c' };
  assert.deepEqual(refused(signByHand(complete, unsigned)), {
    code: 'AccessDenied',
    message: 'There were headers present in the request which were not signed',
    extra: { HeadersNotSigned: 'x-amz-acl, content-md5, x-amz-meta-b' },
  });
  const { host: _, ...hostless } = complete;
  assert.deepEqual(refused(signByHand(hostless, { host })).extra, { HeadersNotSigned: 'host' });
  const harmless = { 'content-type': 'text/plain', 'user-agent': 'test', range: 'bytes=0-1' };
  assert.equal(authenticate(signByHand(complete, harmless), createContext()).kind, 'signed');
  const { 'x-amz-content-sha256': hash, ...rest } = complete;
  const covered = signByHand(rest, { 'x-amz-content-sha256': hash });
  assert.equal(authenticate(covered, createContext()).kind, 'signed');
  assert.equal(
    refused(withHeaders(covered, { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' })).code,
    'SignatureDoesNotMatch',
  );
});

test('a session token beside a long-lived key is refused', async () => {
  const header = await signRequest({ ...get, headers: { 'x-amz-security-token': 'token' } });
  assert.deepEqual(refused(header).code, 'InvalidToken');
  const url = await presignRequest({ ...get, query: { 'X-Amz-Security-Token': 'token' } }, 60);
  assert.deepEqual(refused(url).extra, { 'Token-0': 'token' });
});

test('a path or query with a broken escape is refused', async () => {
  const request = await signRequest(get);
  for (const broken of ['%', '%4', '%zz', 'a%4']) {
    assert.equal(refused({ ...request, rawPath: `/${broken}` }).code, 'InvalidURI');
    assert.equal(refused({ ...request, rawQuery: `a=${broken}` }).code, 'InvalidURI');
  }
});

test('a secret that was replaced no longer signs, although its key was cached', async () => {
  const context = createContext();
  const request = await signRequest(get);
  authenticate(request, context);
  const replaced = {
    ...context,
    findCredentials: (id: string) => ({ ...context.findCredentials(id)!, secretAccessKey: 'new' }),
  };
  assert.throws(() => authenticate(request, replaced), { code: 'SignatureDoesNotMatch' });
});

test('signing keys are kept per key, day and region', () => {
  const keys = new SigningKeys({ maxKeys: 2 });
  const scopeOf = (date: string) => ({ date, region });
  const first = keys.get('a', 's', scopeOf('20130524'));
  assert.equal(keys.get('a', 's', scopeOf('20130524')), first);
  const signature = first.sign('text');
  assert.notEqual(keys.get('a', 's', scopeOf('20130525')).sign('text'), signature);
  assert.notEqual(keys.get('a', 's', { date: '20130524', region: 'eu-west-1' }).sign('text'), signature);
  assert.notEqual(keys.get('a', 's', scopeOf('20130524')), first, 'the oldest key gave way');
});
