import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { type Banner, DataFolder, type Ending } from './holdfast-process.ts';

const body = patternBytes(50_000);

describe('the master key', () => {
  let folder: DataFolder;
  let keyPath: string;
  beforeEach(async () => {
    folder = await DataFolder.create();
    keyPath = join(folder.path, 'data', 'master-key');
  });
  afterEach(() => folder.remove());

  /** Starts a gateway, does something with it, and stops it. */
  async function serve(
    environment: Readonly<Record<string, string>>,
    use: (banner: Banner) => Promise<void> = async () => {},
  ): Promise<{ banner: Banner; stderr: string }> {
    const gateway = folder.start(environment);
    const banner = await gateway.readBanner();
    await use(banner);
    gateway.kill('SIGTERM');
    const { status, stderr } = await gateway.ending;
    assert.equal(status, 0, stderr);
    return { banner, stderr };
  }

  async function put({ fetchSigned }: Banner): Promise<void> {
    assertOk(await fetchSigned('PUT', '/sealed'));
    assertOk(await fetchSigned('PUT', '/sealed/key', { body }));
  }

  async function read({ fetchSigned }: Banner): Promise<void> {
    assert.ok(body.equals((await fetchSigned('GET', '/sealed/key')).body));
  }

  function assertRefused({ status, stdout, stderr }: Ending, sentence: RegExp): void {
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, sentence);
    assert.doesNotMatch(stderr, /^\s+at /m);
  }

  it('is made at the first start, for its owner alone, with a loud word about backing it up, and kept', async () => {
    const { banner } = await serve({}, put);
    assert.equal((await stat(keyPath)).mode & 0o777, 0o600);
    const key = await readFile(keyPath, 'utf8');
    assert.match(key, /^[0-9a-f]{64}\n$/);
    assert.match(banner.text, /GENERATED NOW/);
    assert.match(banner.text, /BACK UP THIS FILE/);
    assert.ok(banner.text.includes(keyPath));
    assert.ok(!banner.text.includes(key.trim()), 'which does not show it');
    // Somebody opened it to others meanwhile.
    await chmod(keyPath, 0o644);
    const { banner: next } = await serve({}, read);
    assert.equal(await readFile(keyPath, 'utf8'), key);
    assert.equal((await stat(keyPath)).mode & 0o777, 0o600);
    assert.doesNotMatch(next.text, /GENERATED/);
    assert.ok(next.text.includes(keyPath));
  });

  it('may come from the environment; then none is made, and none is shown', async () => {
    const key = randomBytes(32).toString('hex');
    const { banner, stderr } = await serve({ HOLDFAST_MASTER_KEY: key }, put);
    assert.ok(!(await readdir(join(folder.path, 'data'))).includes('master-key'));
    assert.ok(!banner.text.includes(key) && !stderr.includes(key));
    await serve({ HOLDFAST_MASTER_KEY: key.toUpperCase() }, read);
  });

  it('may come from a file', async () => {
    const path = join(folder.path, 'some-key');
    await writeFile(path, `${randomBytes(32).toString('hex')}\n`);
    const { banner } = await serve({ HOLDFAST_MASTER_KEY_FILE: path }, put);
    assert.ok(banner.text.includes(path));
    assert.ok(!(await readdir(join(folder.path, 'data'))).includes('master-key'));
    // The same key by another way.
    await serve({ HOLDFAST_MASTER_KEY: (await readFile(path, 'utf8')).trim() }, read);
  });

  it('must be the one that the data were sealed with', async () => {
    await serve({}, put);
    const another = randomBytes(32).toString('hex');
    assertRefused(await folder.start({ HOLDFAST_MASTER_KEY: another }).ending, /sealed with another master key/);
    // Nor is a lost one replaced by a new one without a word.
    const key = await readFile(keyPath, 'utf8');
    await rm(keyPath);
    assertRefused(await folder.start({}).ending, /master-key is gone/);
    await assert.rejects(stat(keyPath), 'no other one was made in its place');
    await writeFile(keyPath, key);
    await serve({}, read);
  });

  it('is named among all other faults of a configuration where it is none', async () => {
    for (const key of ['abc', `${'a'.repeat(63)}g`]) {
      const ending = await folder.start({ HOLDFAST_MASTER_KEY: key, HOLDFAST_LISTEN: 'nowhere' }).ending;
      assertRefused(ending, /masterKey/);
      assert.match(ending.stderr, /listen/);
      assert.ok(!ending.stderr.includes(key) || key.length < 8, 'what it is instead is not shown');
    }
    await assert.rejects(readdir(join(folder.path, 'data')), 'nothing was begun');
  });

  it('is missed where its file is not there or holds something else', async () => {
    const path = join(folder.path, 'no-key');
    assertRefused(await folder.start({ HOLDFAST_MASTER_KEY_FILE: path }).ending, /no-key/);
    await writeFile(path, 'secret');
    const ending = await folder.start({ HOLDFAST_MASTER_KEY_FILE: path }).ending;
    assertRefused(ending, /64 hex digits/);
    assert.ok(!ending.stderr.includes('secret'));
  });
});
