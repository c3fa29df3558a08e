import { providerIds, providerPath } from '../harness/shard-files.ts';

/** Three of the six: with 2+1 shards a start has half as much to open, and every step is taken all the same. */
export const crashProviderIds = providerIds.slice(0, 3);
export const crashProfile = { k: 2, m: 1 };

/**
 * A gateway whose upkeep is always at it, so that kills strike it too, and whose thresholds are so low that little data make
 * everything happen: shards of 16 KiB are files already, and packs are compacted when they are 50 ms old.
 */
export function crashConfiguration(dataDir: string): unknown {
  return {
    providers: crashProviderIds.map((id) => ({
      id,
      kind: 'directory',
      path: providerPath(dataDir, id),
      segmentShardBytes: 16 * 1024,
    })),
    profiles: { STANDARD: crashProfile },
    limits: { freedGraceMs: 100, upkeepIntervalMs: 20, compactAgeMs: 50, journalIntervalMs: 50, snapshotBatches: 8 },
  };
}
