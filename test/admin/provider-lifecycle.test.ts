import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { startGateway, type TestGateway, type TestGatewayOptions } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { readMetric } from '../harness/read-metric.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { type AskAdmin, createAskAdmin } from './admin-harness.ts';

const path = '/admin/v1/providers';

describe('the fleet under the admin API', () => {
  let folder: string;
  let gateway: TestGateway;
  let ask: AskAdmin;
  const start = async (options: TestGatewayOptions = {}): Promise<void> => {
    const config = { limits: { providerRetryMs: 50 } };
    gateway = await startGateway({ dataDir: join(folder, 'data'), config, ...options });
    ask = createAskAdmin(gateway);
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-fleet-'));
    await start();
  });
  afterEach(async () => {
    await gateway.close();
    await rm(folder, { recursive: true, force: true });
  });

  const restart = async (options: TestGatewayOptions = {}): Promise<void> => {
    await gateway.close();
    await start(options);
  };
  const directory = (id: string, settings: object = {}) => ({
    id,
    kind: 'directory',
    path: join(folder, id),
    reserveBytes: 0,
    ...settings,
  });
  const find = async (id: string) => (await ask('GET', path)).providers.find((provider) => provider.id === id);
  const put = async (key: string, bytes = 1_000): Promise<Buffer> => {
    const body = randomBytes(bytes);
    assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body }));
    return body;
  };
  const assertHolds = async (key: string, body: Buffer): Promise<void> => {
    const answer = await gateway.fetchSigned('GET', `/bucket/${key}`);
    assertOk(answer);
    assert.ok(answer.body.equals(body), key);
  };

  it('takes a provider in while clients write, and places new data there', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const { provider, warnings } = await ask('POST', path, directory('p7', { operator: 'acme', weight: 3 }));
    assert.deepEqual(warnings, []);
    assert.deepEqual([provider.state, provider.standing, provider.operator], ['active', 'up', 'acme']);
    assert.ok(provider.totalBytes! > 0 && provider.freeBytes! > 0);
    for (let i = 0; i < 8; i++) await put(`object-${i}`, 300_000);
    assert.ok((await find('p7'))!.heldShards > 0);
  });

  it('knows it again after a restart, whatever the configuration says', async () => {
    await ask('POST', path, directory('p7', { operator: 'acme' }));
    await ask('PATCH', `${path}/p1`, { weight: 2, operator: 'other' });
    await restart();
    const { providers } = await ask('GET', path);
    assert.deepEqual(
      providers.map(({ id, state, standing }) => [id, state, standing]),
      ['p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'].map((id) => [id, 'active', 'up']),
    );
    assert.deepEqual([providers[0]?.weight, providers[0]?.operator, providers[6]?.operator], [2, 'other', 'acme']);
  });

  it('refuses an id, a place and a directory that are somebody’s already', async () => {
    assert.equal((await ask('POST', path, directory('p1'), 409)).code, 'ProviderInUse');
    const taken = join(gateway.dataDir, 'providers', 'p1');
    const twice = await ask('POST', path, directory('p7', { path: taken }), 422);
    assert.match(twice.message, /is the provider p1 already/);
    const viaLink = await ask('POST', path, directory('p7', { path: join(taken, '..', 'p1') }), 422);
    assert.match(viaLink.message, /belongs to the provider p1|already/);
    const full = join(folder, 'full');
    await mkdir(full);
    await writeFile(join(full, 'photo.jpg'), 'not a shard');
    const notEmpty = await ask('POST', path, directory('p7', { path: full }), 422);
    assert.match(notEmpty.message, /holds files but no provider.json/);
    assert.equal(await find('p7'), undefined);
  });

  it('refuses the provider of another gateway', async () => {
    const other = await startGateway({ dataDir: join(folder, 'other') });
    const place = join(folder, 'other', 'providers', 'p1');
    try {
      assertOk(await other.fetchSigned('PUT', '/bucket'));
      // So long that each provider has a shard of it.
      assertOk(await other.fetchSigned('PUT', '/bucket/key', { body: patternBytes(2 ** 20, 'somebody else’s') }));
      // Without a root, as before its first batch of the journal.
      await pollUntil(
        'there is a root',
        async () => (await readMetric(other.adminUrl, 'holdfast_roots_written_total')) > 0,
      );
    } finally {
      await other.close();
    }
    await rm(join(place, 'root'));
    await rename(place, join(folder, 'p7'));
    await writeFile(join(folder, 'p7', 'provider.json'), '{"format":"holdfast-provider","version":1,"id":"p7"}');
    const refused = await ask('POST', path, directory('p7'), 422);
    assert.match(refused.message, /holds shards, and nothing says that they are of this gateway/);
  });

  it('does not call a suspended provider, and calls it again when it is resumed', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const body = await put('before', 300_000);
    const { provider } = await ask('POST', `${path}/p1/suspend`);
    assert.deepEqual([provider.state, provider.standing], ['suspended', 'down']);
    await assertHolds('before', body);
    const meanwhile = await put('meanwhile', 300_000);
    const heldBefore = (await find('p1'))!.heldShards;
    await restart();
    assert.equal((await find('p1'))!.state, 'suspended');
    assert.equal((await find('p1'))!.heldShards, heldBefore);
    const resumed = await ask('POST', `${path}/p1/resume`);
    assert.deepEqual([resumed.provider.state, resumed.provider.standing], ['active', 'up']);
    await assertHolds('before', body);
    await assertHolds('meanwhile', meanwhile);
  });

  it('gives a draining provider nothing new, and reads from it', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    await ask('POST', path, directory('p7'));
    const body = await put('before', 300_000);
    const { provider } = await ask('POST', `${path}/p1/drain`);
    assert.equal(provider.state, 'draining');
    const shardsOf = async () => (await find('p1'))!.heldShards;
    const held = await shardsOf();
    for (let i = 0; i < 5; i++) await put(`after-${i}`, 300_000);
    assert.ok((await shardsOf()) <= held);
    await assertHolds('before', body);
  });

  it('removes a provider that holds nothing, and not one that holds shards', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    for (let i = 0; i < 3; i++) await put(`object-${i}`, 300_000);
    const refused = await ask('DELETE', `${path}/p1`, undefined, 409);
    assert.match(refused.message, /holds shards/);
    assert.equal((await find('p1'))!.state, 'active');
    await ask('POST', path, directory('p7', { weight: 1e-6 }));
    await ask('POST', `${path}/p7/suspend`);
    assert.equal((await ask('DELETE', `${path}/p7`)).isForgotten, true);
    assert.equal(await find('p7'), undefined);
    // It may come back under its own name, since nobody else has used it.
    assert.equal((await ask('POST', path, directory('p7'))).provider.state, 'active');
  });

  it('gives up a provider that is lost, and one of the configuration stays out', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    await ask('POST', path, directory('p7'));
    const body = await put('object', 300_000);
    await ask('DELETE', `${path}/p1?lost=true`);
    const gone = await find('p1');
    assert.ok(gone === undefined || (gone.state === 'gone' && gone.standing === 'lost'));
    await assertHolds('object', body);
    await restart();
    assert.notEqual((await find('p1'))?.state, 'active');
    await assertHolds('object', body);
    if ((await find('p1'))?.state === 'gone') {
      // It turned up after all.
      assert.equal((await ask('POST', `${path}/p1/resume`)).provider.standing, 'up');
    }
  });

  it('follows a data directory that was moved', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const body = await put('object', 300_000);
    await gateway.close();
    await rename(join(folder, 'data'), join(folder, 'moved'));
    await start({ dataDir: join(folder, 'moved') });
    await assertHolds('object', body);
    assert.equal((await find('p1'))!.location.path, join(folder, 'moved', 'providers', 'p1'));
  });

  it('starts without a provider whose disk is not there, does not fill its mount point, and uses it once it is back', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const body = await put('object', 300_000);
    await gateway.close();
    const place = join(folder, 'data', 'providers', 'p1');
    await rename(place, join(folder, 'unplugged'));
    await mkdir(place);
    await start();
    const down = (await find('p1'))!;
    assert.equal(down.standing, 'down');
    assert.match(down.fault!, /provider.json/);
    await assertHolds('object', body);
    await put('meanwhile', 300_000);
    await rm(place, { recursive: true });
    await rename(join(folder, 'unplugged'), place);
    await pollUntil('it is back', async () => (await find('p1'))!.standing === 'up');
    await assertHolds('object', body);
  });

  it('moves a provider to another place where its shards are, and to no other', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const body = await put('object', 300_000);
    const old = join(folder, 'data', 'providers', 'p1');
    const elsewhere = { kind: 'directory', path: join(folder, 'elsewhere') };
    const refused = await ask('PATCH', `${path}/p1`, { location: elsewhere }, 422);
    assert.match(refused.message, /provider.json/);
    assert.deepEqual([(await find('p1'))!.location.path, (await find('p1'))!.standing], [old, 'up']);
    await ask('POST', `${path}/p1/suspend`);
    await cp(old, elsewhere.path, { recursive: true });
    await ask('POST', `${path}/p1/resume`);
    const { provider } = await ask('PATCH', `${path}/p1`, { location: elsewhere });
    assert.deepEqual([provider.location.path, provider.standing], [elsewhere.path, 'up']);
    await rm(old, { recursive: true });
    await assertHolds('object', body);
  });

  it('holds no more than an operator allows, and takes the bound away again', async () => {
    const bounded = await ask('PATCH', `${path}/p1`, { capacityBytes: 1_000_000 });
    assert.equal(bounded.provider.totalBytes, 1_000_000);
    assert.ok(bounded.provider.freeBytes! <= 1_000_000);
    const free = await ask('PATCH', `${path}/p1`, { capacityBytes: null });
    assert.equal(free.provider.capacityBytes, undefined);
    assert.ok(free.provider.totalBytes! > 1_000_000);
  });

  it('reads what was stored with another k and m, and stores anew with the present ones', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    const before = await put('before', 3_000_000);
    for (const profile of [
      { k: 2, m: 1 },
      { k: 3, m: 3 },
    ]) {
      await restart({ config: { profiles: { STANDARD: profile } } });
      await assertHolds('before', before);
      const now = await put('now', 3_000_000);
      await assertHolds('now', now);
    }
    await ask('POST', `${path}/p1/suspend`);
    await ask('POST', `${path}/p2/suspend`);
    await assertHolds('before', before);
  });

  it('is not ready while too few providers are well for a write', async () => {
    const status = async () => (await fetch(`${gateway.adminUrl}/health/ready`)).status;
    await ask('POST', `${path}/p1/suspend`);
    assert.equal(await status(), 200);
    await ask('POST', `${path}/p2/suspend`);
    assert.equal(await status(), 503);
    await ask('POST', `${path}/p2/resume`);
    assert.equal(await status(), 200);
  });

  it('does not start a new store over providers that were in use', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    await put('object');
    await pollUntil(
      'there is a root',
      async () => (await readMetric(gateway.adminUrl, 'holdfast_roots_written_total')) > 0,
    );
    await gateway.close();
    for (const suffix of ['', '-wal', '-shm'])
      await rm(join(folder, 'data', `metadata.sqlite${suffix}`), { force: true });
    await assert.rejects(start(), (error: Error) => /holdfast recover/.test(error.message));
    await rm(join(folder, 'data'), { recursive: true });
    await start();
  });
});
