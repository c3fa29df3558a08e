import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import {
  bucketName,
  createBucket,
  freedStripes,
  type MakeStore,
  newStripe,
  ownerId,
  partRequest,
  putRequest,
  strangerId,
  uploadOf,
  withStore,
} from './metadata-fixtures.ts';

export function testBuckets(make: MakeStore): void {
  describe('buckets', () => {
    it(
      'finds a bucket as it was created',
      withStore(make, async (store) => {
        const bucket = { name: 'photos', ownerId, region: 'eu-west-1', createdAtMs: 1_700_000_000_123 };
        const created = await store.createBucket(bucket);
        assert.deepEqual(created, { ...bucket, id: created.id, versioning: 'unversioned' });
        assert.deepEqual(await store.findBucket('photos'), created);
        assert.equal(await store.findBucket('photo'), undefined);
      }),
    );

    it(
      'refuses a name that is taken and says by whom',
      withStore(make, async (store) => {
        await createBucket(store);
        await assert.rejects(
          store.createBucket({ name: bucketName, ownerId: strangerId, region: 'us-east-1', createdAtMs: 1 }),
          (error) => isFailure(error, 'bucket-exists') && error.detail.ownerId === ownerId,
        );
        assert.equal((await store.findBucket(bucketName))?.ownerId, ownerId);
      }),
    );

    it(
      'gives a name to one of two who ask at once',
      withStore(make, async (store) => {
        const outcomes = await Promise.allSettled([createBucket(store), createBucket(store)]);
        assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
      }),
    );

    it(
      'remembers versioning, and never reuses the id of a deleted bucket',
      withStore(make, async (store) => {
        await createBucket(store);
        const before = await store.findBucket(bucketName);
        await store.setVersioning(bucketName, 'enabled');
        assert.equal((await store.findBucket(bucketName))?.versioning, 'enabled');
        await store.setVersioning(bucketName, 'suspended');
        assert.equal((await store.findBucket(bucketName))?.versioning, 'suspended');
        await store.deleteBucket(bucketName);
        assert.equal(await store.findBucket(bucketName), undefined);
        await createBucket(store);
        const after = await store.findBucket(bucketName);
        assert.equal(after?.versioning, 'unversioned');
        assert.notEqual(after?.id, before?.id);
      }),
    );

    it(
      'remembers the profile of a bucket until it is taken away, and a new bucket has none',
      withStore(make, async (store) => {
        await createBucket(store);
        const bucket = (await store.findBucket(bucketName))!;
        await store.setBucketProfile(bucketName, 'STANDARD_IA');
        const changed = { ...bucket, profileName: 'STANDARD_IA' };
        assert.deepEqual(await store.findBucket(bucketName), changed);
        assert.deepEqual((await store.listBuckets({ ownerId, limit: 1 })).buckets, [changed]);
        await store.setVersioning(bucketName, 'enabled');
        assert.equal((await store.findBucket(bucketName))?.profileName, 'STANDARD_IA');
        await store.setBucketProfile(bucketName, undefined);
        assert.deepEqual(await store.findBucket(bucketName), { ...bucket, versioning: 'enabled' });
        await store.setBucketProfile(bucketName, 'STANDARD_IA');
        await store.deleteBucket(bucketName);
        await createBucket(store);
        assert.equal((await store.findBucket(bucketName))?.profileName, undefined);
      }),
    );

    it(
      'remembers what the ETags of a bucket are, beside its profile',
      withStore(make, async (store) => {
        await createBucket(store);
        const bucket = (await store.findBucket(bucketName))!;
        assert.ok(!('etags' in bucket));
        await store.setBucketETags(bucketName, 'opaque');
        await store.setBucketProfile(bucketName, 'STANDARD_IA');
        const changed = { ...bucket, profileName: 'STANDARD_IA', etags: 'opaque' as const };
        assert.deepEqual(await store.findBucket(bucketName), changed);
        assert.deepEqual((await store.listBuckets({ ownerId, limit: 1 })).buckets, [changed]);
        await store.setBucketETags(bucketName, 'md5');
        assert.equal((await store.findBucket(bucketName))?.etags, 'md5');
        await store.setBucketProfile(bucketName, undefined);
        await store.setBucketETags(bucketName, undefined);
        assert.deepEqual(await store.findBucket(bucketName), bucket);
      }),
    );

    it(
      'lists the buckets of one owner by name, in pages, by prefix and by region',
      withStore(make, async (store) => {
        for (const [name, owner, region] of [
          ['logs-b', ownerId, 'us-east-1'],
          ['logs-a', ownerId, 'eu-west-1'],
          ['logs-c', strangerId, 'us-east-1'],
          ['assets', ownerId, 'us-east-1'],
        ] as const) {
          await store.createBucket({ name, ownerId: owner, region, createdAtMs: 1 });
        }
        const list = async (query: { prefix?: string; after?: string; region?: string; limit?: number }) => {
          const page = await store.listBuckets({ ownerId, limit: 100, ...query });
          return [page.buckets.map(({ name }) => name).join(' '), page.isTruncated];
        };
        assert.deepEqual(await list({}), ['assets logs-a logs-b', false]);
        assert.deepEqual(await list({ limit: 2 }), ['assets logs-a', true]);
        assert.deepEqual(await list({ limit: 2, after: 'logs-a' }), ['logs-b', false]);
        assert.deepEqual(await list({ limit: 3 }), ['assets logs-a logs-b', false]);
        assert.deepEqual(await list({ limit: 0 }), ['', false]);
        assert.deepEqual(await list({ prefix: 'logs-' }), ['logs-a logs-b', false]);
        assert.deepEqual(await list({ prefix: 'logs-', after: 'a' }), ['logs-a logs-b', false]);
        assert.deepEqual(await list({ prefix: 'logs-', after: 'logs-a' }), ['logs-b', false]);
        assert.deepEqual(await list({ region: 'us-east-1', limit: 2 }), ['assets logs-b', false]);
      }),
    );

    it(
      'keeps a bucket that holds a version or only a delete marker',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        await store.putVersion(putRequest('key'));
        await assert.rejects(store.deleteBucket(bucketName), (error) => isFailure(error, 'bucket-not-empty'));
        const { versionId } = (await store.findVersion(bucketName, 'key'))!;
        await store.deleteVersion({ bucket: bucketName, key: 'key', ownerId, nowMs: 1 });
        await store.deleteVersion({ bucket: bucketName, key: 'key', versionId, ownerId, nowMs: 1 });
        await assert.rejects(store.deleteBucket(bucketName), (error) => isFailure(error, 'bucket-not-empty'));
        assert.ok(await store.findBucket(bucketName));
      }),
    );

    it(
      'aborts the uploads of a bucket that is deleted, and frees their stripes',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        const upload = uploadOf('key', 'upload-1');
        await store.createUpload(upload);
        await store.putPart(partRequest(upload, 1, { stripes: [stripe] }));
        await store.deleteBucket(bucketName);
        assert.deepEqual(await freedStripes(store), [stripe.id]);
        await createBucket(store);
        assert.equal(await store.findUpload(bucketName, 'key', 'upload-1'), undefined);
      }),
    );

    it(
      'says that a bucket is missing, whatever it is asked',
      withStore(make, async (store) => {
        const at = { bucket: 'nowhere', key: 'key' };
        const upload = { ...uploadOf('key', 'id'), bucket: 'nowhere' };
        const query = { bucket: 'nowhere', limit: 1 };
        const calls = [
          () => store.deleteBucket('nowhere'),
          () => store.setVersioning('nowhere', 'enabled'),
          () => store.setBucketProfile('nowhere', 'STANDARD'),
          () => store.setBucketETags('nowhere', 'opaque'),
          () => store.putVersion({ ...putRequest('key'), ...at }),
          () => store.findVersion('nowhere', 'key'),
          () => store.deleteVersion({ ...at, ownerId, nowMs: 1 }),
          () => store.setTags('nowhere', 'key', undefined, {}),
          () => store.listObjects(query),
          () => store.listVersions(query),
          () => store.createUpload(upload),
          () => store.findUpload('nowhere', 'key', 'id'),
          () => store.listUploads(query),
          () => store.putPart(partRequest(upload, 1, {})),
          () => store.listParts('nowhere', 'key', 'id'),
          () => store.completeUpload({ ...at, uploadId: 'id', parts: [], etag: 'e', modifiedAtMs: 1 }),
          () => store.findCompletion('nowhere', 'key', 'id'),
          () => store.abortUpload('nowhere', 'key', 'id'),
        ];
        for (const call of calls) {
          await assert.rejects(call, (error) => isFailure(error, 'bucket-missing'), String(call));
        }
      }),
    );
  });
}
