import assert from 'node:assert/strict';
import Database from 'better-sqlite3';
import { NameTable } from '../../metadata/sqlite/name-table.ts';
import { decodeHolders, decodeShards } from '../../metadata/sqlite/shard-codec.ts';
import type { StripeRow } from '../../metadata/sqlite/stripe-row.ts';

type PlacementRow = Pick<StripeRow, 'profile' | 'k' | 'm' | 'shard_count' | 'stored_bytes'> & {
  readonly id: number;
  readonly holders: Buffer;
  readonly stripes: number;
};

/** Compares what a closed metadata file has counted of its stripes' places with a full count of its rows. */
export function checkPlacementTables(path: string): void {
  const db = new Database(path);
  try {
    const names = new NameTable({ db });
    const placements = new Map<number, string>();
    for (const row of db.prepare<[], PlacementRow>('SELECT * FROM placements').all()) {
      const holders = decodeHolders(row.holders).map((number) => names.nameOf(number));
      placements.set(row.id, describe(row, holders, row.stripes, row.stored_bytes));
    }
    const counted = new Map<number, { row: StripeRow; holders: string[]; stripes: number; bytes: number }>();
    const leftovers = new Map<string, number>();
    for (const row of db.prepare<[], StripeRow>('SELECT * FROM stripes').all()) {
      const { shards, lostShards = [] } = decodeShards(row.shards, names);
      const isLive = row.freed_ms === null;
      for (const { providerId } of isLive ? lostShards : [...shards, ...lostShards]) {
        leftovers.set(providerId, (leftovers.get(providerId) ?? 0) + 1);
      }
      assert.equal(row.placed_count, shards.length);
      if (!isLive) continue;
      assert.equal(row.degraded_ms !== null, row.placed_count < row.shard_count);
      const holders = shards.map(({ providerId }) => providerId as string);
      const before = counted.get(row.placement!) ?? { row, holders, stripes: 0, bytes: 0 };
      assert.deepEqual(before.holders.toSorted(), holders.toSorted());
      counted.set(row.placement!, { ...before, stripes: before.stripes + 1, bytes: before.bytes + row.stored_bytes });
    }
    const expected = [...counted].map(([id, each]) => {
      return [id, describe(each.row, each.holders, each.stripes, each.bytes)] as const;
    });
    assert.deepEqual(placements, new Map(expected.sort(([a], [b]) => a - b)));
    const saved = db.prepare<[], { name: string; shards: number }>(
      'SELECT name, shards FROM leftovers JOIN names ON names.id = provider ORDER BY name',
    );
    assert.deepEqual(
      saved.all().map(({ name, shards }) => [name, shards]),
      [...leftovers].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  } finally {
    db.close();
  }
}

function describe(
  { profile, k, m, shard_count }: Pick<PlacementRow, 'profile' | 'k' | 'm' | 'shard_count'>,
  holders: readonly string[],
  stripes: number,
  bytes: number,
): string {
  return `${profile} ${k}+${m} ${shard_count} at ${holders.toSorted().join()}: ${stripes} stripes, ${bytes} bytes`;
}
