import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MetadataStore, ObjectQuery } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  createBucket,
  type MakeStore,
  ownerId,
  putRequest,
  uploadOf,
  withStore,
} from './metadata-fixtures.ts';

async function putKeys(store: MetadataStore, keys: readonly string[]): Promise<void> {
  await Promise.all(keys.map((key) => store.putVersion(putRequest(key))));
}

/** A page in short: keys, `>` before each common prefix, and what comes next of a truncated one. */
async function list(store: MetadataStore, query: Partial<ObjectQuery>): Promise<string> {
  const page = await store.listObjects({ bucket: bucketName, limit: 1000, ...query });
  assert.equal(page.next === undefined, !page.isTruncated);
  const entries = [...page.objects.map(({ key }) => key), ...page.commonPrefixes.map((prefix) => `>${prefix}`)];
  return `${entries.join(' ')}${page.isTruncated ? ` ... ${page.next}` : ''}`;
}

export function testListings(make: MakeStore): void {
  describe('listings', () => {
    testObjectListing(make);
    testVersionListing(make);
    testUploadListing(make);
  });
}

function testObjectListing(make: MakeStore): void {
  it(
    'shows of a current object what S3 shows, and no older version or delete marker',
    withStore(make, async (store) => {
      await createBucket(store, 'enabled');
      await store.putVersion(putRequest('a', { etag: 'old' }));
      const request = putRequest('a', { etag: 'new' });
      const checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' } as const;
      const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD_IA' };
      const content = { sizeBytes: 0, etag: 'new', spans: [], checksum: { ...checksum, value: 'AAAAAAAAAAA=' } };
      await store.putVersion({ ...request, attributes, content });
      await store.putVersion(putRequest('b'));
      await store.deleteVersion({ bucket: bucketName, key: 'b', ownerId, nowMs: 1 });
      const { objects } = await store.listObjects({ bucket: bucketName, limit: 10 });
      const { modifiedAtMs } = request;
      assert.deepEqual(objects, [
        { key: 'a', sizeBytes: 0, etag: 'new', modifiedAtMs, ownerId, storageClass: 'STANDARD_IA', checksum },
      ]);
    }),
  );

  it(
    'orders keys by their UTF-8 bytes, where UTF-16 would differ',
    withStore(make, async (store) => {
      await createBucket(store);
      const keys = [
        '',
        '\0',
        '\0\0',
        'A',
        'a',
        'a\0',
        'a!',
        'aa',
        '\u007f',
        '\u0080',
        '\ud7ff',
        '\ue000',
        '\uffff',
        '\u{10000}',
        '\u{10ffff}',
      ];
      await putKeys(store, keys.slice(1).reverse());
      const { objects } = await store.listObjects({ bucket: bucketName, limit: 1000 });
      assert.deepEqual(
        objects.map(({ key }) => key),
        keys.slice(1),
      );
      for (const [index, after] of keys.entries()) {
        const page = await store.listObjects({ bucket: bucketName, after, limit: 1000 });
        assert.deepEqual(
          page.objects.map(({ key }) => key),
          keys.slice(index + 1),
        );
      }
    }),
  );

  it(
    'keeps to a prefix, also where the next greater one must skip surrogates or carry',
    withStore(make, async (store) => {
      await createBucket(store);
      const prefixes = ['a', '\ud7ff', '\u{1f600}', '\uffff', '\u{10ffff}', 'b\u{10ffff}'];
      await putKeys(
        store,
        prefixes.flatMap((prefix) => [prefix, `${prefix}\u{10ffff}`, `${prefix}x`]),
      );
      for (const prefix of prefixes) {
        assert.equal(await list(store, { prefix }), [prefix, `${prefix}x`, `${prefix}\u{10ffff}`].join(' '));
      }
    }),
  );

  it(
    'rolls keys up to the first delimiter after the prefix, of any length',
    withStore(make, async (store) => {
      await createBucket(store);
      await putKeys(store, ['a/', 'a/1', 'a/b/2', 'a--b', 'a--b--c', 'ab', 'b', 'b/x', 'c//d', 'c/e']);
      assert.equal(await list(store, { delimiter: '/' }), 'a--b a--b--c ab b >a/ >b/ >c/');
      assert.equal(await list(store, { delimiter: '/', prefix: 'a/' }), 'a/ a/1 >a/b/');
      assert.equal(await list(store, { delimiter: '/', prefix: 'a' }), 'a--b a--b--c ab >a/');
      assert.equal(await list(store, { delimiter: '--' }), 'a/ a/1 a/b/2 ab b b/x c//d c/e >a--');
      assert.equal(await list(store, { delimiter: '/', prefix: 'c/' }), 'c/e >c//');
      assert.equal(await list(store, { delimiter: '' }), 'a--b a--b--c a/ a/1 a/b/2 ab b b/x c//d c/e');
      assert.equal(await list(store, { delimiter: '/', prefix: 'zz' }), '');
    }),
  );

  it(
    'counts common prefixes towards the limit and is truncated only if more follows',
    withStore(make, async (store) => {
      await createBucket(store);
      await putKeys(store, ['a', 'b/1', 'b/2', 'c']);
      assert.equal(await list(store, { limit: 4 }), 'a b/1 b/2 c');
      assert.equal(await list(store, { limit: 3 }), 'a b/1 b/2 ... b/2');
      assert.equal(await list(store, { limit: 3, delimiter: '/' }), 'a c >b/');
      assert.equal(await list(store, { limit: 2, delimiter: '/' }), 'a >b/ ... b/');
      assert.equal(await list(store, { limit: 1, delimiter: '/', prefix: 'b' }), '>b/');
      assert.equal(await list(store, { limit: 0 }), '');
      assert.equal(await list(store, { limit: 0, delimiter: '/' }), '');
    }),
  );

  it(
    'skips the common prefix that `after` lies in only when asked to',
    withStore(make, async (store) => {
      await createBucket(store);
      await putKeys(store, ['a', 'b/1', 'b/2', 'c']);
      const skipPrefixOfAfter = true;
      assert.equal(await list(store, { after: 'b/', delimiter: '/' }), 'c >b/');
      assert.equal(await list(store, { after: 'b/1', delimiter: '/' }), 'c >b/');
      assert.equal(await list(store, { after: 'b/2', delimiter: '/' }), 'c');
      assert.equal(await list(store, { after: 'b/', delimiter: '/', skipPrefixOfAfter }), 'c');
      assert.equal(await list(store, { after: 'b/1', delimiter: '/', skipPrefixOfAfter }), 'c');
      assert.equal(await list(store, { after: 'a', delimiter: '/', skipPrefixOfAfter }), 'c >b/');
      assert.equal(await list(store, { after: 'b/1', delimiter: '/', prefix: 'b/', skipPrefixOfAfter }), 'b/2');
      assert.equal(await list(store, { after: 'a', prefix: 'b/', delimiter: '/', skipPrefixOfAfter }), 'b/1 b/2');
      assert.equal(await list(store, { after: 'd', prefix: 'b/' }), '');
    }),
  );
}

function testVersionListing(make: MakeStore): void {
  it(
    'lists versions by key and newest first, in pages that may end within a key',
    withStore(make, async (store) => {
      await createBucket(store, 'enabled');
      for (const etag of ['1', '2', '3']) await store.putVersion(putRequest('a', { etag }));
      await store.putVersion(putRequest('b/x', { etag: '4' }));
      await store.deleteVersion({ bucket: bucketName, key: 'b/y', ownerId, nowMs: 1 });
      await store.putVersion(putRequest('c', { etag: '5' }));
      const seen: string[] = [];
      let markers: { keyMarker?: string; versionIdMarker?: string } = {};
      for (;;) {
        const page = await store.listVersions({ bucket: bucketName, limit: 2, delimiter: '/', ...markers });
        for (const version of page.versions) seen.push(version.kind === 'object' ? version.etag : 'marker');
        seen.push(...page.commonPrefixes, '|');
        if (!page.isTruncated) break;
        const { nextKeyMarker, nextVersionIdMarker } = page;
        assert.ok(nextKeyMarker !== undefined);
        assert.equal(nextVersionIdMarker === undefined, nextKeyMarker === 'b/');
        markers = { keyMarker: nextKeyMarker, ...(nextVersionIdMarker && { versionIdMarker: nextVersionIdMarker }) };
      }
      assert.equal(seen.join(' '), '3 2 | 1 b/ | 5 |');
    }),
  );

  it(
    'goes on with what is left of a key whose marked version was deleted meanwhile',
    withStore(make, async (store) => {
      await createBucket(store);
      await store.putVersion(putRequest('a', { etag: 'null' }));
      await store.setVersioning(bucketName, 'enabled');
      const one = await store.putVersion(putRequest('a', { etag: 'one' }));
      const two = await store.putVersion(putRequest('a', { etag: 'two' }));
      const etagsAfter = async (versionIdMarker: string) => {
        const query = { bucket: bucketName, limit: 10, keyMarker: 'a', versionIdMarker };
        const { versions } = await store.listVersions(query);
        return versions.map((version) => (version.kind === 'object' ? version.etag : 'marker')).join(' ');
      };
      assert.equal(await etagsAfter(two.versionId), 'one null');
      assert.equal(await etagsAfter('null'), '');
      const request = { bucket: bucketName, key: 'a', ownerId, nowMs: 1 };
      await store.deleteVersion({ ...request, versionId: one.versionId });
      assert.equal(await etagsAfter(one.versionId), 'two null');
      await store.deleteVersion({ ...request, versionId: 'null' });
      assert.equal(await etagsAfter('null'), 'two');
    }),
  );

  it(
    'lists the objects of an unversioned bucket as null versions',
    withStore(make, async (store) => {
      await createBucket(store);
      await putKeys(store, ['b', 'a']);
      const { versions } = await store.listVersions({ bucket: bucketName, limit: 10 });
      const short = versions.map(({ kind, key, versionId, isLatest }) => `${kind} ${key} ${versionId} ${isLatest}`);
      assert.deepEqual(short, ['object a null true', 'object b null true']);
    }),
  );
}

function testUploadListing(make: MakeStore): void {
  it(
    'lists open uploads by key and then by age, with prefix, delimiter and markers',
    withStore(make, async (store) => {
      await createBucket(store);
      for (const [key, id] of [
        ['b', 'z-first'],
        ['b', 'a-second'],
        ['a', 'only'],
        ['c/1', 'deep-1'],
        ['c/2', 'deep-2'],
        ['b', 'aborted'],
        ['d', 'completed'],
      ] as const) {
        await store.createUpload(uploadOf(key, id));
      }
      await store.abortUpload(bucketName, 'b', 'aborted');
      const completion = { bucket: bucketName, key: 'd', uploadId: 'completed', parts: [], etag: 'e', modifiedAtMs: 1 };
      await store.completeUpload(completion);
      const ids = async (query: object) => {
        const page = await store.listUploads({ bucket: bucketName, limit: 100, ...query });
        const all = [...page.uploads.map(({ uploadId }) => uploadId), ...page.commonPrefixes];
        const next = [page.nextKeyMarker, page.nextUploadIdMarker].filter((marker) => marker !== undefined);
        assert.equal(next.length > 0, page.isTruncated);
        return [...all, ...(page.isTruncated ? ['...', ...next] : [])].join(' ');
      };
      assert.equal(await ids({}), 'only z-first a-second deep-1 deep-2');
      assert.equal(await ids({ limit: 2 }), 'only z-first ... b z-first');
      assert.equal(await ids({ keyMarker: 'b', uploadIdMarker: 'z-first' }), 'a-second deep-1 deep-2');
      assert.equal(await ids({ keyMarker: 'b', uploadIdMarker: 'aborted' }), 'z-first a-second deep-1 deep-2');
      assert.equal(await ids({ keyMarker: 'b' }), 'deep-1 deep-2');
      assert.equal(await ids({ delimiter: '/', limit: 4 }), 'only z-first a-second c/');
      assert.equal(await ids({ delimiter: '/', limit: 3 }), 'only z-first a-second ... b a-second');
      assert.equal(await ids({ delimiter: '/', keyMarker: 'c/' }), '');
      assert.equal(await ids({ prefix: 'c/', limit: 1 }), 'deep-1 ... c/1 deep-1');
      assert.equal(await ids({ limit: 0 }), '');
      const { uploads } = await store.listUploads({ bucket: bucketName, prefix: 'a', limit: 1 });
      assert.deepEqual(uploads, [uploadOf('a', 'only')]);
    }),
  );
}
