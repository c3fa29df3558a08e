import { systemClock } from '../../core/clock.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createFaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { withDeadline } from '../../placement/providers/with-deadline.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { testProvider } from './provider-conformance.ts';

const id = 'm1' as ProviderId;

testProvider('memory, with faults that do not come, deadline and observation', async () => {
  const health = new ProviderHealth({ clock: systemClock, suspectMs: 1000 });
  const bounded = withDeadline(createFaultyProvider(createMemoryProvider({ id })), { timeoutMs: 5000 });
  return { provider: withObservation(bounded, { metrics: new Metrics(), health }) };
});
