import type { Metrics } from '../core/metrics.ts';
import type { ProviderId } from '../core/model.ts';
import { callKinds } from './call-pace.ts';
import type { ProviderHealth } from './provider-health.ts';

const breakerValues = { closed: 0, 'half-open': 1, open: 2 } as const;
const reportedShare = 0.95;

/** Fills the gauges of breakers and latencies with what is known of these providers now, and of no others. */
export function reportHealth(metrics: Metrics, health: ProviderHealth, ids: Iterable<ProviderId>): void {
  metrics.providerBreaker.reset();
  metrics.providerLatency.reset();
  for (const provider of ids) {
    const vitals = health.of(provider);
    metrics.providerBreaker.set({ provider }, breakerValues[vitals.state]);
    for (const kind of callKinds) {
      const ms = vitals.quantileMs(kind, reportedShare);
      if (ms !== undefined) metrics.providerLatency.set({ provider, kind }, ms / 1000);
    }
  }
}
