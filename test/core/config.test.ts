import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, listProfiles, parseConfig } from '../../core/config.ts';

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

test('threads for rows may be none, and are counted by the cores unless it is said how many', () => {
  assert.equal(parseConfig({}).rowThreads, undefined);
  assert.equal(parseConfig({}, JSON.stringify({ rowThreads: 0 })).rowThreads, 0);
  assert.match(faultsOf({}, { rowThreads: -1 }).join(), /^rowThreads/);
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

test('profiles are listed STANDARD first, which is there without being named', () => {
  const list = (profiles: object) => listProfiles(parseConfig({}, JSON.stringify({ profiles })));
  const archive = { name: 'GLACIER_IR', k: 8, m: 4 };
  assert.deepEqual(list({}), [{ name: 'STANDARD', k: 4, m: 2 }]);
  assert.deepEqual(list({ GLACIER_IR: { k: 8, m: 4 } }), [{ name: 'STANDARD', k: 4, m: 2 }, archive]);
  assert.deepEqual(list({ GLACIER_IR: { k: 8, m: 4 }, STANDARD: { k: 2, m: 1 } }), [
    { name: 'STANDARD', k: 2, m: 1 },
    archive,
  ]);
});

test('every fault of every profile is named at once', () => {
  const good = { k: 2, m: 1 };
  const profiles = {
    STANDARD: { k: 0, m: 2 },
    STANDARD_IA: { k: 4, m: 17 },
    ONEZONE_IA: { k: 4 },
    GLACIER_IR: { ...good, n: 3 },
    INTELLIGENT_TIERING: good,
    cheap: good,
    SYSTEM: good,
    GLACIER: good,
    EXPRESS_ONEZONE: good,
  };
  const faults = faultsOf({}, { profiles, colour: 'red' });
  for (const expected of [
    /^profiles\.STANDARD\.k: /,
    /^profiles\.STANDARD_IA\.m: /,
    /^profiles\.ONEZONE_IA\.m: /,
    /^profiles\.GLACIER_IR: .*"n"/,
    /^profiles: the name "INTELLIGENT_TIERING" has 19 characters: shards have room for 16$/,
    /^profiles: the name "cheap" must be capital letters/,
    /^profiles: the name "SYSTEM" is that of the metadata/,
    /^profiles: the name "GLACIER" is that of an archive/,
    /"colour"/,
  ]) {
    assert.equal(faults.filter((fault) => expected.test(fault)).length, 1, `${expected}: ${faults.join(' | ')}`);
  }
  assert.equal(faults.length, 9);
  assert.equal(faultsOf({}, { profiles: [1] }).length > 0, true);
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
