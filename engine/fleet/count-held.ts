import type { ProviderId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';

/** What a provider holds of live stripes. */
export interface HeldShards {
  shards: number;
  /** Estimated: all shards of a stripe are taken to be of one length. */
  bytes: number;
}

/** What each provider holds, by how the stripes lie. Those that hold nothing are left out. */
export function countHeld(placements: readonly Placement[]): Map<ProviderId, HeldShards> {
  const held = new Map<ProviderId, HeldShards>();
  for (const { providers, stripes, storedBytes, shardCount } of placements) {
    for (const id of providers) {
      const sum = held.get(id) ?? { shards: 0, bytes: 0 };
      sum.shards += stripes;
      sum.bytes += shardCount > 0 ? storedBytes / shardCount : 0;
      held.set(id, sum);
    }
  }
  return held;
}
