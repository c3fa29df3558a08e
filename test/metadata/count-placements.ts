import type { Placement } from '../../metadata/fleet-store.ts';
import type { NewStripe } from '../../metadata/metadata-store.ts';

/** Placements as plain data in an order of their own: two stores that hold the same give them other ids. */
export function withoutIds(placements: readonly Placement[]): Omit<Placement, 'id'>[] {
  const keyOf = ({ profileName, k, m, shardCount, providers }: Omit<Placement, 'id'>) =>
    [profileName, k, m, shardCount, ...providers].join(' ');
  return placements.map(({ id: _, ...placement }) => placement).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

/** What `listPlacements` must come to for these live stripes: a full count. */
export function countPlacements(stripes: readonly NewStripe[]): Omit<Placement, 'id'>[] {
  const counted = new Map<string, Placement>();
  for (const { profileName, k, m, shardCount, storedBytes, shards } of stripes) {
    const providers = shards.map(({ providerId }) => providerId).sort();
    const key = [profileName, k, m, shardCount, ...providers].join(' ');
    const before = counted.get(key);
    counted.set(key, {
      ...{ id: 0, profileName, k, m, shardCount, providers },
      stripes: (before?.stripes ?? 0) + 1,
      storedBytes: (before?.storedBytes ?? 0) + storedBytes,
    });
  }
  return withoutIds([...counted.values()]);
}
