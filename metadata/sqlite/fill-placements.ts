import type { Database } from 'better-sqlite3';
import { holdersOfShards, placesOfShards } from './shard-codec.ts';
import { stripeIdBytes } from './stripe-id.ts';

const stripesPlaced = 'CREATE INDEX stripes_placed ON stripes (placement, id) WHERE freed_ms IS NULL';

interface Found {
  readonly id: number;
  readonly profile: number;
  readonly k: number;
  readonly m: number;
  readonly shardCount: number;
  readonly holders: Buffer;
  stripes: number;
  storedBytes: number;
}

/**
 * Derives from all stripes how they lie on the providers: `placements`, `stripes.placement`, `leftovers`, and since when a stripe has
 * lacked a shard where that is not known: since `nowMs`. For a store that has none of it yet. In one pass over the stripes, since there
 * may be millions.
 */
export function fillPlacements(db: Database, nowMs: number, stripesAtOnce = 50_000): void {
  const found = new Map<string, Found>();
  const countStripe = (shards: Buffer, profile: number, k: number, m: number, shardCount: number, bytes: number) => {
    const holders = holdersOfShards(shards);
    const key = `${profile} ${k} ${m} ${shardCount} ${holders.toString('latin1')}`;
    let placement = found.get(key);
    if (!placement) {
      placement = { id: found.size + 1, profile, k, m, shardCount, holders, stripes: 0, storedBytes: 0 };
      found.set(key, placement);
    }
    placement.stripes += 1;
    placement.storedBytes += bytes;
    return placement.id;
  };
  db.function('count_stripe', countStripe as (...values: unknown[]) => number);
  db.exec('DROP INDEX IF EXISTS stripes_placed');
  const changes = updateLive(
    db,
    `placement = count_stripe(shards, profile, k, m, shard_count, stored_bytes),
    degraded_ms = CASE WHEN placed_count < shard_count THEN coalesce(degraded_ms, ${nowMs}) END`,
    stripesAtOnce,
  );
  db.exec(stripesPlaced);
  const insert = db.prepare('INSERT INTO placements VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  let counted = 0;
  for (const { id, profile, k, m, shardCount, holders, stripes, storedBytes } of found.values()) {
    insert.run(id, profile, k, m, shardCount, holders, stripes, storedBytes);
    counted += stripes;
  }
  // SQLite does not promise to call the function once a row.
  if (counted !== changes) throw new Error(`${changes} stripes were counted as ${counted}`);
  fillLeftovers(db);
}

/** Returns how many live stripes there are. SQLite lists in memory what one statement is to change, so each takes so many. */
function updateLive(db: Database, assignments: string, stripesAtOnce: number): number {
  const findLast = db.prepare<[Buffer, number], Buffer>(
    'SELECT id FROM stripes WHERE id > +? ORDER BY id LIMIT 1 OFFSET +?',
  );
  const update = db.prepare<[Buffer, Buffer]>(`
    UPDATE stripes SET ${assignments} WHERE id > +? AND id <= +? AND freed_ms IS NULL`);
  let changes = 0;
  let last: Buffer = Buffer.alloc(0);
  for (let isDone = false; !isDone; ) {
    const next = findLast.pluck().get(last, stripesAtOnce - 1) as Buffer | undefined;
    isDone = next === undefined;
    const end = next ?? Buffer.alloc(stripeIdBytes, 0xff);
    changes += update.run(last, end).changes;
    last = end;
  }
  return changes;
}

function fillLeftovers(db: Database): void {
  const rows = db.prepare<[], { shards: Buffer; isFreed: number }>(`
    SELECT shards, 1 AS isFreed FROM stripes INDEXED BY stripes_freed WHERE freed_ms IS NOT NULL
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
