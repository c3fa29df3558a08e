import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAskAdmin } from '../admin/admin-harness.ts';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { type MixedFleet, startMixedFleet } from '../harness/mixed-fleet.ts';
import { assertOk } from '../harness/s3-assertions.ts';

const MiB = 2 ** 20;

describe('a fleet of two directories, two nodes and two buckets', () => {
  let fleet: MixedFleet;
  let gateway: TestGateway;
  let dataDir: string;
  const objects = new Map([
    ['empty', Buffer.alloc(0)],
    ['small', randomBytes(4_000)],
    ['middle', randomBytes(MiB)],
    ['long', randomBytes(9 * MiB)],
  ]);
  const start = async (): Promise<void> => {
    const limits = { suspectMs: 100, providerTimeoutMs: 5_000 };
    gateway = await startGateway({ dataDir, config: { providers: fleet.providers, limits } });
  };
  const assertAll = async (): Promise<void> => {
    for (const [key, bytes] of objects) {
      const answer = await gateway.fetchSigned('GET', `/bucket/${key}`);
      assertOk(answer);
      assert.ok(bytes.equals(answer.body), key);
    }
  };
  before(async () => {
    fleet = await startMixedFleet();
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-mixed-'));
    await start();
  });
  after(async () => {
    await gateway.close();
    await fleet.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('stores and gives back objects of every length, in parts and in ranges', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bucket'));
    for (const [key, body] of objects) assertOk(await gateway.fetchSigned('PUT', `/bucket/${key}`, { body }));
    await assertAll();
    const part = await gateway.fetchSigned('GET', '/bucket/long', { headers: { range: 'bytes=5000000-5000999' } });
    assert.equal(part.status, 206);
    assert.ok(part.body.equals(objects.get('long')!.subarray(5_000_000, 5_001_000)));
  });

  it('shows each provider where it is, and none of their secrets', async () => {
    const { providers } = await createAskAdmin(gateway)('GET', '/admin/v1/providers');
    assert.deepEqual(
      providers.map(({ id, state, standing }) => [id, state, standing]),
      ['bucket-1', 'bucket-2', 'directory-1', 'directory-2', 'node-1', 'node-2'].map((id) => [id, 'active', 'up']),
    );
    for (const { heldShards } of providers) assert.ok(heldShards > 0);
    const shown = JSON.stringify(providers);
    for (const { key, secretAccessKey } of fleet.providers) {
      for (const secret of [key, secretAccessKey]) assert.ok(!secret || !shown.includes(String(secret)));
    }
  });

  it('knows all of them again after a restart, and does with what is left when two are away', async () => {
    await gateway.close();
    await start();
    await assertAll();
    await fleet.nodes[0]!.nodeServer.stop(0);
    await createAskAdmin(gateway)('POST', '/admin/v1/providers/bucket-1/suspend');
    await assertAll();
    await createAskAdmin(gateway)('POST', '/admin/v1/providers/bucket-1/resume');
    const body = randomBytes(MiB);
    assertOk(await gateway.fetchSigned('PUT', '/bucket/after', { body }));
    assert.ok((await gateway.fetchSigned('GET', '/bucket/after')).body.equals(body));
  });
});
