import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { presignPath } from '../harness/presigned-url.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { DataFolder } from './holdfast-process.ts';

describe('a gateway that starts for the first time', () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  it('prints export lines that work, a line to paste, and where the data lie; SIGTERM ends it with 0', async () => {
    const gateway = folder.start();
    const { text, exports, adminUrl, fetchSigned } = await gateway.readBanner();
    assert.match(exports.AWS_ENDPOINT_URL ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal(exports.AWS_REGION, 'us-east-1');
    assert.match(text, /aws s3 cp /);
    assert.ok(text.includes(join(folder.path, 'data')));
    assertOk(await fetchSigned('PUT', '/first'));
    assertOk(await fetchSigned('PUT', '/first/key', { body: patternBytes(100_000) }));
    assert.equal((await fetch(`${adminUrl}/health/ready`)).status, 200);
    gateway.kill('SIGTERM');
    const { status, stderr } = await gateway.ending;
    assert.equal(status, 0, stderr);
  });

  it('keeps the key that it made where only its owner can read it', async () => {
    const path = join(folder.path, 'data', 'root-key.json');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const key = JSON.parse(await readFile(path, 'utf8')) as Record<string, string>;
    assert.ok((key.secretAccessKey?.length ?? 0) >= 40);
  });

  it('finds everything when it starts again: the same key, and the objects', async () => {
    const key = JSON.parse(await readFile(join(folder.path, 'data', 'root-key.json'), 'utf8')) as Record<
      string,
      string
    >;
    const gateway = folder.start();
    const { exports, fetchSigned } = await gateway.readBanner();
    assert.equal(exports.AWS_ACCESS_KEY_ID, key.accessKeyId);
    assert.equal(exports.AWS_SECRET_ACCESS_KEY, key.secretAccessKey);
    const { body } = await fetchSigned('GET', '/first/key');
    assert.ok(patternBytes(100_000).equals(body));
    gateway.kill('SIGINT');
    assert.equal((await gateway.ending).status, 0);
  });

  it('takes a key from the environment, does not print its secret, and still owns the buckets', async () => {
    for (const [user, password] of [
      ['HOLDFAST_ROOT_USER', 'HOLDFAST_ROOT_PASSWORD'],
      ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
    ] as const) {
      const gateway = folder.start({ [user]: 'CONFIGURED', [password]: 'a configured secret' });
      const { text, exports } = await gateway.readBanner();
      assert.equal(exports.AWS_ACCESS_KEY_ID, 'CONFIGURED');
      assert.ok(!text.includes('a configured secret'));
      assert.ok(!gateway.stderr.includes('a configured secret'));
      const url = exports.AWS_ENDPOINT_URL ?? '';
      const key = { accessKeyId: 'CONFIGURED', secretAccessKey: 'a configured secret' };
      const answer = await fetch(url + presignPath({ path: '/first/key', host: new URL(url).host, key }));
      assert.equal(answer.status, 200);
      assert.equal((await answer.arrayBuffer()).byteLength, 100_000);
      gateway.kill('SIGTERM');
      assert.equal((await gateway.ending).status, 0);
    }
  });
});

describe('a gateway that is told to stop', () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  it('lets an upload under way finish, takes no new connection, and exits 0', async () => {
    const gateway = folder.start();
    const { exports, fetchSigned } = await gateway.readBanner();
    const url = exports.AWS_ENDPOINT_URL ?? '';
    assertOk(await fetchSigned('PUT', '/stopping'));
    const bytes = patternBytes(3_000_000);
    const key = { accessKeyId: exports.AWS_ACCESS_KEY_ID ?? '', secretAccessKey: exports.AWS_SECRET_ACCESS_KEY ?? '' };
    const { host } = new URL(url);
    const connection = await RawConnection.open(url);
    const path = presignPath({ method: 'PUT', path: '/stopping/key', host, key });
    await connection.write(renderHead('PUT', path, { host, 'content-length': String(bytes.length) }));
    await connection.write(bytes.subarray(0, 1_000_000));
    gateway.kill('SIGTERM');
    await pollUntil('new connections are refused', async () => {
      const late = await RawConnection.open(url).catch(() => undefined);
      late?.destroy();
      return late === undefined;
    });
    await connection.write(bytes.subarray(1_000_000));
    const answer = await connection.readAnswer();
    assertOk(answer);
    // Nobody may wait for a client to give up a connection that is kept alive.
    assert.equal(answer.headers.get('connection'), 'close');
    await connection.waitForEnd();
    assert.equal((await gateway.ending).status, 0);
    const next = folder.start();
    const banner = await next.readBanner();
    assert.ok(bytes.equals((await banner.fetchSigned('GET', '/stopping/key')).body));
    next.kill('SIGTERM');
    assert.equal((await next.ending).status, 0);
  });

  it('does not wait for a client that sends nothing for longer than the time to drain', async () => {
    const configPath = join(folder.path, 'drain.json');
    await writeFile(configPath, JSON.stringify({ limits: { drainMs: 200 } }));
    const gateway = folder.start({ HOLDFAST_CONFIG: configPath });
    const { exports } = await gateway.readBanner();
    const url = exports.AWS_ENDPOINT_URL ?? '';
    const key = { accessKeyId: exports.AWS_ACCESS_KEY_ID ?? '', secretAccessKey: exports.AWS_SECRET_ACCESS_KEY ?? '' };
    const { host } = new URL(url);
    const path = presignPath({ method: 'PUT', path: '/stopping/never', host, key });
    const connection = await RawConnection.open(url);
    await connection.write(renderHead('PUT', path, { host, 'content-length': '1000' }));
    const idle = await RawConnection.open(url);
    const startedAtMs = performance.now();
    gateway.kill('SIGTERM');
    assert.equal((await gateway.ending).status, 0);
    assert.ok(performance.now() - startedAtMs < 5_000);
    connection.destroy();
    idle.destroy();
  });
});

describe('a gateway that cannot start', () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  it('exits 2 and names every fault of its configuration at once', async () => {
    const configPath = join(folder.path, 'bad.json');
    const config = {
      accounts: [{ accountId: '12' }],
      limits: { hedgeMs: 'soon' },
      profiles: { STANDARD: { k: 0, m: 9 } },
      colour: 1,
    };
    await writeFile(configPath, JSON.stringify(config));
    const { status, stdout, stderr } = await folder.start({
      HOLDFAST_CONFIG: configPath,
      HOLDFAST_LISTEN: 'nowhere',
      HOLDFAST_REGION: 'Not A Region',
      HOLDFAST_ROOT_USER: 'lonely',
    }).ending;
    assert.equal(status, 2);
    assert.equal(stdout, '');
    for (const fault of ['listen', 'region', 'accountId', 'hedgeMs', 'STANDARD.k', 'colour', 'HOLDFAST_ROOT_PASSWORD'])
      assert.ok(stderr.includes(fault), `${fault} in:\n${stderr}`);
    assert.doesNotMatch(stderr, /^\s+at /m);
  });

  it('exits 2 where a new store would have fewer providers than a stripe has shards', async () => {
    const configPath = join(folder.path, 'wide.json');
    await writeFile(configPath, JSON.stringify({ profiles: { STANDARD: { k: 9, m: 9 } } }));
    const { status, stderr } = await folder.start({ HOLDFAST_CONFIG: configPath }).ending;
    assert.equal(status, 2);
    assert.match(stderr, /STANDARD needs 9\+9 providers, but there are 6/);
  });

  for (const [what, text] of [
    ['is not JSON', '{"a":'],
    ['is no object', '[1]'],
  ] as const) {
    it(`exits 2 where the configuration file ${what}`, async () => {
      const configPath = join(folder.path, 'broken.json');
      await writeFile(configPath, text);
      const { status, stderr } = await folder.start({}, ['gateway', '--config', configPath]).ending;
      assert.equal(status, 2);
      assert.match(stderr, /configuration file/);
    });
  }

  it('exits 2 where the configuration file is missing, and where the kept key is no key', async () => {
    const missing = await folder.start({}, ['gateway', '--config', join(folder.path, 'missing.json')]).ending;
    assert.equal(missing.status, 2);
    assert.match(missing.stderr, /missing\.json/);
    const dataDir = join(folder.path, 'keyless');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'root-key.json'), '{}');
    const keyless = await folder.start({ HOLDFAST_DATA_DIR: dataDir }).ending;
    assert.equal(keyless.status, 2);
    assert.match(keyless.stderr, /root-key\.json/);
  });

  it('exits 2 and shows its usage for a command or an option that it does not have', async () => {
    for (const args of [['dance'], ['gateway', 'twice'], ['--colour']]) {
      const { status, stderr } = await folder.start({}, args).ending;
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, /usage: holdfast/);
    }
    const help = await folder.start({}, ['--help']).ending;
    assert.equal(help.status, 0);
    assert.match(help.stdout, /usage: holdfast/);
  });

  it('exits with a sentence where its port is taken', async () => {
    const first = folder.start();
    const { exports } = await first.readBanner();
    const { host } = new URL(exports.AWS_ENDPOINT_URL ?? '');
    const dataDir = join(folder.path, 'second');
    const { status, stderr } = await folder.start({ HOLDFAST_DATA_DIR: dataDir, HOLDFAST_LISTEN: host }).ending;
    assert.equal(status, 1);
    assert.match(stderr, /EADDRINUSE|in use/);
    first.kill('SIGTERM');
    assert.equal((await first.ending).status, 0);
  });
});
