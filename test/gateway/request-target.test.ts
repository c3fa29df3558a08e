import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRequestUrl } from '../../gateway/request-target.ts';
import { S3Error } from '../../gateway/s3-error.ts';

const parse = (url: string, host = '127.0.0.1:9000') => parseRequestUrl(url, host, 's3.example.com');

test('the path is split before it is decoded', () => {
  assert.deepEqual(parse('/').target, { scope: 'service' });
  assert.deepEqual(parse('/bucket').target, { scope: 'bucket', bucket: 'bucket' });
  assert.deepEqual(parse('/bucket/').target, { scope: 'bucket', bucket: 'bucket' });
  assert.deepEqual(parse('/bucket/a%2Fb').target, { scope: 'object', bucket: 'bucket', key: 'a/b' });
  assert.deepEqual(parse('/a%2Fb/key').target, { scope: 'object', bucket: 'a/b', key: 'key' });
});

test('keys keep every slash, dot segment and plus', () => {
  for (const key of ['/', '//', '/lead', 'a//b', 'a/../b', './x', 'a+b', 'trail/']) {
    assert.deepEqual(parse(`/bucket/${key}`).target, { scope: 'object', bucket: 'bucket', key });
  }
});

test('any key survives percent-encoding', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }), (key) => {
      assert.deepEqual(parse(`/bucket/${encodeURIComponent(key)}`).target, { scope: 'object', bucket: 'bucket', key });
    }),
  );
});

test('virtual-host style takes the bucket from the host, path style stays', () => {
  assert.deepEqual(parse('/key', 'photos.s3.example.com:9000').target, {
    scope: 'object',
    bucket: 'photos',
    key: 'key',
  });
  assert.deepEqual(parse('/', 'photos.s3.example.com').target, { scope: 'bucket', bucket: 'photos' });
  assert.deepEqual(parse('/bucket', 's3.example.com').target, { scope: 'bucket', bucket: 'bucket' });
});

test('absolute URLs in the request line are taken', () => {
  assert.deepEqual(parse('http://127.0.0.1:9000/bucket/key?versionId=1').target, {
    scope: 'object',
    bucket: 'bucket',
    key: 'key',
  });
});

test('the query is decoded, a plus being a space, and the first value counts', () => {
  const { query } = parse('/bucket?prefix=a+b%2Bc&prefix=other&uploads&empty=');
  assert.deepEqual(
    [...query],
    [
      ['prefix', 'a b+c'],
      ['uploads', ''],
      ['empty', ''],
    ],
  );
});

test('escapes that are no UTF-8, and keys beyond 1,024 bytes, are refused', () => {
  const refused = (code: string) => (error: unknown) => error instanceof S3Error && error.code === code;
  assert.throws(() => parse('/bucket/%ff'), refused('InvalidURI'));
  assert.throws(() => parse('/bucket/%zz'), refused('InvalidURI'));
  assert.throws(() => parse(`/bucket/${'x'.repeat(1025)}`), refused('KeyTooLongError'));
  assert.throws(() => parse(`/bucket/${'é'.repeat(513)}`), refused('KeyTooLongError'));
  assert.equal(parse(`/bucket/${'é'.repeat(512)}`).target.scope, 'object');
});
