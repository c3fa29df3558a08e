import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authenticate } from '../../gateway/auth/authenticate.ts';
import { createAuthRequest } from './smithy-signer.ts';
import { accessKeyId, createContext, region, timestamp } from './test-account.ts';

/**
 * The worked examples of the Amazon S3 API reference: "Signature Calculations for the Authorization Header" (single
 * chunk, multiple chunks, trailing headers) and "Authenticating Requests: Using Query Parameters".
 */
const emptyDigest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

function authorization(signedHeaders: string, signature: string): [string, string] {
  const credential = `${accessKeyId}/20130524/${region}/s3/aws4_request`;
  return [
    'Authorization',
    `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${signedHeaders},Signature=${signature}`,
  ];
}

const examples = [
  {
    name: 'GET object with a range',
    method: 'GET',
    rawPath: '/test.txt',
    rawQuery: '',
    headers: [
      ['Host', 'examplebucket.s3.amazonaws.com'],
      ['Range', 'bytes=0-9'],
      ['x-amz-content-sha256', emptyDigest],
      ['x-amz-date', timestamp],
    ],
    signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  },
  {
    name: 'PUT object, whose key has a dollar that the canonical request escapes',
    method: 'PUT',
    rawPath: '/test$file.text',
    rawQuery: '',
    headers: [
      ['Date', 'Fri, 24 May 2013 00:00:00 GMT'],
      ['Host', 'examplebucket.s3.amazonaws.com'],
      ['x-amz-content-sha256', '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072'],
      ['x-amz-date', timestamp],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    ],
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  {
    name: 'GET bucket lifecycle, a parameter without a value',
    method: 'GET',
    rawPath: '/',
    rawQuery: 'lifecycle',
    headers: [
      ['Host', 'examplebucket.s3.amazonaws.com'],
      ['x-amz-content-sha256', emptyDigest],
      ['x-amz-date', timestamp],
    ],
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  {
    name: 'list objects',
    method: 'GET',
    rawPath: '/',
    rawQuery: 'prefix=J&max-keys=2',
    headers: [
      ['Host', 'examplebucket.s3.amazonaws.com'],
      ['x-amz-content-sha256', emptyDigest],
      ['x-amz-date', timestamp],
    ],
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
  {
    name: 'PUT object in signed chunks',
    method: 'PUT',
    rawPath: '/examplebucket/chunkObject.txt',
    rawQuery: '',
    headers: [
      ['content-encoding', 'aws-chunked'],
      ['content-length', '66824'],
      ['host', 's3.amazonaws.com'],
      ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
      ['x-amz-date', timestamp],
      ['x-amz-decoded-content-length', '66560'],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    ],
    signature: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
  },
  {
    name: 'PUT object in signed chunks with a trailer',
    method: 'PUT',
    rawPath: '/examplebucket/chunkObject.txt',
    rawQuery: '',
    headers: [
      ['content-encoding', 'aws-chunked'],
      ['host', 's3.amazonaws.com'],
      ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'],
      ['x-amz-date', timestamp],
      ['x-amz-decoded-content-length', '66560'],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
      ['x-amz-trailer', 'x-amz-checksum-crc32c'],
    ],
    signature: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
  },
] as const;

for (const { name, headers, signature, ...line } of examples) {
  const signedHeaders = headers.map(([header]) => header.toLowerCase()).join(';');

  test(`AWS's example is accepted: ${name}`, () => {
    const request = createAuthRequest({ ...line, headers: [...headers, authorization(signedHeaders, signature)] });
    const result = authenticate(request, createContext());
    assert.equal(result.kind === 'signed' && result.accessKeyId, accessKeyId);
  });

  test(`AWS's example is refused with one digit changed: ${name}`, () => {
    const forged = `${signature.slice(0, -1)}${signature.endsWith('0') ? '1' : '0'}`;
    const request = createAuthRequest({ ...line, headers: [...headers, authorization(signedHeaders, forged)] });
    assert.throws(() => authenticate(request, createContext()), { code: 'SignatureDoesNotMatch' });
  });
}

const presigned = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${accessKeyId}%2F20130524%2F${region}%2Fs3%2Faws4_request&X-Amz-Date=${timestamp}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=`;

test("AWS's example of a presigned URL is accepted for a day", () => {
  const request = createAuthRequest({
    method: 'GET',
    rawPath: '/test.txt',
    rawQuery: `${presigned}aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404`,
    headers: [['Host', 'examplebucket.s3.amazonaws.com']],
  });
  for (const time of ['2013-05-24T00:00:00Z', '2013-05-25T00:00:00Z']) {
    assert.equal(authenticate(request, createContext(new Date(time))).kind, 'signed', time);
  }
  assert.throws(() => authenticate(request, createContext(new Date('2013-05-25T00:00:00.001Z'))), {
    code: 'AccessDenied',
    message: 'Request has expired',
    extra: { 'X-Amz-Expires': '86400', Expires: '2013-05-25T00:00:00Z', ServerTime: '2013-05-25T00:00:00Z' },
  });
});
