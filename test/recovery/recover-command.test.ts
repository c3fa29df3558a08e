import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import type { SignedFetch } from '../harness/signed-fetch.ts';
import { DataFolder, type HoldfastProcess } from '../startup/holdfast-process.ts';

const ids = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'];
/** What clients see of a bucket and that does not depend on when they ask. */
const listings = ['?versions', '?list-type=2', '?uploads', '?versioning'];
const objects = ['/plain/small', '/plain/large', '/plain/copy', '/plain/multipart', '/plain/empty', '/versioned/key'];

describe('holdfast recover', () => {
  let folder: DataFolder;
  let seen: Record<string, unknown>;
  let masterKeyPath: string;
  let rootKey: string;
  /** Where a recovery finds the providers. */
  const provider = (id: string): string => join(folder.path, 'left', id);

  before(async () => {
    folder = await DataFolder.create();
    const data = join(folder.path, 'data');
    const gateway = folder.start();
    const { fetchSigned } = await gateway.readBanner();
    await fill(fetchSigned);
    seen = await readAll(fetchSigned);
    await kill(gateway);
    await mkdir(join(folder.path, 'left'));
    for (const id of ids) await rename(join(data, 'providers', id), provider(id));
    masterKeyPath = join(folder.path, 'master-key');
    await cp(join(data, 'master-key'), masterKeyPath);
    rootKey = await readFile(join(data, 'root-key.json'), 'utf8');
    await rm(data, { recursive: true });
  });
  after(() => folder.remove());

  const recover = (args: readonly string[]): HoldfastProcess => folder.start({}, ['recover', ...args]);
  const providerArguments = (some: readonly string[]): string[] => some.flatMap((id) => ['--provider', provider(id)]);

  it('rebuilds all that a gateway knew when it was killed, with its disk lost and two providers as well', async () => {
    // Providers are written by a recovered gateway: each recovery has copies of its own.
    const dataDir = join(folder.path, 'data');
    const left = ['p1', 'p3', 'p4', 'p6'];
    // What a recovery left that was broken off.
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'metadata.sqlite.recovering'), 'half a store');
    await writeFile(join(dataDir, 'metadata.sqlite.recovering-wal'), 'and its log');
    const args = ['--master-key', masterKeyPath, ...providerArguments(left), '--data-dir', dataDir];
    const { status, stdout, stderr } = await recover(args).ending;
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /all was recovered/);
    assert.equal(await readFile(join(dataDir, 'root-key.json'), 'utf8'), rootKey);
    for (const name of ['root-key.json', 'master-key']) {
      assert.equal((await stat(join(dataDir, name))).mode & 0o777, 0o600);
    }
    await mkdir(join(dataDir, 'providers'));
    for (const id of left) await cp(provider(id), join(dataDir, 'providers', id), { recursive: true });
    const gateway = folder.start();
    const { fetchSigned } = await gateway.readBanner();
    assert.deepEqual(await readAll(fetchSigned), seen);
    assertOk(await fetchSigned('PUT', '/plain/after', { body: 'written after the recovery' }));
    gateway.kill('SIGTERM');
    assert.equal((await gateway.ending).status, 0);
  });

  it('leaves a store that verify finds whole, but for the providers that were lost', async () => {
    const data = join(folder.path, 'verified');
    await mkdir(join(data, 'providers'), { recursive: true });
    for (const id of ids) await cp(provider(id), join(data, 'providers', id), { recursive: true });
    const copies = ids.flatMap((id) => ['--provider', join(data, 'providers', id)]);
    const args = ['--master-key', masterKeyPath, ...copies, '--data-dir', data];
    assert.equal((await recover(args).ending).status, 0);
    const verify = (): HoldfastProcess => folder.start({ HOLDFAST_DATA_DIR: data }, ['verify', '--deep', '--json']);
    const whole = await verify().ending;
    assert.equal(whole.status, 0, whole.stdout + whole.stderr);
    const { versions, parts, findings } = JSON.parse(whole.stdout) as Record<string, unknown>;
    assert.deepEqual({ versions, parts, findings }, { versions: 8, parts: 1, findings: {} });
    await rm(join(data, 'providers', 'p2'), { recursive: true });
    const lacking = await verify().ending;
    assert.equal(lacking.status, 1, lacking.stdout + lacking.stderr);
    const report = JSON.parse(lacking.stdout) as { findings: object; atRiskCount: number; lostCount: number };
    assert.ok('provider-missing' in report.findings && report.atRiskCount > 0);
    assert.equal(report.lostCount, 0);
  });

  it('overwrites no metadata store', async () => {
    const dataDir = join(folder.path, 'taken');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'metadata.sqlite'), 'something');
    const args = ['--master-key', masterKeyPath, ...providerArguments(ids), '--data-dir', dataDir];
    const { status, stderr } = await recover(args).ending;
    assert.equal(status, 2);
    assert.match(stderr, /is there already/);
    assert.equal(await readFile(join(dataDir, 'metadata.sqlite'), 'utf8'), 'something');
  });

  it('says which arguments are missing or wrong', async () => {
    assert.equal((await recover([]).ending).status, 2);
    const dataDir = join(folder.path, 'nowhere');
    const wrongPath = ['--master-key', masterKeyPath, '--provider', folder.path, '--data-dir', dataDir];
    const ending = await recover(wrongPath).ending;
    assert.equal(ending.status, 2);
    assert.match(ending.stderr, /is no provider's directory/);
    const wrongKey = ['--master-key', '00'.repeat(32), ...providerArguments(ids), '--data-dir', dataDir];
    const other = await recover(wrongKey).ending;
    assert.equal(other.status, 1);
    assert.match(other.stderr, /another master key/);
  });
});

async function fill(fetchSigned: SignedFetch): Promise<void> {
  const send = async (method: string, path: string, options = {}) => {
    const answer = await fetchSigned(method, path, options);
    assertOk(answer);
    return answer;
  };
  await send('PUT', '/plain');
  await send('PUT', '/versioned');
  const versioning = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
  await send('PUT', '/versioned?versioning', { body: versioning });
  const headers = { 'x-amz-meta-color': 'sea green', 'x-amz-tagging': 'kind=kelp', 'content-type': 'text/plain' };
  await send('PUT', '/plain/small', { body: 'a small object', headers });
  await send('PUT', '/plain/large', { body: patternBytes(3_000_000) });
  await send('PUT', '/plain/empty', { body: '' });
  await send('PUT', '/plain/copy', { headers: { 'x-amz-copy-source': '/plain/small' } });
  const tags = '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>';
  await send('PUT', '/plain/copy?tagging', { body: tags });
  for (const text of ['one', 'two', 'three']) await send('PUT', '/versioned/key', { body: `version ${text}` });
  const parts: string[] = [];
  const uploadId = readUploadId((await send('POST', '/plain/multipart?uploads')).text);
  for (const [index, bytes] of [5 * 2 ** 20, 1_000].entries()) {
    const path = `/plain/multipart?partNumber=${index + 1}&uploadId=${uploadId}`;
    const etag = (await send('PUT', path, { body: patternBytes(bytes) })).headers.get('etag');
    parts.push(`<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
  }
  const complete = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
  await send('POST', `/plain/multipart?uploadId=${uploadId}`, { body: complete });
  const open = readUploadId((await send('POST', '/plain/open?uploads')).text);
  await send('PUT', `/plain/open?partNumber=3&uploadId=${open}`, { body: 'a part' });
}

async function readAll(fetchSigned: SignedFetch): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {};
  for (const bucket of ['/plain', '/versioned']) {
    for (const query of listings) seen[bucket + query] = (await fetchSigned('GET', bucket + query)).text;
  }
  const uploadId = readUploadId((await fetchSigned('GET', '/plain?uploads')).text);
  seen.parts = (await fetchSigned('GET', `/plain/open?uploadId=${uploadId}`)).text;
  for (const path of objects) {
    const { status, headers, body } = await fetchSigned('GET', path);
    assert.equal(status, 200, path);
    const named = [
      'etag',
      'last-modified',
      'content-type',
      'x-amz-meta-color',
      'x-amz-version-id',
      'x-amz-tagging-count',
    ];
    seen[path] = { body, headers: named.map((name) => headers.get(name)) };
    seen[`${path}?tagging`] = (await fetchSigned('GET', `${path}?tagging`)).text;
  }
  return seen;
}

function readUploadId(xml: string): string {
  return /<UploadId>([^<]+)</.exec(xml)?.[1] ?? assert.fail(`no upload id: ${xml}`);
}

async function kill({ child }: HoldfastProcess): Promise<void> {
  const ended = once(child, 'close');
  child.kill('SIGKILL');
  await ended;
}
