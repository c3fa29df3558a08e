import { join } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { type Config, defaultProviderCount, defaultReserveBytes, defaultSegmentShardBytes } from '../core/config.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ProviderId, ProviderRecord } from '../core/model.ts';
import { Fleet, type FleetMember } from '../placement/fleet.ts';
import { ProviderHealth } from '../placement/provider-health.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { withDeadline } from '../placement/providers/with-deadline.ts';
import { withObservation } from '../placement/providers/with-observation.ts';

export type ProviderConfig = NonNullable<Config['providers']>[number];

export interface FleetSetting {
  readonly providers: readonly ProviderConfig[];
  readonly limits: Pick<Config['limits'], 'providerTimeoutMs' | 'suspectMs'>;
  readonly metrics: Metrics;
  /** Tests put faults between the gateway and its providers here. */
  readonly wrapProvider?: ((provider: Provider) => Provider) | undefined;
  /** Given by whoever can do without a provider that does not open. */
  readonly onFailure?: (provider: ProviderConfig, error: unknown) => void;
}

/** @throws Failure `provider-error` when a provider does not open, unless there is an `onFailure` */
export async function openFleet(setting: FleetSetting): Promise<Fleet> {
  const { providers, limits, metrics, wrapProvider, onFailure } = setting;
  const health = new ProviderHealth({ clock: systemClock, suspectMs: limits.suspectMs });
  const members: FleetMember[] = [];
  for (const config of providers) {
    const { id, ...options } = config;
    try {
      const provider = await openDirectoryProvider({ id: id as ProviderId, ...options });
      // From the inside out: faults (in tests), then the deadline, then what counts and judges the outcome.
      const faulty = wrapProvider?.(provider) ?? provider;
      const bounded = withDeadline(faulty, { timeoutMs: limits.providerTimeoutMs });
      members.push({ record: recordOf(config), provider: withObservation(bounded, { metrics, health }) });
    } catch (error) {
      if (onFailure === undefined) throw error;
      onFailure(config, error);
    }
  }
  return new Fleet({ members, health, metrics });
}

function recordOf({ id, weight, ...location }: ProviderConfig): ProviderRecord {
  const labels = { operator: '', country: '', zone: '' };
  return { id: id as ProviderId, state: 'active', ...labels, weight, location, stateSinceMs: 0 };
}

export async function closeFleet(fleet: Fleet): Promise<void> {
  await Promise.all(fleet.members.map(({ provider }) => provider.close()));
}

/** What the configuration names, else directories under the data directory. */
export function configuredProviders({ providers, dataDir }: Pick<Config, 'providers' | 'dataDir'>): ProviderConfig[] {
  return (
    providers ??
    Array.from({ length: defaultProviderCount }, (_, index) => {
      const id = `p${index + 1}`;
      return directoryConfig(id, join(dataDir, 'providers', id));
    })
  );
}

/** A provider with the settings that are not given. */
export function directoryConfig(id: string, path: string): ProviderConfig {
  return {
    id,
    kind: 'directory',
    path,
    weight: 1,
    reserveBytes: defaultReserveBytes,
    segmentShardBytes: defaultSegmentShardBytes,
  };
}
