import type { Database } from 'better-sqlite3';
import { holdersOfShards, placesOfShards } from './shard-codec.ts';

const stripesPlaced = 'CREATE INDEX stripes_placed ON stripes (placement, id) WHERE freed_ms IS NULL';

/**
 * Derives from all stripes how they lie on the providers: `placements`, `stripes.placement`, `leftovers`, and since when a stripe has
 * lacked a shard where that is not known: since `nowMs`. For a store that has none of it yet. A million stripes take some seconds.
 */
export function fillPlacements(db: Database, nowMs: number): void {
  db.function('holders_of', { deterministic: true }, (shards) => holdersOfShards(shards as Buffer));
  db.exec(`
    DROP INDEX IF EXISTS stripes_placed;
    INSERT INTO placements (profile, k, m, shard_count, holders, stripes, stored_bytes)
    SELECT profile, k, m, shard_count, holders_of(shards) AS holders, count(*), sum(stored_bytes)
    FROM stripes WHERE freed_ms IS NULL GROUP BY profile, k, m, shard_count, holders ORDER BY min(id);
    UPDATE stripes SET
      placement = (
        SELECT placements.id FROM placements
        WHERE placements.profile = stripes.profile AND placements.k = stripes.k AND placements.m = stripes.m
          AND placements.shard_count = stripes.shard_count AND holders = holders_of(shards)),
      degraded_ms = CASE WHEN placed_count < shard_count THEN coalesce(degraded_ms, ${nowMs}) END
    WHERE freed_ms IS NULL;
    ${stripesPlaced}`);
  fillLeftovers(db);
}

function fillLeftovers(db: Database): void {
  const rows = db.prepare<[], { shards: Buffer; isFreed: number }>(`
    SELECT shards, freed_ms IS NOT NULL AS isFreed FROM stripes WHERE freed_ms IS NOT NULL
    UNION ALL
    SELECT shards, 0 FROM stripes INDEXED BY stripes_degraded WHERE placed_count < shard_count AND freed_ms IS NULL`);
  const counts = new Map<number, number>();
  for (const { shards, isFreed } of rows.iterate()) {
    for (const { isGood, provider } of placesOfShards(shards)) {
      if (isFreed || !isGood) counts.set(provider, (counts.get(provider) ?? 0) + 1);
    }
  }
  const insert = db.prepare<[number, number]>('INSERT INTO leftovers VALUES (?, ?)');
  for (const [provider, shards] of counts) insert.run(provider, shards);
}
