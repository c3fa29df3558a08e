import { providerIds, providerPath } from '../harness/shard-files.ts';

/**
 * A gateway whose upkeep is always at it, so that kills strike it too, and whose thresholds are so low that little data make
 * everything happen: shards of 16 KiB are files already, and packs are compacted when they are 50 ms old.
 */
export function crashConfiguration(dataDir: string): unknown {
  return {
    providers: providerIds.map((id) => ({
      id,
      kind: 'directory',
      path: providerPath(dataDir, id),
      segmentShardBytes: 16 * 1024,
    })),
    limits: { freedGraceMs: 100, upkeepIntervalMs: 20, compactAgeMs: 50, journalIntervalMs: 50, snapshotBatches: 8 },
  };
}
