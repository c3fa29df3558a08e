import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { silentLog } from '../../core/log.ts';
import { openDatabase } from '../../metadata/sqlite/open-database.ts';
import { migrate, migrations } from '../../metadata/sqlite/schema.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { checkPlacementTables } from './check-placement-tables.ts';
import {
  bucketName,
  createBucket,
  createClock,
  extentsIn,
  newStripe,
  ownerId,
  partRequest,
  providerRecord,
  putRequest,
  uploadOf,
} from './metadata-fixtures.ts';
import { anyStep } from './model-steps.ts';
import { ModelWalk } from './model-walk.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-metadata-'));
  path = join(folder, 'metadata.db');
});
afterEach(() => rm(folder, { recursive: true }));

describe('the metadata file', () => {
  it('is not waited for by reads of what a commit on its way to the disk has not changed, and by all others', async () => {
    await using stack = new AsyncDisposableStack();
    const store = await openSqliteStore({ path, clock: createClock(), log: silentLog });
    stack.defer(() => store.close());
    await createBucket(store);
    const stripe = newStripe();
    await store.putVersion(putRequest('hot', { stripes: [stripe] }));
    await store.findVersion(bucketName, 'hot');
    await store.findStripes([stripe.id]);
    const order: string[] = [];
    const note = (name: string, work: Promise<unknown>): Promise<void> => work.then(() => void order.push(name));
    /** Which reads are answered before the write is; each is asked when the write was committed and not flushed. */
    const readDuring = async (write: Promise<unknown>, reads: Record<string, () => Promise<unknown>>) => {
      order.length = 0;
      const written = note('written', write);
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all([written, ...Object.entries(reads).map(([name, read]) => note(name, read()))]);
      return order.slice(0, order.indexOf('written'));
    };
    const reads = {
      bucket: () => store.findBucket(bucketName),
      hot: () => store.findVersion(bucketName, 'hot'),
      cold: () => store.findVersion(bucketName, 'cold'),
      stripe: () => store.findStripes([stripe.id]),
      list: () => store.listObjects({ bucket: bucketName, limit: 1 }),
    };
    assert.deepEqual(await readDuring(store.putVersion(putRequest('cold')), reads), ['bucket', 'hot', 'stripe']);
    assert.deepEqual(await readDuring(store.putVersion(putRequest('hot')), reads), ['bucket', 'cold', 'stripe']);
    await store.findVersion(bucketName, 'hot');
    const changes = [
      () => store.setVersioning(bucketName, 'enabled'),
      () => store.setBucketProfile(bucketName, 'WIDE'),
      () => store.setBucketETags(bucketName, 'opaque'),
    ];
    for (const change of changes) assert.deepEqual(await readDuring(change(), reads), ['stripe'], String(change));
    const other = { name: 'other', ownerId, region: 'here', createdAtMs: 1 };
    assert.deepEqual(
      await readDuring(store.createBucket(other), { ...reads, other: () => store.findBucket('other') }),
      ['bucket', 'hot', 'cold', 'stripe'],
    );
    assert.equal((await store.findBucket('other'))?.name, 'other');
  });

  it('holds everything when it is opened again', async () => {
    const clock = createClock();
    const first = await openSqliteStore({ path, clock, log: silentLog });
    await createBucket(first, 'enabled');
    const upload = uploadOf('big', 'upload-1');
    await first.createUpload(upload);
    await first.putPart(partRequest(upload, 1, { stripes: [newStripe()] }));
    const stripe = newStripe({ placed: 5 });
    const version = await first.putVersion(putRequest('key', { stripes: [stripe] }));
    const request = { bucket: bucketName, key: 'key', ownerId, nowMs: 1 };
    await first.deleteVersion(request);
    await first.loseShard(stripe.id, stripe.shards[1]!);
    await first.putProvider(providerRecord('p1'));
    const [usage, placements] = [await first.countUsage(), await first.listPlacements()];
    await first.close();

    clock.nowMs = 0;
    const second = await openSqliteStore({ path, clock, log: silentLog });
    assert.deepEqual(
      { ...(await second.findVersion(bucketName, 'key', version.versionId)) },
      { ...version, isLatest: false },
    );
    const found = (await second.findStripes([stripe.id])).get(stripe.id);
    assert.deepEqual(
      [found?.shards, found?.lostShards],
      [stripe.shards.filter(({ index }) => index !== 1), [stripe.shards[1]]],
    );
    assert.deepEqual(await second.listPlacements(), placements);
    assert.deepEqual(await second.listProviders(), [providerRecord('p1')]);
    assert.equal((await second.listParts(bucketName, 'big', 'upload-1')).parts.length, 1);
    assert.deepEqual(await second.countUsage(), usage);
    // Though the clock now stands at the epoch.
    const newest = await second.putVersion(putRequest('key'));
    const { versions } = await second.listVersions({ bucket: bucketName, limit: 1 });
    assert.equal(versions[0]?.versionId, newest.versionId);
    await second.recordShard(stripe.id, stripe.shards[1]!);
    await second.close();
    checkPlacementTables(path);
  });

  it('holds no row of what was deleted and forgotten', async () => {
    const clock = createClock();
    const store = await openSqliteStore({ path, clock, log: silentLog });
    await createBucket(store, 'enabled');
    const upload = uploadOf('big', 'upload-1');
    await store.createUpload(upload);
    for (const partNumber of [1, 2, 2])
      await store.putPart(partRequest(upload, partNumber, { stripes: [newStripe()] }));
    const parts = [{ partNumber: 1, etag: 'etag-1' }];
    await store.completeUpload({
      bucket: bucketName,
      key: 'big',
      uploadId: 'upload-1',
      parts,
      etag: 'e',
      modifiedAtMs: 1,
    });
    await store.createUpload(uploadOf('big', 'upload-2'));
    await store.putPart(partRequest(uploadOf('big', 'upload-2'), 1, { stripes: [newStripe()] }));
    const stripe = newStripe();
    await store.putVersion(putRequest('key', { stripes: [stripe] }));
    await store.recordShard(stripe.id, { ...stripe.shards[0]!, cid: newStripe().shards[0]!.cid });
    await store.deleteVersion({ bucket: bucketName, key: 'key', ownerId, nowMs: 1 });

    const { versions } = await store.listVersions({ bucket: bucketName, limit: 1000 });
    for (const { key, versionId } of versions) {
      await store.deleteVersion({ bucket: bucketName, key, versionId, ownerId, nowMs: 1 });
    }
    await store.deleteBucket(bucketName);
    for (const { id } of await store.listFreedStripes(clock.nowMs + 1, 1000)) await store.forgetStripe(id);
    await store.forgetCompletions(clock.nowMs + 1);
    const stripes = { liveStripes: 0, freedStripes: 0, degradedStripes: 0, storedBytes: 0, neededBytes: 0 };
    assert.deepEqual(await store.countUsage(), { buckets: 0, versions: 0, ...stripes });
    await store.close();

    const db = new Database(path);
    for (const table of [
      'buckets',
      'versions',
      'uploads',
      'parts',
      'stripes',
      'stripe_refs',
      'shard_cids',
      'placements',
      'leftovers',
    ]) {
      assert.equal(db.prepare(`SELECT count(*) FROM ${table}`).pluck().get(), 0, table);
    }
    db.close();
  });

  it('holds what random walks did, through any number of openings', async () => {
    const openings = fc.array(fc.array(anyStep, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 5 });
    const property = fc.asyncProperty(openings, async (all) => {
      const clock = createClock();
      let store = await openSqliteStore({ path, clock, log: silentLog });
      await createBucket(store);
      const walk = new ModelWalk(store);
      for (const steps of all) {
        for (const step of steps) await walk.take(step);
        await store.close();
        checkPlacementTables(path);
        store = await openSqliteStore({ path, clock, log: silentLog });
        walk.moveTo(store);
        await walk.checkWhole();
      }
      await store.close();
      await rm(path);
    });
    await fc.assert(property, { numRuns: 5 });
  });

  it('keeps what was acknowledged when the process is killed', async () => {
    const script = join(import.meta.dirname, 'write-until-killed.ts');
    const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const acknowledged: string[] = [];
    for await (const key of createInterface({ input: child.stdout })) {
      acknowledged.push(key);
      if (acknowledged.length === 200) child.kill('SIGKILL');
    }
    assert.ok(acknowledged.length >= 200);
    const store = await openSqliteStore({ path, clock: createClock(), log: silentLog });
    for (const key of acknowledged) {
      const version = await store.findVersion(bucketName, key);
      assert.ok(version?.kind === 'object', key);
      assert.equal((await store.findStripes(extentsIn(version).map(({ stripeId }) => stripeId))).size, 1);
    }
    await store.close();
    checkPlacementTables(path);
  });

  it('has a log that is flushed beside the event loop', () => {
    const db = openDatabase(path, silentLog);
    const pragma = (name: string) => db.pragma(name, { simple: true });
    assert.equal(pragma('journal_mode'), 'wal');
    assert.equal(pragma('synchronous'), 1, 'a commit does not wait for the disk: the write queue does');
    assert.equal(pragma('user_version'), migrations.length);
    db.close();
  });

  it('is refused while another has it open', async () => {
    const first = await openSqliteStore({ path, clock: createClock(), log: silentLog });
    await createBucket(first);
    const second = new Database(path, { timeout: 0 });
    assert.throws(() => second.prepare('SELECT * FROM buckets').all(), /locked/);
    second.close();
    await first.close();
  });

  it('is refused when a newer version wrote it, and left as it is', async () => {
    const db = openDatabase(path, silentLog);
    db.pragma(`user_version = ${migrations.length + 1}`);
    db.close();
    const open = openSqliteStore({ path, clock: createClock(), log: silentLog });
    await assert.rejects(open, new RegExp(`schema version ${migrations.length + 1}.*knows only ${migrations.length}`));
    const after = new Database(path);
    assert.equal(after.pragma('user_version', { simple: true }), migrations.length + 1);
    after.close();
  });

  it('is refused when it has the layout from before encryption, or is a half of an import', async () => {
    const open = () => openSqliteStore({ path, clock: createClock(), log: silentLog });
    const db = openDatabase(path, silentLog);
    db.pragma(`application_id = ${0x48464d44}`);
    db.close();
    await assert.rejects(open, /did not encrypt yet/);
    await rm(path);
    const store = await open();
    await store.importRecords([{ kind: 'setting', key: 'colour', value: 'green' }]);
    await store.close();
    await assert.rejects(open, /import.*never finished/);
  });

  it('holds an import once it is finished, and is written through to the disk again', async () => {
    const clock = createClock();
    const first = await openSqliteStore({ path, clock, log: silentLog });
    await first.importRecords([{ kind: 'setting', key: 'colour', value: 'green' }]);
    await first.finishImport();
    await createBucket(first);
    await first.close();
    const second = await openSqliteStore({ path, clock, log: silentLog });
    assert.equal(await second.findSetting('colour'), 'green');
    assert.ok(await second.findBucket(bucketName));
    await second.close();
  });

  it('keeps numbers rising that were drawn and not used before it was closed, though the clock is set back', async () => {
    const clock = createClock();
    const first = await openSqliteStore({ path, clock, log: silentLog });
    await createBucket(first);
    await first.putVersion(putRequest('key', { number: first.drawNumber() }));
    clock.nowMs += 10_000;
    const drawn = first.drawNumber();
    await first.close();
    clock.nowMs = 0;
    const second = await openSqliteStore({ path, clock, log: silentLog });
    assert.ok(second.drawNumber() > drawn);
    await second.close();
  });

  it('is refused when it is the database of another program, or none', async () => {
    const db = new Database(path);
    db.exec('CREATE TABLE recipes (name TEXT)');
    db.close();
    const open = () => openSqliteStore({ path, clock: createClock(), log: silentLog });
    await assert.rejects(open, /not a metadata database/);
    await writeFile(path, 'x'.repeat(8192));
    await assert.rejects(open, /not a database/);
  });
});

describe('migrations', () => {
  const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y; CREATE TABLE b (x)', 'INSERT INTO a VALUES (1, 2)'];
  const version = (db: Database.Database) => db.pragma('user_version', { simple: true });

  it('run from nothing, and only those that are missing', () => {
    const db = new Database(path);
    assert.equal(migrate(db, steps.slice(0, 1)), 0);
    assert.equal(version(db), 1);
    assert.equal(migrate(db, steps), 1);
    assert.equal(migrate(db, steps), 3);
    assert.deepEqual(db.prepare('SELECT * FROM a').all(), [{ x: 1, y: 2 }]);
    db.close();
  });

  it('leave nothing of a step that fails', () => {
    const db = new Database(path);
    assert.throws(() => migrate(db, [steps[0]!, 'CREATE TABLE b (x); CREATE TABLE a (x)']), /already exists/);
    assert.equal(version(db), 1);
    assert.equal(db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'b'").pluck().get(), 0);
    migrate(db, steps);
    assert.equal(version(db), 3);
    db.close();
  });
});
