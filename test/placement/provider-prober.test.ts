import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { ProviderProber } from '../../placement/provider-prober.ts';
import { createFaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { reportHealth } from '../../placement/report-health.ts';

const id = 'm1' as ProviderId;

function setUp() {
  const clock = { nowMs: 1_000_000, now: () => clock.nowMs };
  const metrics = new Metrics();
  const health = new ProviderHealth({ clock, suspectMs: 10_000, random: () => 0 });
  const faulty = createFaultyProvider(createMemoryProvider({ id }));
  const provider = withObservation(faulty, { metrics, health });
  const prober = new ProviderProber({ listProviders: () => [provider], health });
  const countProbes = async (): Promise<number> =>
    (await metrics.providerCalls.get()).values
      .filter(({ labels }) => labels.call === 'readRoot')
      .reduce((sum, { value }) => sum + value, 0);
  return { clock, metrics, health, faults: faulty.faults, prober, countProbes };
}

describe('the prober', () => {
  it('lets a provider that is down be well again, without any client, just before it half-opens', async () => {
    const { clock, health, prober, countProbes } = setUp();
    health.recordFailure(id, true);
    clock.nowMs += 8_999;
    await prober.probeDue();
    assert.equal(await countProbes(), 0);
    clock.nowMs += 1;
    await prober.probeDue();
    assert.deepEqual([await countProbes(), health.state(id), health.isSuspect(id)], [1, 'closed', false]);
    prober.stop();
  });

  it('finds that it is still down, and tries again later', async () => {
    const { clock, health, faults, prober, countProbes } = setUp();
    const sinceMs = clock.nowMs;
    health.recordFailure(id, true);
    faults.always('readRoot', 'error');
    clock.nowMs += 10_000;
    await prober.probeDue();
    assert.deepEqual([health.state(id), health.downSinceMs(id)], ['open', sinceMs]);
    clock.nowMs += 18_999;
    await prober.probeDue();
    assert.equal(await countProbes(), 1);
    clock.nowMs += 1;
    faults.clear();
    await prober.probeDue();
    assert.deepEqual([health.state(id), health.downSinceMs(id)], ['closed', undefined]);
    prober.stop();
  });

  it('has one probe under way at a time, and lets no client in meanwhile', async () => {
    const { clock, health, faults, prober, countProbes } = setUp();
    health.recordFailure(id, true);
    faults.always('readRoot', 'hang');
    clock.nowMs += 60_000;
    assert.equal(health.isSuspect(id), false);
    const first = prober.probeDue();
    assert.equal(health.isSuspect(id), true);
    await prober.probeDue();
    prober.stop();
    await first;
    assert.equal(await countProbes(), 1);
    assert.equal(health.state(id), 'half-open', 'a probe that was stopped says nothing');
  });

  it('counts a probe that is not answered as a call that hung', async (context) => {
    const { clock, health, faults, prober } = setUp();
    context.mock.timers.enable({ apis: ['setTimeout'] });
    faults.always('readRoot', 'hang');
    clock.nowMs += 15_000;
    const probing = prober.probeDue();
    assert.equal(health.state(id), 'closed');
    context.mock.timers.tick(5_000);
    await probing;
    assert.equal(health.state(id), 'open');
    prober.stop();
  });

  it('asks a provider of which nothing was heard for long, and leaves others alone', async () => {
    const { clock, prober, countProbes } = setUp();
    clock.nowMs += 14_999;
    await prober.probeDue();
    assert.equal(await countProbes(), 0);
    clock.nowMs += 1;
    await prober.probeDue();
    await prober.probeDue();
    assert.equal(await countProbes(), 1);
    prober.stop();
  });
});

describe('the gauges of health', () => {
  it('tell the state of each breaker, and how fast each kind of call is', async () => {
    const { health, metrics } = setUp();
    for (let call = 0; call < 20; call++) health.of(id).finish('read-small', 8);
    metrics.observeFleet = () => reportHealth(metrics, health, [id]);
    health.recordFailure(id, true);
    const text = await metrics.registry.metrics();
    assert.match(text, /^holdfast_provider_breaker\{provider="m1"\} 2$/m);
    assert.match(text, /^holdfast_provider_latency_p95_seconds\{provider="m1",kind="read-small"\} 0\.008$/m);
  });
});
