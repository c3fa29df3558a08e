import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runAdmin } from '../../bin/run-admin.ts';
import { ConfigError } from '../../core/config.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { type AskAdmin, createAskAdmin } from './admin-harness.ts';

const profiles = { STANDARD_IA: { k: 2, m: 2 }, GLACIER_IR: { k: 3, m: 3 } };

describe('the profile of a bucket', () => {
  let dataDir: string;
  let gateway: TestGateway;
  let ask: AskAdmin;
  const start = async (config: Record<string, unknown>): Promise<void> => {
    gateway = await startGateway({ dataDir, config });
    ask = createAskAdmin(gateway);
  };
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-profile-'));
    await start({ profiles });
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
  });
  after(async () => {
    await gateway.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const pathOf = (bucket: string): string => `/admin/v1/buckets/${bucket}/profile`;
  const setProfile = (profile: string | null) => ask('PUT', pathOf('bucket'), { profile });
  const put = async (key: string, headers: Record<string, string> = {}, body = `bytes of ${key}`): Promise<void> =>
    assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body, headers }));
  const classOf = async (key: string): Promise<string | null> => {
    const { status, headers } = await gateway.fetchSigned('HEAD', `/bucket/${key}`);
    assert.equal(status, 200);
    return headers.get('x-amz-storage-class');
  };

  it('is none at first, and is shown, set and taken away', async () => {
    assert.deepEqual(await ask('GET', pathOf('bucket')), { bucket: 'bucket', profile: null });
    assert.deepEqual(await setProfile('STANDARD_IA'), { bucket: 'bucket', profile: 'STANDARD_IA' });
    assert.deepEqual(await ask('GET', pathOf('bucket')), { bucket: 'bucket', profile: 'STANDARD_IA' });
    assert.deepEqual(await setProfile(null), { bucket: 'bucket', profile: null });
  });

  it('is refused where there is no such bucket, or no such profile', async () => {
    assert.equal((await ask('GET', pathOf('nowhere'), undefined, 404)).code, 'NoSuchBucket');
    assert.equal((await ask('PUT', pathOf('nowhere'), { profile: null }, 404)).code, 'NoSuchBucket');
    assert.equal((await ask('PUT', pathOf('bucket'), { profile: 'SNOW' }, 400)).code, 'InvalidProfile');
    assert.equal((await ask('PUT', pathOf('bucket'), { profile: 'SYSTEM' }, 400)).code, 'InvalidProfile');
    assert.equal((await ask('PUT', pathOf('bucket'), {}, 400)).code, 'InvalidRequest');
    assert.deepEqual(await ask('GET', pathOf('bucket')), { bucket: 'bucket', profile: null });
  });

  it('is that of what names none: objects, copies and uploads', async () => {
    await put('before');
    await setProfile('GLACIER_IR');
    await put('after');
    await put('named', { 'x-amz-storage-class': 'STANDARD' });
    await put('named-other', { 'x-amz-storage-class': 'STANDARD_IA' });
    await put('copied', { 'x-amz-copy-source': '/bucket/before' }, '');
    const started = await gateway.fetchSigned('POST', '/bucket/parts?uploads');
    const uploadId = /<UploadId>(.*?)<\/UploadId>/.exec(started.text)![1]!;
    // An upload keeps what it began with.
    await setProfile(null);
    const part = await gateway.fetchSigned('PUT', `/bucket/parts?partNumber=1&uploadId=${uploadId}`, { body: 'part' });
    const named = `<Part><PartNumber>1</PartNumber><ETag>${part.headers.get('etag')}</ETag></Part>`;
    const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
    assertOk(await gateway.fetchSigned('POST', `/bucket/parts?uploadId=${uploadId}`, { body }));
    const classes = { before: null, after: 'GLACIER_IR', named: null, 'named-other': 'STANDARD_IA' };
    for (const [key, expected] of Object.entries({ ...classes, copied: 'GLACIER_IR', parts: 'GLACIER_IR' })) {
      assert.equal(await classOf(key), expected, key);
    }
    assert.equal((await gateway.fetchSigned('GET', '/bucket/copied')).text, 'bytes of before');
  });

  it('changes under a client that writes: no error, and all is read', async () => {
    const written = new Map<string, Buffer>();
    const state = { isDone: false };
    const write = async (writer: number): Promise<void> => {
      for (let count = 0; !state.isDone; count++) {
        const key = `busy-${writer}-${count}`;
        const body = patternBytes(count % 4 === 3 ? 400_000 : 3_000, key);
        assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body }));
        written.set(key, body);
      }
    };
    const change = async (): Promise<void> => {
      try {
        for (const profile of ['STANDARD_IA', null, 'GLACIER_IR', 'STANDARD_IA']) {
          const before = written.size;
          await setProfile(profile);
          // So that each of the writers has begun anew under it.
          await pollUntil('clients write on', async () => written.size >= before + 6, 15_000);
        }
      } finally {
        state.isDone = true;
      }
    };
    await Promise.all([write(1), write(2), change()]);
    const classes = new Set<string | null>();
    for (const [key, body] of written) {
      const answer = await gateway.fetchSigned('GET', `/bucket/${key}`);
      assertOk(answer);
      assert.ok(body.equals(answer.body), key);
      classes.add(answer.headers.get('x-amz-storage-class'));
    }
    assert.deepEqual(classes, new Set([null, 'STANDARD_IA', 'GLACIER_IR']));
  });

  it('is shown and changed by holdfast admin bucket profile', async () => {
    const environment = {
      HOLDFAST_ADMIN_ENDPOINT: gateway.adminUrl,
      HOLDFAST_ROOT_USER: rootKey.accessKeyId,
      HOLDFAST_ROOT_PASSWORD: rootKey.secretAccessKey,
    };
    const admin = async (...args: string[]): Promise<string> => {
      const output: string[] = [];
      const stream = { write: (text: string) => output.push(text) };
      const status = await runAdmin(['bucket', 'profile', ...args], environment, { stdout: stream, stderr: stream });
      return `${status} ${output.join('')}`;
    };
    assert.equal(await admin('bucket', '--set', 'GLACIER_IR'), '0 bucket: GLACIER_IR\n');
    assert.equal(await admin('bucket'), '0 bucket: GLACIER_IR\n');
    assert.equal(await admin('bucket', '--clear'), '0 bucket: STANDARD, since it has no profile of its own\n');
    assert.equal(await admin('bucket', '--set', 'SNOW'), '1 holdfast: There is no profile SNOW.\n');
    assert.equal(await admin('nowhere'), '1 holdfast: There is no bucket nowhere.\n');
    await assert.rejects(admin('bucket', '--set', 'STANDARD', '--clear'), ConfigError);
  });

  it('outlives a restart, which is refused without a profile that objects have', async () => {
    await setProfile('STANDARD_IA');
    await gateway.close();
    const refused = async (config: Record<string, unknown>): Promise<readonly string[]> => {
      const error = await startGateway({ dataDir, config }).then(
        () => assert.fail('it started'),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof ConfigError, String(error));
      return [...error.faults].sort();
    };
    assert.deepEqual(await refused({}), [
      'profiles: GLACIER_IR is missing, and there are objects stored by it',
      'profiles: STANDARD_IA is missing, and there are objects stored by it',
    ]);
    // Another k and m are no hindrance.
    await start({ profiles: { ...profiles, GLACIER_IR: { k: 2, m: 1 } } });
    assert.deepEqual(await ask('GET', pathOf('bucket')), { bucket: 'bucket', profile: 'STANDARD_IA' });
    assert.equal((await gateway.fetchSigned('GET', '/bucket/after')).text, 'bytes of after');
    await put('restarted');
    assert.equal(await classOf('restarted'), 'STANDARD_IA');
  });

  it('may be wider than the fleet where it was added later: then it takes what has a quorum', async () => {
    await gateway.close();
    await start({ profiles: { ...profiles, ONEZONE_IA: { k: 5, m: 2 }, SNOW: { k: 6, m: 2 } } });
    await setProfile('ONEZONE_IA');
    await put('wide', {}, 'x'.repeat(2_000_000));
    assert.equal((await gateway.fetchSigned('GET', '/bucket/wide')).text.length, 2_000_000);
    await setProfile('SNOW');
    const body = 'x'.repeat(2_000_000);
    assertS3Error(await gateway.fetchSigned('PUT', '/bucket/wider', { body }), 503, 'ServiceUnavailable');
    assert.equal((await gateway.fetchSigned('DELETE', '/bucket/wide')).status, 204);
    await setProfile('STANDARD_IA');
  });

  it('refuses writes that name none, where it went out of the configuration before anything was stored by it', async () => {
    await gateway.close();
    await start({ profiles: { ...profiles, ONEZONE_IA: { k: 1, m: 1 } } });
    await setProfile('ONEZONE_IA');
    await gateway.close();
    await start({ profiles });
    assertS3Error(await gateway.fetchSigned('PUT', '/bucket/none', { body: 'x' }), 400, 'InvalidStorageClass');
    await put('named-standard', { 'x-amz-storage-class': 'STANDARD' });
    await setProfile(null);
    await put('none');
  });
});

it('a new store needs providers for the widest profile, and says which lack some', async () => {
  const wide = { STANDARD: { k: 5, m: 2 }, STANDARD_IA: { k: 2, m: 2 }, GLACIER_IR: { k: 6, m: 3 } };
  await assert.rejects(startGateway({ config: { profiles: wide } }), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.deepEqual(error.faults, [
      'profiles: STANDARD needs 5+2 providers, but there are 6',
      'profiles: GLACIER_IR needs 6+3 providers, but there are 6',
    ]);
    return true;
  });
});
