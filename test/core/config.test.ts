import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, parseConfig } from '../../core/config.ts';

function faultsOf(environment: Record<string, string>, file?: unknown): readonly string[] {
  try {
    parseConfig(environment, file === undefined ? undefined : JSON.stringify(file));
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.faults;
  }
  return [];
}

test('nothing configured gives the embedded default', () => {
  const config = parseConfig({});
  assert.equal(config.dataDir, './data');
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 9000 });
  assert.deepEqual(config.profiles.STANDARD, { k: 4, m: 2 });
  assert.equal(config.providers, undefined);
});

test('the environment wins over the file', () => {
  const config = parseConfig(
    { HOLDFAST_LISTEN: '[::1]:80' },
    JSON.stringify({ listen: '0.0.0.0:1', region: 'eu-west-3' }),
  );
  assert.deepEqual(config.listen, { host: '::1', port: 80 });
  assert.equal(config.region, 'eu-west-3');
});

test('the root key comes from HOLDFAST_ROOT_USER, else from the AWS variables', () => {
  const aws = { AWS_ACCESS_KEY_ID: 'aws', AWS_SECRET_ACCESS_KEY: 'aws-secret' };
  assert.deepEqual(parseConfig(aws).root, { accessKeyId: 'aws', secretAccessKey: 'aws-secret' });
  const both = { ...aws, HOLDFAST_ROOT_USER: 'own', HOLDFAST_ROOT_PASSWORD: 'own-secret' };
  assert.deepEqual(parseConfig(both).root, { accessKeyId: 'own', secretAccessKey: 'own-secret' });
});

test('every fault is named at once', () => {
  const provider = { id: 'p1', kind: 'directory', path: 'x' };
  const faults = faultsOf(
    { HOLDFAST_LISTEN: 'here', HOLDFAST_ROOT_USER: 'alone' },
    { providers: [provider, provider], colour: 'red', region: 'A B' },
  );
  for (const expected of [
    /HOLDFAST_ROOT_PASSWORD/,
    /directory x is used twice/,
    /id p1 is used twice/,
    /^listen/,
    /^region/,
    /"colour"/,
  ]) {
    assert.ok(
      faults.some((fault) => expected.test(fault)),
      `${expected} is not among ${faults.join(' | ')}`,
    );
  }
});

test('two accounts cannot share an access key', () => {
  const account = (digit: string) => ({
    accountId: digit.repeat(12),
    canonicalId: digit.repeat(64),
    displayName: digit,
    email: `${digit}@example.com`,
    accessKeys: [{ accessKeyId: 'shared', secretAccessKey: 'long enough' }],
  });
  assert.deepEqual(faultsOf({}, { accounts: [account('1'), account('2')] }), [
    'accounts: access key shared is used twice',
  ]);
});

test('a file that is no JSON object is one fault', () => {
  assert.throws(() => parseConfig({}, '{'), ConfigError);
  assert.throws(() => parseConfig({}, '[]'), ConfigError);
});
