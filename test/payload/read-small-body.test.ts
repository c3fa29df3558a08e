import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { createPayload } from '../../gateway/payload/create-payload.ts';
import { readSmallBody } from '../../gateway/payload/read-small-body.ts';
import { pieces, seedSignature, signedBy } from './chunked-body.ts';

const document = '<Delete/>';
const md5 = createHash('md5').update(document).digest('base64');
const sha256Hex = createHash('sha256').update(document).digest('hex');
const sha1 = createHash('sha1').update(document).digest('base64');
const otherSha1 = createHash('sha1').digest('base64');
const otherMd5 = createHash('md5').digest('base64');

function open(headers: IncomingHttpHeaders, mode = 'UNSIGNED-PAYLOAD', body = pieces('<Del', 'ete/>')) {
  return createPayload({
    body,
    headers,
    authentication: signedBy(seedSignature, mode),
    idleTimeoutMs: 1000,
    lengthRequired: false,
  });
}

const length = { 'content-length': String(document.length) };

test('a document is read whole when its digests are right', async () => {
  const headers = { ...length, 'content-md5': md5, 'x-amz-checksum-sha1': sha1 };
  assert.equal(String(await readSmallBody(open(headers, sha256Hex), 100)), document);
});

test('a wrong digest is refused, the signed one first', async () => {
  const wrong = { ...length, 'content-md5': otherMd5, 'x-amz-checksum-sha1': otherSha1 };
  const emptyDigest = createHash('sha256').digest('hex');
  await assert.rejects(readSmallBody(open(wrong, emptyDigest), 100), {
    code: 'XAmzContentSHA256Mismatch',
    extra: { ClientComputedContentSHA256: emptyDigest, S3ComputedContentSHA256: sha256Hex },
  });
  await assert.rejects(readSmallBody(open(wrong, sha256Hex), 100), {
    code: 'BadDigest',
    message: 'The Content-MD5 you specified did not match what we received.',
    extra: { ExpectedDigest: otherMd5, CalculatedDigest: md5 },
  });
  await assert.rejects(readSmallBody(open({ ...wrong, 'content-md5': md5 }), 100), {
    code: 'BadDigest',
    message: 'The SHA1 you specified did not match the calculated checksum.',
  });
});

test('a document may come in chunks with a trailer, which is verified as well', async () => {
  const headers = {
    'x-amz-decoded-content-length': String(document.length),
    'x-amz-trailer': 'x-amz-checksum-sha1',
  };
  const body = (value: string) => pieces(`9\r\n${document}\r\n0\r\nx-amz-checksum-sha1:${value}\r\n\r\n`);
  const mode = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
  assert.equal(String(await readSmallBody(open(headers, mode, body(sha1)), 100)), document);
  await assert.rejects(readSmallBody(open(headers, mode, body(otherSha1)), 100), { code: 'BadDigest' });
});

test('a document over the limit is refused, by its length before it is read', async () => {
  let asked = false;
  const body = async function* () {
    asked = true;
    yield Buffer.from(document);
  };
  await assert.rejects(readSmallBody(open(length, undefined, body()), 8), {
    code: 'MaxMessageLengthExceeded',
    extra: { ProposedSize: '9', MaxSizeAllowed: '8' },
  });
  assert.equal(asked, false);
  assert.equal(String(await readSmallBody(open(length), 9)), document);
});

test('a document without a length is cut off at the limit', async () => {
  let yielded = 0;
  const endless = async function* () {
    for (;;) {
      yielded += 1000;
      yield Buffer.alloc(1000);
    }
  };
  const payload = open({ 'transfer-encoding': 'chunked' }, undefined, endless());
  await assert.rejects(readSmallBody(payload, 5000), { code: 'MaxMessageLengthExceeded' });
  assert.equal(yielded, 6000);
});

test('the pieces are copied, since they may be reused', async () => {
  const shared = Buffer.from('abcd');
  const body = async function* () {
    yield shared.subarray(0, 2);
    shared.fill('x');
    yield shared.subarray(2);
  };
  assert.equal(String(await readSmallBody(open({ 'content-length': '4' }, undefined, body()), 100)), 'abxx');
});

test('no body is an empty document', async () => {
  assert.equal((await readSmallBody(open({}, undefined, pieces()), 100)).length, 0);
});
