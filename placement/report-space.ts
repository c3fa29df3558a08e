import type { Metrics } from '../core/metrics.ts';
import type { Fleet } from './fleet.ts';
import { unboundedBytes } from './providers/provider.ts';

/** Fills the gauges of space with what was last measured of providers that may be called, and of no others. */
export function reportSpace(metrics: Metrics, fleet: Pick<Fleet, 'members' | 'capacityOf'>): void {
  metrics.providerFreeBytes.reset();
  metrics.providerTotalBytes.reset();
  for (const { record } of fleet.members) {
    const capacity = fleet.capacityOf(record.id);
    // What knows no bound has no number that an alert could go by.
    if (capacity === undefined || capacity.totalBytes >= unboundedBytes) continue;
    metrics.providerFreeBytes.set({ provider: record.id }, capacity.freeBytes);
    metrics.providerTotalBytes.set({ provider: record.id }, capacity.totalBytes);
  }
}
