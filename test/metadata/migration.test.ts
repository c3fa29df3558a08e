import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { silentLog } from '../../core/log.ts';
import type { ProviderId } from '../../core/model.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { fillPlacements } from '../../metadata/sqlite/fill-placements.ts';
import { NameTable } from '../../metadata/sqlite/name-table.ts';
import { migrate, migrations } from '../../metadata/sqlite/schema.ts';
import { encodeShards, headsOfShards } from '../../metadata/sqlite/shard-codec.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { encodeStripeId } from '../../metadata/sqlite/stripe-id.ts';
import { checkPlacementTables } from './check-placement-tables.ts';
import { countPlacements, withoutIds } from './count-placements.ts';
import { bucketName, createClock, newStripe, ownerId, placeShard, providerRecord } from './metadata-fixtures.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-migration-'));
  path = join(folder, 'metadata.db');
});
afterEach(() => rm(folder, { recursive: true }));

/** A file of schema step 1 with a version for each live stripe. */
function writeFirstSchema(live: readonly NewStripe[], freed: readonly NewStripe[]): void {
  const db = new Database(path);
  migrate(db, migrations.slice(0, 1));
  const names = new NameTable({ db });
  const insert = db.prepare('INSERT INTO stripes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const addCid = db.prepare('INSERT INTO shard_cids VALUES (?, ?)');
  const refer = db.prepare('INSERT INTO stripe_refs VALUES (?, ?, 1, 4096)');
  db.transaction(() => {
    db.prepare("INSERT INTO buckets VALUES (1, ?, ?, 'us-east-1', 1, 'unversioned')").run(bucketName, ownerId);
    for (const [index, stripe] of [...live, ...freed].entries()) {
      const { k, m, blockBytes, dataBytes, manifestBytes, shardCount, storedBytes } = stripe;
      const id = encodeStripeId(stripe.id);
      const shards = encodeShards(stripe, names);
      const cut = [names.numberOf(stripe.profileName), k, m, blockBytes, dataBytes, manifestBytes];
      const isLive = index < live.length;
      const counts = [shardCount, stripe.shards.length, storedBytes, isLive ? 4096 : 0];
      insert.run(id, ...cut, ...counts, isLive ? null : 1000, shards);
      for (const head of headsOfShards(shards)) addCid.run(head, id);
      if (isLive) refer.run(id, 1);
    }
  })();
  db.close();
}

function open(): Promise<MetadataStore> {
  return openSqliteStore({ path, clock: createClock(), log: silentLog });
}

function spread(count: number): NewStripe[] {
  return Array.from({ length: count }, (_, number) => {
    const stripe = newStripe();
    const shards = stripe.shards.map(({ index }) => placeShard(stripe.id, index, `p${(index + number) % 9}`));
    return { ...stripe, shards };
  });
}

describe('a metadata file of the first schema', () => {
  it('has its stripes counted by where they lie', async () => {
    const live = [...spread(30), newStripe({ placed: 5 }), { ...newStripe(), profileName: 'OTHER' }];
    const freed = [newStripe(), { ...newStripe(), shards: [placeShard(newStripe().id, 0, 'only-freed')] }];
    writeFirstSchema(live, freed);
    const beforeMs = Date.now();
    const store = await open();
    const placements = await store.listPlacements();
    assert.deepEqual(withoutIds(placements), countPlacements(live));
    for (const { id, stripes } of placements) {
      assert.equal((await store.listPlacedStripes(id, undefined, 100)).length, stripes);
    }
    const since = await store.findOldestDegradedMs();
    assert.ok(since !== undefined && since >= beforeMs && since <= Date.now());

    for (const id of ['p8', 'only-freed', 'unused']) await store.putProvider(providerRecord(id));
    await assert.rejects(store.forgetProvider('p8' as ProviderId));
    await assert.rejects(store.forgetProvider('only-freed' as ProviderId));
    await store.forgetProvider('unused' as ProviderId);
    await store.forgetStripe(freed[1]!.id);
    await store.forgetProvider('only-freed' as ProviderId);
    await store.loseShard(live[0]!.id, live[0]!.shards[0]!);
    const less = { ...live[0]!, shards: live[0]!.shards.slice(1) };
    assert.deepEqual(withoutIds(await store.listPlacements()), countPlacements([less, ...live.slice(1)]));
    await store.close();
  });

  it('has them counted a few at a time as all at once', () => {
    const [live, freed] = [[...spread(20), newStripe({ placed: 4 })], [newStripe()]];
    writeFirstSchema(live, freed);
    for (const stripesAtOnce of [1, 4, 21, 22, 23]) {
      const db = new Database(path);
      migrate(db);
      db.transaction(() => {
        db.exec('DELETE FROM placements; DELETE FROM leftovers; UPDATE stripes SET placement = NULL');
        fillPlacements(db, 1, stripesAtOnce);
      })();
      db.close();
      checkPlacementTables(path);
    }
  });

  it('has buckets without a profile, which take one', async () => {
    writeFirstSchema([], []);
    const store = await open();
    const bucket = await store.findBucket(bucketName);
    assert.deepEqual([bucket?.name, bucket?.profileName, bucket?.etags], [bucketName, undefined, undefined]);
    await store.setBucketProfile(bucketName, 'STANDARD_IA');
    await store.setBucketETags(bucketName, 'opaque');
    await store.close();
    const again = await open();
    const changed = await again.findBucket(bucketName);
    assert.deepEqual([changed?.profileName, changed?.etags], ['STANDARD_IA', 'opaque']);
    await again.close();
  });

  it('is kept from the eyes of others from then on', async () => {
    writeFirstSchema([], []);
    await chmod(path, 0o644);
    const store = await open();
    await store.putProvider(providerRecord('p1'));
    for (const file of [path, `${path}-wal`]) assert.equal((await stat(file)).mode & 0o777, 0o600, file);
    await store.close();
  });
});

it('a new metadata file is for its owner alone', async () => {
  const umask = process.umask(0);
  try {
    const store = await open();
    for (const file of [path, `${path}-wal`]) assert.equal((await stat(file)).mode & 0o777, 0o600, file);
    await store.close();
  } finally {
    process.umask(umask);
  }
});
