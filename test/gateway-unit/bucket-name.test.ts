import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkBucketName } from '../../gateway/bucket-name.ts';
import { S3Error } from '../../gateway/s3-error.ts';

const good = [
  'abc',
  'a1b',
  '123',
  'my-bucket',
  'my.bucket',
  'a-.b',
  '1.2.3',
  '1.2.3.4.5',
  'x'.repeat(63),
  'a--b',
  '192.168.5.a4',
];

const bad = [
  ['has two characters', 'ab'],
  ['is empty', ''],
  ['has 64 characters', 'x'.repeat(64)],
  ['holds a capital', 'Abc'],
  ['holds an underscore', 'a_b'],
  ['holds a slash', 'a/b'],
  ['holds a space', 'a b'],
  ['holds a letter beyond ASCII', 'bücket'],
  ['holds a line break', 'abc\n'],
  ['begins with a hyphen', '-abc'],
  ['begins with a dot', '.abc'],
  ['ends with a hyphen', 'abc-'],
  ['ends with a dot', 'abc.'],
  ['holds two dots in a row', 'a..b'],
  ['looks like an IPv4 address', '192.168.5.4'],
  ['begins with xn--', 'xn--abc'],
  ['begins with sthree-', 'sthree-abc'],
  ['begins with amzn-s3-demo-', 'amzn-s3-demo-bucket'],
  ['ends with -s3alias', 'abc-s3alias'],
  ['ends with --ol-s3', 'abc--ol-s3'],
  ['ends with .mrap', 'abc.mrap'],
  ['ends with --x-s3', 'abc--x-s3'],
  ['ends with --table-s3', 'abc--table-s3'],
] as const;

for (const name of good) {
  test(`a bucket may be named ${name}`, () => checkBucketName(name));
}

for (const [why, name] of bad) {
  test(`a bucket name that ${why} is refused`, () => {
    assert.throws(
      () => checkBucketName(name),
      (error) => error instanceof S3Error && error.code === 'InvalidBucketName' && error.extra.BucketName === name,
    );
  });
}

test('whatever is accepted is a lower-case DNS name of 3 to 63 characters', () => {
  const almostGood = fc.string({ unit: fc.constantFrom(...'abz019-.A_'), minLength: 1, maxLength: 70 });
  fc.assert(
    fc.property(almostGood, (name) => {
      try {
        checkBucketName(name);
      } catch {
        return;
      }
      for (const label of name.split('.')) assert.match(label, /^[a-z0-9-]+$/);
      assert.match(name, /^[a-z0-9].{1,61}[a-z0-9]$/);
    }),
  );
});
