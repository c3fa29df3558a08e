import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { createPayload, type PayloadRequest } from '../../gateway/payload/create-payload.ts';
import { collect, pieces, seedSignature, signedBy } from './chunked-body.ts';

const md5 = createHash('md5').update('abc').digest('base64');
const sha256Hex = createHash('sha256').update('abc').digest('hex');
const crc32 = 'NSRBwg==';

function open(headers: IncomingHttpHeaders, changes: Partial<PayloadRequest> & { mode?: string } = {}) {
  const { mode = 'UNSIGNED-PAYLOAD', ...rest } = changes;
  return createPayload({
    body: pieces('a', 'bc'),
    headers: { 'content-length': '3', ...headers },
    authentication: signedBy(seedSignature, mode),
    idleTimeoutMs: 1000,
    ...rest,
  });
}

function refusal(headers: IncomingHttpHeaders, changes?: Partial<PayloadRequest> & { mode?: string }) {
  try {
    open(headers, changes);
  } catch (error) {
    const { code, message, extra } = error as { code: string; message: string; extra: Record<string, string> };
    return { code, message, extra };
  }
  return assert.fail('was not refused');
}

test('a plain body comes out as it came, with its length', async () => {
  const payload = open({});
  assert.equal(payload.sizeBytes, 3);
  assert.equal((await collect(payload.bytes)).toString(), 'abc');
  assert.deepEqual(payload.declaredDigests(), {});
  assert.equal(payload.checksumAlgorithm, undefined);
});

test('every digest that a client declares is handed on', async () => {
  const headers = { 'content-md5': md5, 'x-amz-checksum-crc32': crc32, 'x-amz-sdk-checksum-algorithm': 'crc32' };
  const payload = open(headers, { mode: sha256Hex.toUpperCase() });
  await collect(payload.bytes);
  assert.equal(payload.checksumAlgorithm, 'CRC32');
  assert.deepEqual(payload.declaredDigests(), { md5, sha256Hex, checksum: { algorithm: 'CRC32', value: crc32 } });
});

test('an algorithm that is only named is still to be computed', () => {
  for (const name of ['x-amz-sdk-checksum-algorithm', 'x-amz-checksum-algorithm']) {
    const payload = open({ [name]: 'Sha256' });
    assert.equal(payload.checksumAlgorithm, 'SHA256', name);
    assert.deepEqual(payload.declaredDigests(), {});
  }
});

test('x-amz-checksum-type, -mode and -algorithm are no checksums', () => {
  const payload = open({
    'x-amz-checksum-type': 'FULL_OBJECT',
    'x-amz-checksum-mode': 'ENABLED',
    'x-amz-checksum-algorithm': 'SHA1',
    'x-amz-checksum-crc32': crc32,
  });
  assert.equal(payload.checksumAlgorithm, 'CRC32');
});

test('the checksum of a presigned URL counts as if it had come in a header', () => {
  const authentication = {
    ...signedBy(seedSignature, 'UNSIGNED-PAYLOAD'),
    hoistedHeaders: { 'x-amz-checksum-crc32': crc32, 'x-amz-sdk-checksum-algorithm': 'CRC32' },
  };
  assert.deepEqual(open({}, { authentication }).declaredDigests(), { checksum: { algorithm: 'CRC32', value: crc32 } });
});

const multiple = 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.';
const unsupported =
  'Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]';
const badHeaders: readonly (readonly [headers: Record<string, string>, message: string])[] = [
  [{ 'x-amz-checksum-crc32': crc32, 'x-amz-checksum-crc32c': crc32 }, multiple],
  [{ 'x-amz-trailer': 'x-amz-checksum-crc32, x-amz-checksum-crc32' }, multiple],
  [
    { 'x-amz-checksum-crc32': crc32, 'x-amz-trailer': 'x-amz-checksum-crc32' },
    'Expecting a single x-amz-checksum- header',
  ],
  [
    { 'x-amz-checksum-crc32': crc32, 'x-amz-trailer': 'x-amz-checksum-sha1' },
    'Expecting a single x-amz-checksum- header',
  ],
  [{ 'x-amz-checksum-bad': crc32 }, 'The algorithm type you specified in x-amz-checksum- header is invalid.'],
  [{ 'x-amz-checksum-crc32': 'bad' }, 'Value for x-amz-checksum-crc32 header is invalid.'],
  [{ 'x-amz-checksum-crc32': '' }, 'Value for x-amz-checksum-crc32 header is invalid.'],
  [{ 'x-amz-checksum-sha256': crc32 }, 'Value for x-amz-checksum-sha256 header is invalid.'],
  [
    { 'x-amz-checksum-crc32': crc32, 'x-amz-sdk-checksum-algorithm': 'CRC32C' },
    'Value for x-amz-sdk-checksum-algorithm header is invalid.',
  ],
  [
    { 'x-amz-trailer': 'x-amz-checksum-crc32', 'x-amz-sdk-checksum-algorithm': 'SHA1' },
    'Value for x-amz-sdk-checksum-algorithm header is invalid.',
  ],
  [{ 'x-amz-sdk-checksum-algorithm': 'MD4' }, unsupported],
  [{ 'x-amz-checksum-algorithm': 'MD4' }, unsupported],
  ...['foo', 'content-md5', 'x-amz-checksum-bad', ', x-amz-checksum-crc32', 'x-amz-checksum-crc32, ,', ''].map(
    (trailer) =>
      [{ 'x-amz-trailer': trailer }, 'The value specified in the x-amz-trailer header is not supported'] as const,
  ),
];

for (const [headers, message] of badHeaders) {
  test(`these headers are refused: ${JSON.stringify(headers)}`, () => {
    const all = { ...headers, 'x-amz-decoded-content-length': '3' };
    const error = refusal(all, { mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' });
    assert.deepEqual(error, { code: 'InvalidRequest', message, extra: {} });
  });
}

test('a trailer is refused where the framing has no room for it', () => {
  const headers = { 'x-amz-trailer': 'x-amz-checksum-crc32', 'x-amz-decoded-content-length': '3' };
  for (const mode of ['UNSIGNED-PAYLOAD', sha256Hex, 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD']) {
    assert.equal(refusal(headers, { mode }).code, 'MalformedTrailerError', mode);
  }
});

test('a Content-MD5 that is none is refused', () => {
  for (const value of ['invalid', '', crc32, md5.slice(0, -2), `${md5}=`, createHash('md5').digest('hex')]) {
    assert.deepEqual(refusal({ 'content-md5': value }), {
      code: 'InvalidDigest',
      message: 'The Content-MD5 you specified was invalid.',
      extra: { 'Content-MD5': value },
    });
  }
});

test('an upload without a length is refused, chunked or not', () => {
  for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
    assert.deepEqual(refusal({ ...headers, 'content-length': undefined }), {
      code: 'MissingContentLength',
      message: 'You must provide the Content-Length HTTP header.',
      extra: {},
    });
  }
});

test('a document may come without a length, and may be missing', async () => {
  const missing = open({ 'content-length': undefined }, { lengthRequired: false, body: pieces() });
  assert.equal(missing.sizeBytes, 0);
  assert.equal((await collect(missing.bytes)).length, 0);
  const chunked = open({ 'content-length': undefined, 'transfer-encoding': 'chunked' }, { lengthRequired: false });
  assert.equal(chunked.sizeBytes, undefined);
  assert.equal((await collect(chunked.bytes)).toString(), 'abc');
});

test('an upload over the limit is refused before it is read', () => {
  const error = refusal({ 'content-length': '11' }, { maxBytes: 10 });
  assert.deepEqual(error.extra, { ProposedSize: '11', MaxSizeAllowed: '10' });
  assert.equal(error.code, 'EntityTooLarge');
  const decoded = { 'content-length': '5', 'x-amz-decoded-content-length': '11' };
  assert.equal(refusal(decoded, { maxBytes: 10, mode: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }).code, 'EntityTooLarge');
  assert.equal(open({ 'content-length': '10' }, { maxBytes: 10 }).sizeBytes, 10);
});

test('a body that ends early or late is refused with both lengths', async () => {
  for (const length of ['4', '2']) {
    await assert.rejects(collect(open({ 'content-length': length }).bytes), {
      code: 'IncompleteBody',
      extra: { NumberBytesExpected: length, NumberBytesProvided: '3' },
    });
  }
});

test('aws-chunked without the matching x-amz-content-sha256 would be stored with its framing, so it is refused', () => {
  const headers = { 'content-encoding': 'gzip, AWS-chunked', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
  const error = refusal(headers);
  assert.equal(error.code, 'InvalidArgument');
  assert.deepEqual(error.extra, { ArgumentName: 'Content-Encoding', ArgumentValue: 'gzip, AWS-chunked' });
  assert.equal(open({ ...headers, 'content-encoding': 'aws-chunked-custom' }).sizeBytes, 3);
});

test('the checksum headers of CompleteMultipartUpload say nothing about its body', () => {
  const headers = { 'x-amz-checksum-crc32': 'AAAAAA==-3', 'content-md5': md5 };
  const payload = open(headers, { checksums: 'ignore' });
  assert.deepEqual([payload.checksumAlgorithm, payload.declaredDigests()], [undefined, { md5 }]);
});

test('signed chunks need a signed request to start from', () => {
  const payloadMode = { kind: 'chunked', signed: true, trailer: false } as const;
  const error = refusal(
    { 'x-amz-decoded-content-length': '3' },
    { authentication: { kind: 'anonymous', payloadMode } },
  );
  assert.equal(error.code, 'AccessDenied');
});
