import { join } from 'node:path';
import { ByteBudget } from '../core/byte-budget.ts';
import { systemClock } from '../core/clock.ts';
import { type Config, defaultProviderCount } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ProviderRecord } from '../core/model.ts';
import { type ProviderSettings, providerSchema } from '../core/provider-settings.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { FleetKeeper, type FleetKeeperParts } from '../engine/fleet/fleet-keeper.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import { Fleet, type FleetEntry } from '../placement/fleet.ts';
import { ProviderHealth } from '../placement/provider-health.ts';
import type { Provider } from '../placement/providers/provider.ts';
import type { SegmentAppenders } from '../placement/providers/segments/segment-appender.ts';
import { openProvider, type ProviderOpeningParts, probeLocation } from './open-provider.ts';

export interface FleetSetting {
  readonly limits: Pick<
    Config['limits'],
    | 'providerTimeoutMs'
    | 'bucketWriteTimeoutMs'
    | 'suspectMs'
    | 'lostAfterMs'
    | 'providerRetryMs'
    | 'bucketBudgetBytes'
    | 'budgetWaitMs'
  >;
  readonly metrics: Metrics;
  readonly log: Log;
  /** What writes to the segments of directories; libuv's threads unless given. */
  readonly appenders?: SegmentAppenders | undefined;
  /** Tests put faults between the gateway and its providers here. */
  readonly wrapProvider?: ((provider: Provider) => Provider) | undefined;
}

/** A fleet that follows the metadata store, before its keeper has opened it. */
export function createFleet(
  setting: FleetSetting,
  parts: Pick<FleetKeeperParts, 'settleRemoval'> & { readonly metadata: MetadataStore; readonly masterKey: MasterKey },
): { readonly fleet: Fleet; readonly keeper: FleetKeeper } {
  const opening = prepareOpening(setting);
  const fleet = emptyFleet(setting, opening.health);
  const keeper = new FleetKeeper({
    ...parts,
    fleet,
    clock: systemClock,
    log: setting.log,
    openProvider: (record, mode) => openProvider(record, mode, opening),
    probeLocation,
    retryMs: setting.limits.providerRetryMs,
  });
  return { fleet, keeper };
}

/** A fleet of exactly these, for commands that only read. One that does not open is left out, and `onFailure` told. */
export async function openFleetOf(
  records: readonly ProviderRecord[],
  setting: FleetSetting,
  onFailure: (record: ProviderRecord, error: unknown) => void,
): Promise<Fleet> {
  const opening = prepareOpening(setting);
  const entries = await Promise.all(
    records.map(async (record): Promise<FleetEntry> => {
      if (record.state === 'gone') return { record };
      try {
        // What was suspended is asked too: there may be nothing else.
        const readable: ProviderRecord = { ...record, state: record.state === 'draining' ? 'draining' : 'active' };
        return { record: readable, provider: await openProvider(record, 'return', opening) };
      } catch (error) {
        onFailure(record, error);
        return { record, downSinceMs: systemClock.now() };
      }
    }),
  );
  const fleet = emptyFleet(setting, opening.health);
  fleet.apply(entries);
  return fleet;
}

export async function closeFleet(fleet: Fleet): Promise<void> {
  await Promise.all(fleet.members.map(({ provider }) => provider.close()));
}

/** What the configuration names, else directories under the data directory. */
export function configuredProviders({ providers, dataDir }: Pick<Config, 'providers' | 'dataDir'>): ProviderSettings[] {
  return (
    providers ??
    Array.from({ length: defaultProviderCount }, (_, index) => {
      const id = `p${index + 1}`;
      return directorySettings(id, join(dataDir, 'providers', id));
    })
  );
}

/** A directory with the settings that are not given. */
export function directorySettings(id: string, path: string): ProviderSettings {
  return providerSchema.parse({ id, kind: 'directory', path });
}

function prepareOpening({ limits, metrics, appenders, wrapProvider }: FleetSetting): ProviderOpeningParts {
  const { suspectMs, bucketBudgetBytes, budgetWaitMs } = limits;
  return {
    limits,
    metrics,
    appenders,
    health: new ProviderHealth({ clock: systemClock, suspectMs }),
    clock: systemClock,
    bucketBudget: new ByteBudget({ name: 'buckets', capacityBytes: bucketBudgetBytes, waitMs: budgetWaitMs, metrics }),
    wrapProvider,
  };
}

function emptyFleet({ limits, metrics, log }: FleetSetting, health: ProviderHealth): Fleet {
  return new Fleet({ members: [], health, lostAfterMs: limits.lostAfterMs, clock: systemClock, metrics, log });
}
