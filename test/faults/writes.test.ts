import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Fault } from '../../placement/providers/faulty-provider.ts';
import type { ProviderCall } from '../../placement/providers/wrapped-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { listAllShardFiles, listTemporaryFiles, providerIds } from '../harness/shard-files.ts';
import { bucket, chooseProviders, type FaultyGateway, MiB, objectSizes, startFaultyGateway } from './faulty-gateway.ts';

/** Of two rows, whose shards are written in several calls; those of a single row take one. */
const severalRowsBytes = 2 * MiB;
const sizes = { ...objectSizes, severalRows: severalRowsBytes };

describe('writes to providers that fail', () => {
  let gateway: FaultyGateway;

  before(async () => {
    gateway = await startFaultyGateway({ providerTimeoutMs: 1500 });
  });
  afterEach(() => gateway.heal());
  after(() => gateway.close());

  /** What a provider hung on is removed behind the answer's back. */
  const waitForNoTemporaryFiles = (): Promise<void> =>
    pollUntil('temporary files are gone', async () => (await listTemporaryFiles(gateway.dataDir)).length === 0);

  for (const [call, fault] of [
    ['createShard', 'error'],
    ['createShard', 'hang'],
    ['createShard', 'full'],
    ['append', 'error'],
    ['append', 'hang'],
    ['append', 'full'],
    ['append', 'flip'],
    ['append', 'truncate'],
    ['commit', 'error'],
    ['commit', 'hang'],
    ['commit', 'lose'],
  ] as [ProviderCall, Fault][]) {
    it(`succeed where one provider has the fault '${fault}' at ${call}`, async () => {
      gateway.faultsOf('p3').always(call, fault);
      for (const [name, size] of Object.entries(sizes)) {
        // One object shows it, and each hangs for as long as a provider may.
        if (fault === 'hang' && name !== 'severalRows') continue;
        const bytes = patternBytes(size, `${call} ${fault} ${size}`);
        assertOk(await gateway.put(name, bytes));
        await gateway.assertHolds(name, bytes);
      }
      gateway.heal();
      await waitForNoTemporaryFiles();
    });
  }

  for (const [call, fault] of [
    ['createShard', 'error'],
    ['append', 'error'],
    ['append', 'hang'],
    ['commit', 'error'],
  ] as [ProviderCall, Fault][]) {
    it(`fail with 503 where two providers have the fault '${fault}' at ${call}, and leave nothing`, async () => {
      // What the tests before left to repair is not what this is about.
      await gateway.gateway.upkeep.runOnce();
      const shardsBefore = new Set(await listAllShardFiles(gateway.dataDir));
      for (const id of ['p1', 'p6'] as const) gateway.faultsOf(id).always(call, fault);
      for (const size of fault === 'hang' ? [severalRowsBytes] : [severalRowsBytes, 20 * MiB]) {
        const answer = await gateway.put('failed', patternBytes(size));
        assertS3Error(answer, 503, 'ServiceUnavailable');
      }
      gateway.heal();
      assertS3Error(await gateway.get('failed'), 404, 'NoSuchKey');
      const { text } = await gateway.fetchSigned('GET', `/${bucket}?prefix=failed`);
      assert.doesNotMatch(text, /<Key>/);
      await gateway.gateway.upkeep.runOnce();
      await waitForNoTemporaryFiles();
      const shardsAfter = await listAllShardFiles(gateway.dataDir);
      // Others may have been collected meanwhile.
      assert.deepEqual(
        shardsAfter.filter((path) => !shardsBefore.has(path)),
        [],
      );
    });
  }

  it('leave the object as it was that they fail to replace', async () => {
    const bytes = patternBytes(severalRowsBytes, 'old');
    assertOk(await gateway.put('replaced', bytes));
    for (const id of ['p2', 'p5'] as const) gateway.faultsOf(id).always('commit', 'error');
    assertS3Error(await gateway.put('replaced', patternBytes(severalRowsBytes, 'new')), 503, 'ServiceUnavailable');
    await gateway.assertHolds('replaced', bytes);
  });

  it('fail when the second stripe fails, and take the first one back', async () => {
    const shardsBefore = new Set(await listAllShardFiles(gateway.dataDir));
    for (const id of ['p1', 'p2'] as const) {
      gateway.faultsOf(id).next('commit', { slowMs: 1 }, 1);
      gateway.faultsOf(id).next('commit', 'error', 1);
    }
    assertS3Error(await gateway.put('second', patternBytes(20 * MiB)), 503, 'ServiceUnavailable');
    assertS3Error(await gateway.get('second'), 404, 'NoSuchKey');
    const shardsAfter = await listAllShardFiles(gateway.dataDir);
    assert.ok(shardsAfter.every((path) => shardsBefore.has(path)));
  });

  it('of a small object find other providers for all of its shards', async () => {
    for (const id of ['p1', 'p2', 'p3'] as const) gateway.faultsOf(id).always('all', 'error');
    const bytes = patternBytes(10_000, 'elsewhere');
    assertOk(await gateway.put('elsewhere', bytes));
    gateway.heal();
    for (const id of ['p4', 'p5'] as const) gateway.faultsOf(id).always('all', 'error');
    await gateway.assertHolds('elsewhere', bytes);
  });

  it('fail with 507 where all providers are full, and with 503 where some are merely ill', async () => {
    for (const id of providerIds) gateway.faultsOf(id).always('all', 'full');
    for (const size of [10, MiB, 20 * MiB])
      assertS3Error(await gateway.put('full', patternBytes(size)), 507, 'InsufficientStorage');
    assertS3Error(await gateway.get('full'), 404, 'NoSuchKey');
    gateway.heal();
    gateway.faultsOf('p1').always('all', 'full');
    gateway.faultsOf('p2').always('all', 'error');
    assertS3Error(await gateway.put('full', patternBytes(MiB)), 503, 'ServiceUnavailable');
  });

  it('serve reads and deletes all the while', async () => {
    const bytes = patternBytes(MiB, 'kept');
    assertOk(await gateway.put('kept', bytes));
    for (const id of providerIds)
      for (const call of ['createShard', 'append', 'commit'] as const) gateway.faultsOf(id).always(call, 'full');
    await gateway.assertHolds('kept', bytes);
    assertOk(await gateway.fetchSigned('DELETE', `/${bucket}/kept`), 204);
    assertS3Error(await gateway.get('kept'), 404, 'NoSuchKey');
  });
});

describe('shards that a provider did not take', () => {
  const countDegraded = async (gateway: FaultyGateway): Promise<number | undefined> => {
    await gateway.gateway.upkeep.runOnce();
    const { values } = await gateway.gateway.metrics.stripes.get();
    return values.find(({ labels }) => labels.state === 'degraded')?.value;
  };

  it('are written by upkeep once it is back, also by that of a gateway that started since', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-repair-'));
    const objects = Object.entries(objectSizes).map(([name, size]) => ({ name, bytes: patternBytes(size, name) }));
    const first = await startFaultyGateway({}, { dataDir });
    assertOk(await first.fetchSigned('PUT', `/${bucket}`));
    first.faultsOf('p4').always('all', 'error');
    for (const { name, bytes } of objects) assertOk(await first.put(name, bytes));
    assert.ok(((await countDegraded(first)) ?? 0) > 0);
    await first.close();
    const second = await startFaultyGateway({}, { dataDir });
    assert.equal(await countDegraded(second), 0);
    for (const pair of chooseProviders(2)) {
      for (const id of pair) second.faultsOf(id).always('all', 'error');
      for (const { name, bytes } of objects) await second.assertHolds(name, bytes, `${name} without ${pair}`);
      second.heal();
    }
    await second.close();
    await rm(dataDir, { recursive: true });
  });
});
