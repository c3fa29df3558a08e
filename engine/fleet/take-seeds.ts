import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { ProviderId } from '../../core/model.ts';
import type { ProviderSettings } from '../../core/provider-settings.ts';
import type { FleetRoll, KeptProvider } from './fleet-roll.ts';
import { followDirectory } from './follow-directory.ts';
import { createRecord, listDifferences } from './provider-record.ts';

export interface SeedingParts {
  readonly roll: FleetRoll;
  /** Who holds shards. */
  readonly holders: ReadonlySet<ProviderId>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Takes in what the configuration names and the fleet does not know yet, unless it was removed, and says where the
 * configuration is not as the fleet.
 *
 * @param isDefault whether nobody configured these: then they are for a store without any provider only
 */
export async function takeSeeds(
  seeds: readonly ProviderSettings[],
  { roll, holders, clock, log }: SeedingParts,
  isDefault: boolean,
): Promise<void> {
  const isEmpty = roll.entries.length === 0;
  const removed = await roll.readRemoved();
  for (const seed of seeds) {
    const id = seed.id as ProviderId;
    if (roll.has(id)) await compareSeed(roll.find(id), seed, { roll, log, isDefault });
    else if (removed.has(id)) {
      log.warn({ provider: id }, 'a provider that the configuration names was removed from the fleet, and stays out');
    } else if (!isDefault || isEmpty) {
      // What holds shards was in use before the store knew of providers.
      await roll.enrol(createRecord(seed, holders.has(id) ? 'active' : 'joining', clock.now()));
    }
  }
}

/** Says where the configuration is not as the store; follows a directory that was moved and bears the provider's id there. */
async function compareSeed(
  entry: KeptProvider,
  seed: ProviderSettings,
  { roll, log, isDefault }: { roll: FleetRoll; log: Log; isDefault: boolean },
): Promise<void> {
  const { record } = entry;
  const configured = createRecord(seed, record.state, record.stateSinceMs);
  const moved = await followDirectory(record, configured);
  if (moved !== record) {
    await roll.put(entry, moved);
    log.info({ provider: record.id, location: moved.location }, 'a directory was moved, and is used where it is now');
  }
  // Nobody said what the defaults are, so nobody needs to be told.
  const differences = isDefault ? [] : listDifferences(entry.record, configured);
  if (differences.length === 0) return;
  log.warn(
    { provider: record.id, differences },
    'the configuration is not what the fleet goes by: change it with holdfast admin provider set, or change the file',
  );
}
