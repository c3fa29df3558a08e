import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeToken, encodeToken } from '../../gateway/continuation-token.ts';
import { parseCount, parseInt32 } from '../../gateway/integer-parameter.ts';
import { parseKeyEncoding, parseKeyRange } from '../../gateway/listing.ts';
import { parsePartNumber } from '../../gateway/part-number.ts';
import { S3Error } from '../../gateway/s3-error.ts';

function invalidArgument(message: string | RegExp, extra: Record<string, string>): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof S3Error);
    assert.equal(error.code, 'InvalidArgument');
    if (typeof message === 'string') assert.equal(error.message, message);
    else assert.match(error.message, message);
    assert.deepEqual({ ...error.extra }, extra);
    return true;
  };
}

test('a number is read by its value, as AWS reads it', () => {
  const read = (text: string | undefined) => parseInt32('max-keys', text);
  assert.deepEqual(['0', '-0', '005', `${'0'.repeat(5000)}7`, '2147483647', '-2147483648', '', undefined].map(read), [
    0,
    0,
    5,
    7,
    2147483647,
    -2147483648,
    undefined,
    undefined,
  ]);
});

for (const text of ['abc', ' 5', '5 ', '1.0', '1e3', '+5', '-', '2147483648', '-2147483649', '9'.repeat(400), '٣']) {
  test(`max-keys=${text.slice(0, 20)} is no number that AWS takes`, () => {
    const message = 'Provided max-keys not an integer or within integer range';
    const expected = invalidArgument(message, { ArgumentName: 'max-keys', ArgumentValue: text });
    assert.throws(() => parseInt32('max-keys', text), expected);
  });
}

test('a count below zero is refused with the value as it was read', () => {
  assert.throws(
    () => parseCount('max-keys', '-01', 'maxKeys'),
    invalidArgument('Argument maxKeys must be an integer between 0 and 2147483647', {
      ArgumentName: 'maxKeys',
      ArgumentValue: '-1',
    }),
  );
});

test('part numbers are 1 to 10000', () => {
  assert.deepEqual(['1', '01', '10000'].map(parsePartNumber), [1, 1, 10_000]);
  for (const text of ['0', '10001', '-1', '1.5', 'one', '', ' 1', '1'.repeat(30)]) {
    const extra = { ArgumentName: 'partNumber', ArgumentValue: text };
    assert.throws(() => parsePartNumber(text), invalidArgument(/between 1 and 10000/, extra));
  }
});

test('encoding-type=url writes keys as AWS does', () => {
  const encoding = parseKeyEncoding(new Map([['encoding-type', 'url']]));
  assert.equal(encoding.name, 'url');
  assert.equal(
    encoding.write("run books/x+y%z!*'()~-_.,;:@="),
    'run+books/x%2By%25z%21*%27%28%29%7E-_.%2C%3B%3A%40%3D',
  );
  assert.equal(encoding.write('한글/|'), '%ED%95%9C%EA%B8%80/%7C');
});

test('without encoding-type keys stay as they are', () => {
  const encoding = parseKeyEncoding(new Map());
  assert.equal(encoding.write('a b+/한'), 'a b+/한');
  assert.equal(encoding.name, undefined);
});

for (const value of ['', 'base64', 'url ']) {
  test(`encoding-type=${value} is refused`, () => {
    assert.throws(
      () => parseKeyEncoding(new Map([['encoding-type', value]])),
      invalidArgument('Invalid Encoding Method specified in Request', {
        ArgumentName: 'encoding-type',
        ArgumentValue: value,
      }),
    );
  });
}

test('what encoding-type=url writes, form decoding reads back', () => {
  const encoding = parseKeyEncoding(new Map([['encoding-type', 'URL']]));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (key) => {
      const written = encoding.write(key);
      assert.match(written, /^[A-Za-z0-9\-_.*+/%]*$/);
      assert.equal(decodeURIComponent(written.replaceAll('+', ' ')), key);
    }),
  );
});

test('an empty prefix or delimiter is none', () => {
  const range = parseKeyRange(
    new Map([
      ['prefix', ''],
      ['delimiter', ''],
    ]),
  );
  assert.deepEqual(range, {});
});

test('every key makes a token that gives it back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), (key) => assert.equal(decodeToken(encodeToken(key)), key)),
  );
});

for (const token of [
  '',
  '!!!!',
  'garbage',
  'a b',
  `${Buffer.from([0xff, 0xfe, 0xfd]).toString('base64url')}`,
  'YQ==',
]) {
  test(`the token "${token}" is none of ours`, () => {
    assert.throws(
      () => decodeToken(token),
      invalidArgument('The continuation token provided is incorrect', { ArgumentName: 'continuation-token' }),
    );
  });
}
