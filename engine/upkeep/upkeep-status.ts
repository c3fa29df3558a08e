import type { EngineParts } from '../engine-parts.ts';
import type { MarginCount } from './redundancy.ts';
import type { OwnersBelow, RedundancyCounter, RepairBacklog } from './redundancy-counter.ts';

/** What an operator wants to know of the data's redundancy. */
export interface UpkeepStatus {
  readonly atMs: number;
  /** All live stripes, by how many further shards they can lose: the best first. */
  readonly margins: readonly MarginCount[];
  /** Versions of objects, those that are delete markers included. */
  readonly versions: number;
  /** Who lives below the full margin; absent until the first count is done. */
  readonly below?: OwnersBelow;
  readonly backlog: RepairBacklog;
  /** Bytes of lost shards that repair rebuilds in a second, as measured; absent where it has not been. */
  readonly repairBytesPerS?: number;
  /** The part of its rates at which upkeep works, since clients come first. */
  readonly rateFactor: number;
  /** When the shard was read whole that scrub has not read for longest; absent where there is no scrub, or nothing to read. */
  readonly oldestUnscrubbedMs?: number;
}

export interface StatusParts {
  readonly parts: EngineParts;
  readonly counter: RedundancyCounter;
  readonly repairBytesPerS: number | undefined;
  readonly oldestUnscrubbedMs: number | undefined;
}

export async function readStatus({
  parts: { metadata, clock, clientLoad },
  counter,
  repairBytesPerS,
  oldestUnscrubbedMs,
}: StatusParts): Promise<UpkeepStatus> {
  const { versions } = await metadata.countUsage();
  const { margins, backlog } = await counter.countStripes();
  const below = counter.owners;
  return {
    atMs: clock.now(),
    margins,
    versions,
    ...(below && { below }),
    backlog,
    ...(repairBytesPerS !== undefined && { repairBytesPerS }),
    rateFactor: clientLoad.lastFactor,
    ...(oldestUnscrubbedMs !== undefined && { oldestUnscrubbedMs }),
  };
}
