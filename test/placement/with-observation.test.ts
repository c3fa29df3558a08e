import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createFaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { nameOf, storeShard } from './provider-conformance.ts';

const id = 'm1' as ProviderId;
const bytes = new Uint8Array(100).fill(1);
const cid = nameOf(bytes);

async function setUp() {
  const metrics = new Metrics();
  const health = new ProviderHealth({ clock: systemClock, suspectMs: 60_000 });
  const inner = createFaultyProvider(createMemoryProvider({ id }));
  const provider = withObservation(inner, { metrics, health });
  return { metrics, health, faults: inner.faults, provider };
}

/** Calls counted so far, as `call outcome`, without those at 0. */
async function countCalls(metrics: Metrics): Promise<Record<string, number>> {
  const { values } = await metrics.providerCalls.get();
  return Object.fromEntries(
    values
      .filter(({ value, labels }) => value > 0 && labels.provider === id)
      .map(({ value, labels }) => [`${labels.call} ${labels.outcome}`, value]),
  );
}

describe('observed provider', () => {
  it('counts calls, time and bytes', async () => {
    const { metrics, provider } = await setUp();
    const writer = await provider.createShard();
    await writer.append([bytes.subarray(0, 30), bytes.subarray(30, 60)]);
    await writer.append([bytes.subarray(60)]);
    await writer.commit(cid);
    await provider.readShard(cid, 10, 40);
    await provider.readShard(cid, 0, 2);
    await provider.statShard(cid);
    await provider.listShards(undefined, 10);
    await provider.capacity();
    await provider.deleteShard(cid);
    await provider.putShard(cid, [bytes.subarray(0, 10), bytes.subarray(10, 15)]);
    await provider.writeRoot(bytes);
    await provider.readRoot();
    await provider.reclaim();
    assert.deepEqual(await countCalls(metrics), {
      'createShard ok': 1,
      'append ok': 2,
      'commit ok': 1,
      'readShard ok': 2,
      'statShard ok': 1,
      'listShards ok': 1,
      'capacity ok': 1,
      'deleteShard ok': 1,
      'putShard ok': 1,
      'writeRoot ok': 1,
      'readRoot ok': 1,
      'reclaim ok': 1,
    });
    const transferred = (await metrics.providerBytes.get()).values.map(({ labels, value }) => [
      labels.direction,
      value,
    ]);
    assert.deepEqual(Object.fromEntries(transferred), { in: 42, out: 115 });
    const timed = (await metrics.providerSeconds.get()).values.filter(
      ({ metricName, labels }) => metricName?.endsWith('_count') && labels.call === 'append',
    );
    assert.equal(timed[0]?.value, 2);
  });

  it('counts failures by kind, and bytes only when they were taken', async () => {
    const { metrics, faults, provider } = await setUp();
    faults.next('append', 'full');
    faults.next('readShard', 'error');
    await assert.rejects(storeShard(provider, bytes));
    await assert.rejects(provider.readShard(cid, 0, 1));
    await assert.rejects(provider.readShard(cid, 0, 1));
    assert.deepEqual(await countCalls(metrics), {
      'createShard ok': 1,
      'append provider-full': 1,
      'readShard provider-error': 1,
      'readShard shard-missing': 1,
    });
    for (const { value } of (await metrics.providerBytes.get()).values) assert.equal(value, 0);
  });

  it('suspects a provider whose calls fail, of every kind, until one goes well', async () => {
    const { health, faults, provider } = await setUp();
    await storeShard(provider, bytes);
    const calls: Record<string, () => Promise<unknown>> = {
      putShard: () => provider.putShard(cid, [bytes]),
      readRoot: () => provider.readRoot(),
      writeRoot: () => provider.writeRoot(bytes),
      reclaim: () => provider.reclaim(),
      createShard: () => provider.createShard(),
      append: () => storeShard(provider, bytes),
      commit: () => storeShard(provider, bytes),
      readShard: () => provider.readShard(cid, 0, 1),
      statShard: () => provider.statShard(cid),
      deleteShard: () => provider.deleteShard(cid),
      listShards: () => provider.listShards(undefined, 10),
      capacity: () => provider.capacity(),
    };
    for (const [call, start] of Object.entries(calls)) {
      faults.next(call as 'readShard', 'error');
      await assert.rejects(start, call);
      assert.equal(health.isSuspect(id), true, call);
      await provider.readRoot();
      assert.equal(health.isSuspect(id), false, call);
    }
  });

  it('does not trust a provider again for what it may have answered out of its own memory', async () => {
    const { health, faults, provider } = await setUp();
    faults.next('commit', 'error');
    await assert.rejects(storeShard(provider, bytes));
    await provider.capacity();
    await provider.reclaim();
    const writer = await provider.createShard();
    await writer.append([bytes]);
    assert.equal(health.isSuspect(id), true);
    await writer.commit(cid);
    assert.equal(health.isSuspect(id), false);
  });

  it('does not suspect a provider that misses a shard, is full, or was given up by its caller', async () => {
    const { metrics, health, faults, provider } = await setUp();
    await assert.rejects(provider.readShard(cid, 0, 1));
    faults.next('createShard', 'full');
    await assert.rejects(provider.createShard());
    faults.next('readShard', 'hang');
    const controller = new AbortController();
    const reading = provider.readShard(cid, 0, 1, controller.signal);
    controller.abort();
    await assert.rejects(reading);
    assert.equal(health.isSuspect(id), false);
    assert.equal((await countCalls(metrics))['readShard aborted'], 1);
  });

  it('does not suspect a provider for a call that waited in vain for our own memory', async () => {
    const health = new ProviderHealth({ clock: systemClock, suspectMs: 60_000 });
    const inner = createMemoryProvider({ id });
    inner.createShard = () => Promise.reject(new Failure('overloaded', { resource: 'parts', waitedMs: 1 }));
    await assert.rejects(withObservation(inner, { metrics: new Metrics(), health }).createShard());
    assert.equal(health.isSuspect(id), false);
  });

  it('does not trust a provider again for a call that began before it failed', async () => {
    const { health, faults, provider } = await setUp();
    await storeShard(provider, bytes);
    faults.next('readShard', { slowMs: 10 });
    const slow = provider.readShard(cid, 0, 1);
    faults.next('readShard', 'error');
    await assert.rejects(provider.readShard(cid, 0, 1));
    await slow;
    assert.equal(health.isSuspect(id), true);
  });
});
