import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import type { MetadataRecord } from '../../metadata/record-store.ts';
import {
  bucketName,
  createBucket,
  createClock,
  extentsOf,
  freedStripes,
  type MakeStore,
  newStripe,
  ownerId,
  partRequest,
  putRequest,
  spansOf,
  uploadOf,
  withStore,
} from './metadata-fixtures.ts';

type Records = readonly MetadataRecord[];

/** The changes so far, which are forgotten. */
async function takeChanges(store: MetadataStore): Promise<Records> {
  const { records, mark } = await store.readChanges();
  await store.forgetChanges(mark);
  return records;
}

/** Kinds and keys of records, those that are gone with a minus; without the last number. */
function named(records: Records): string[] {
  const rows = records.filter(({ key }) => key !== 'last-number');
  return rows.map(({ kind, key, value }) => `${value === null ? '-' : ''}${kind} ${key}`).sort();
}

async function readAll(store: MetadataStore, limit = 1000): Promise<MetadataRecord[]> {
  const all: MetadataRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await store.readRecords(cursor, limit);
    all.push(...page.records);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}

export function testRecords(make: MakeStore): void {
  describe('numbers', () => {
    it(
      'are drawn once, always rising, and known once a version, an upload or a part has them',
      withStore(make, async (store, clock) => {
        await createBucket(store, 'enabled');
        const drawn = [1, 2, 3].map(() => store.drawNumber());
        clock.nowMs = 0;
        drawn.push(store.drawNumber());
        assert.deepEqual(
          drawn,
          [...new Set(drawn)].sort((a, b) => a - b),
        );
        const version = await store.putVersion(putRequest('key', { number: drawn[1]! }));
        await store.createUpload(uploadOf('big', 'u'));
        await store.putPart({ ...partRequest(uploadOf('big', 'u'), 1, {}), number: drawn[0]! });
        assert.deepEqual(await store.knownNumbers(drawn), new Set([drawn[0], drawn[1]]));
        // Whoever recovers a version from its manifest names a number that this store never drew.
        const ahead = drawn[3]! + 1_000_000;
        await store.putVersion(putRequest('ahead', { number: ahead }));
        assert.ok(store.drawNumber() > ahead);

        const other = await make({ clock: createClock(0) });
        await createBucket(other.store, 'enabled');
        const again = await other.store.putVersion(putRequest('key', { number: drawn[1]! }));
        assert.equal(again.versionId, version.versionId);
        await other.cleanUp();
      }),
    );

    it(
      'are not drawn again when the write that they were drawn for is refused',
      withStore(make, async (store) => {
        await createBucket(store);
        const number = store.drawNumber();
        const condition = { kind: 'etag', etag: '*' } as const;
        await assert.rejects(store.putVersion(putRequest('key', { number, condition })));
        assert.ok(store.drawNumber() > number);
      }),
    );
  });

  describe('settings and system objects', () => {
    it(
      'are kept by name until they are replaced',
      withStore(make, async (store) => {
        assert.equal(await store.findSetting('colour'), undefined);
        await store.putSetting('colour', 'green');
        await store.putSetting('colour', 'grün');
        assert.equal(await store.findSetting('colour'), 'grün');

        const stripes = [1, 2, 3].map(() => ({ ...newStripe(), profileName: systemProfileName }));
        const put = (name: string, index: number) => {
          const stripe = stripes[index]!;
          const object = { name, number: store.drawNumber(), sizeBytes: index, spans: spansOf(extentsOf([stripe])) };
          return store.putSystemObject({ ...object, stripes: [stripe] }).then(() => object);
        };
        const first = await put('b', 0);
        const second = await put('a', 1);
        assert.deepEqual(await store.listSystemObjects(), [first, second]);
        const third = await put('b', 2);
        assert.deepEqual(await store.listSystemObjects(), [second, third]);
        assert.deepEqual(await freedStripes(store), [stripes[0]!.id]);
        assert.deepEqual(await store.listReferences(stripes[1]!.id), []);
        await store.deleteSystemObjects(['a', 'unknown', 'b']);
        assert.deepEqual(await store.listSystemObjects(), []);
        assert.equal((await freedStripes(store)).length, 3);
        assert.deepEqual(named(await takeChanges(store)), ['setting colour']);
        assert.deepEqual(named(await readAll(store)), ['setting colour']);
      }),
    );
  });

  testChanges(make);
  testImports(make);
}

function testChanges(make: MakeStore): void {
  describe('changes', () => {
    it(
      'name each row once, as it is now or as gone, and nothing twice once it was forgotten',
      withStore(make, async (store) => {
        assert.deepEqual((await store.readChanges()).records, []);
        await createBucket(store);
        assert.deepEqual(named(await takeChanges(store)), ['bucket 1', 'setting last-bucket-id']);
        await store.setBucketProfile(bucketName, 'STANDARD_IA');
        assert.deepEqual(named(await takeChanges(store)), ['bucket 1']);
        await store.setBucketETags(bucketName, 'opaque');
        assert.deepEqual(named(await takeChanges(store)), ['bucket 1']);
        const [one, two] = [newStripe(), newStripe()];
        const [first, second] = [putRequest('key', { stripes: [one] }), putRequest('key', { stripes: [two] })];
        await store.putVersion(first);
        assert.deepEqual(named(await takeChanges(store)), [`stripe ${one.id}`, `version ${first.number}`]);
        await store.setTags(bucketName, 'key', undefined, { a: 'b' });
        assert.deepEqual(named(await takeChanges(store)), [`version ${first.number}`]);
        await store.putVersion(second);
        assert.deepEqual(
          named((await store.readChanges()).records),
          [`-version ${first.number}`, `stripe ${one.id}`, `stripe ${two.id}`, `version ${second.number}`].sort(),
        );
        await store.forgetStripe(one.id);
        await store.recordShard(two.id, { ...two.shards[0]!, cid: newStripe().shards[0]!.cid });
        assert.deepEqual(
          named(await takeChanges(store)),
          [`-version ${first.number}`, `-stripe ${one.id}`, `stripe ${two.id}`, `version ${second.number}`].sort(),
        );
        await assert.rejects(store.putVersion(putRequest('key', { condition: { kind: 'absent' } })));
        assert.deepEqual(await takeChanges(store), []);
      }),
    );

    it(
      'name the parts that are gone with their upload, and the completions that were forgotten',
      withStore(make, async (store, clock) => {
        await createBucket(store);
        const upload = uploadOf('big', 'u');
        await store.createUpload(upload);
        for (const part of [1, 2]) await store.putPart(partRequest(upload, part, {}));
        const uploads = (await takeChanges(store)).filter(({ kind }) => kind === 'upload');
        const number = uploads[0]!.key;
        const parts = [{ partNumber: 1, etag: 'etag-1' }];
        const { bucket, key, uploadId } = upload;
        await store.completeUpload({ bucket, key, uploadId, parts, etag: 'w', modifiedAtMs: 1 });
        const gone = [`-part ${number}/1`, `-part ${number}/2`];
        assert.deepEqual(named(await takeChanges(store)), [...gone, `upload ${number}`, `version ${number}`]);
        await store.forgetCompletions(clock.nowMs + 1);
        assert.deepEqual(named(await takeChanges(store)), [`-upload ${number}`]);
      }),
    );

    it(
      'know nothing of a write that failed half-way, nor do live bytes',
      withStore(make, async (store) => {
        await createBucket(store);
        const [one, two] = [newStripe(), newStripe()];
        await store.putVersion(putRequest('a', { stripes: [one], number: 3001 }));
        await takeChanges(store);
        const before = await store.countUsage();
        // A number that is taken is found out last of all.
        const taken = putRequest('b', { stripes: [two], extents: extentsOf([one, two]), number: 3001 });
        const outcomes = await Promise.allSettled([
          store.putVersion(taken),
          store.setTags(bucketName, 'a', undefined, { a: 'b' }),
          store.putVersion(taken),
        ]);
        assert.deepEqual(
          outcomes.map(({ status }) => status),
          ['rejected', 'fulfilled', 'rejected'],
        );
        await assert.rejects(store.putVersion(taken));
        assert.deepEqual(await store.countUsage(), before);
        assert.deepEqual(named(await takeChanges(store)), ['version 3001']);
        await store.deleteVersion({ bucket: bucketName, key: 'a', ownerId, nowMs: 1 });
        assert.equal((await store.countUsage()).neededBytes, 0);
      }),
    );

    it(
      'forget what was read, and not what changed again since',
      withStore(make, async (store) => {
        await createBucket(store);
        await store.putVersion(putRequest('a', { number: 1001 }));
        await store.putVersion(putRequest('b', { number: 1002 }));
        const { mark } = await store.readChanges();
        await store.setTags(bucketName, 'a', undefined, { again: 'yes' });
        await store.forgetChanges(mark);
        const left = await store.readChanges();
        assert.deepEqual(named(left.records), ['version 1001']);
        await store.forgetChanges(mark);
        assert.deepEqual(named((await store.readChanges()).records), ['version 1001']);
        await store.forgetChanges(left.mark);
        assert.deepEqual(await takeChanges(store), []);
      }),
    );

    it(
      'are all of one moment, though writes go on while they are read',
      withStore(make, async (store) => {
        await createBucket(store);
        const keys = Array.from({ length: 1500 }, (_, index) => `${index}`);
        await Promise.all(keys.map((key) => store.putVersion(putRequest(key))));
        let isRead = false;
        const reading = store.readChanges().finally(() => {
          isRead = true;
        });
        let overwritten = 0;
        for (; !isRead; overwritten++) await store.putVersion(putRequest(keys[(overwritten * 7) % keys.length]!));
        assert.ok(overwritten > 0);
        const versions = (await reading).records.filter(({ kind, value }) => kind === 'version' && value !== null);
        // An overwrite takes one row away and adds one: at any moment there is one for each key.
        assert.deepEqual(versions.map(({ value }) => (value as { key: string }).key).sort(), keys.sort());
      }),
    );
  });
}

function testImports(make: MakeStore): void {
  const withImport = (
    test: (from: MetadataStore, into: MetadataStore, clock: { nowMs: number }) => Promise<void>,
  ): (() => Promise<void>) =>
    withStore(make, async (from, clock) => {
      const { store, cleanUp } = await make({ clock });
      try {
        await test(from, store, clock);
      } finally {
        await cleanUp();
      }
    });

  describe('imported records', () => {
    it(
      'tell of stripes that are missing, and free those that nothing refers to',
      withImport(async (from, into, clock) => {
        await createBucket(from);
        const [used, lost, idle] = [newStripe(), newStripe(), newStripe()];
        await from.putVersion(putRequest('used', { stripes: [used] }));
        await from.putVersion(putRequest('lost', { stripes: [lost] }));
        await from.createUpload(uploadOf('big', 'u'));
        await from.putPart(partRequest(uploadOf('big', 'u'), 1, { extents: extentsOf([lost]) }));
        await from.putVersion(putRequest('idle', { stripes: [idle] }));
        const records = await readAll(from);
        await into.importRecords(records.filter(({ key, value }) => key !== lost.id && !isOfKey(value, 'idle')));
        clock.nowMs += 1000;
        const report = await into.finishImport();
        const counts = { buckets: 1, versions: 2, uploads: 1, parts: 1, stripes: 2 };
        assert.deepEqual(report, { ...counts, missingStripes: [lost.id] });
        assert.deepEqual(await freedStripes(into), [idle.id]);
        assert.deepEqual(await into.listFreedStripes(clock.nowMs, 10), []);
        // What refers to a missing stripe can be deleted like all else.
        for (const key of ['lost', 'used']) {
          await into.deleteVersion({ bucket: bucketName, key, ownerId, nowMs: 1 });
        }
        await into.abortUpload(bucketName, 'big', 'u');
        const usage = await into.countUsage();
        assert.deepEqual([usage.liveStripes, usage.storedBytes, usage.neededBytes], [0, 0, 0]);
      }),
    );

    it(
      'make a whole store also where the last changes of a copy are lost',
      withImport(async (from, into) => {
        await createBucket(from);
        await from.putVersion(putRequest('key', { etag: 'old', number: 2001 }));
        await from.createUpload(uploadOf('big', 'u'));
        await from.putPart(partRequest(uploadOf('big', 'u'), 1, { stripes: [newStripe()] }));
        await createBucket(from, 'unversioned', 'second');
        await from.putVersion(putRequest('stray', { bucket: 'second', stripes: [newStripe()] }));
        const early = await readAll(from);
        await from.putVersion(putRequest('key', { etag: 'new', number: 2002 }));
        const late = await readAll(from);
        const lacks = (kind: string, key?: string) => (record: MetadataRecord) =>
          record.kind !== kind || (key !== undefined && record.key !== key);
        // Both `null` versions of one key, a part without its upload, and a version without its bucket.
        const torn = [...early.filter(lacks('upload')).filter(lacks('bucket', '2')), ...late.filter(isNewVersion)];
        await into.importRecords(torn);
        const report = await into.finishImport();
        assert.deepEqual([report.versions, report.parts, report.uploads], [1, 0, 0]);
        const { versions } = await into.listVersions({ bucket: bucketName, limit: 10 });
        assert.deepEqual(
          versions.map((version) => [version.kind === 'object' && version.etag, version.isLatest]),
          [['new', true]],
        );
        assert.equal((await freedStripes(into)).length, 2);
        await into.putVersion(putRequest('key', { etag: 'newer' }));
      }),
    );

    it(
      'keep the ids of buckets that are gone from being given again',
      withImport(async (from, into) => {
        await createBucket(from);
        await createBucket(from, 'unversioned', 'second');
        await from.deleteBucket('second');
        await into.importRecords(await readAll(from, 1));
        await into.finishImport();
        await createBucket(into, 'unversioned', 'third');
        assert.equal((await into.findBucket('third'))?.id, 3);
      }),
    );

    it(
      'are taken by a fresh store only, and then once',
      withImport(async (from, into) => {
        await createBucket(from);
        const records = await readAll(from);
        await assert.rejects(from.importRecords(records), /fresh metadata store/);
        await createBucket(from, 'unversioned', 'still-works');
        await into.putSetting('local:key', 'mine');
        await into.importRecords([...records, { kind: 'setting', key: 'local:key', value: 'of another' }]);
        await into.finishImport();
        assert.equal(await into.findSetting('local:key'), 'mine');
        assert.deepEqual(await into.findBucket(bucketName), await from.findBucket(bucketName));
        await assert.rejects(into.importRecords(records), /fresh metadata store/);
      }),
    );
  });

  it(
    'records come in pages of any size, each once, stripes before those who refer to them',
    withStore(make, async (store) => {
      await createBucket(store);
      await store.putSetting('colour', 'green');
      for (const key of ['a', 'b', 'c']) await store.putVersion(putRequest(key, { stripes: [newStripe()] }));
      await store.createUpload(uploadOf('big', 'u'));
      for (const part of [1, 2])
        await store.putPart(partRequest(uploadOf('big', 'u'), part, { stripes: [newStripe()] }));
      const all = await readAll(store);
      assert.equal(new Set(all.map(({ kind, key }) => `${kind} ${key}`)).size, all.length);
      for (const limit of [1, 2, 3, 7]) assert.deepEqual(await readAll(store, limit), all);
      const order = ['setting', 'bucket', 'stripe', 'version', 'upload', 'part'];
      assert.deepEqual([...new Set(all.map(({ kind }) => kind as string))], order);
      await assert.rejects(store.readRecords('nonsense', 1), RangeError);
    }),
  );
}

function isOfKey(value: unknown, key: string): boolean {
  return (value as { key?: string } | null)?.key === key;
}

function isNewVersion({ kind, key }: MetadataRecord): boolean {
  return kind === 'version' && key === '2002';
}
