import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ObjectVersion } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  createBucket,
  extentsOf,
  freedStripes,
  type MakeStore,
  newStripe,
  ownerId,
  type PutOptions,
  putRequest,
  withStore,
} from './metadata-fixtures.ts';

const key = 'folder/key';

function put(store: MetadataStore, options: PutOptions = {}): Promise<ObjectVersion> {
  return store.putVersion(putRequest(key, options));
}

function remove(store: MetadataStore, versionId?: string) {
  const request = { bucket: bucketName, key, ownerId, nowMs: 1_700_000_000_999 };
  return store.deleteVersion(versionId === undefined ? request : { ...request, versionId });
}

/** The versions of the key as `id etag` or `id marker`, newest first; the latest has a star. */
async function history(store: MetadataStore): Promise<string[]> {
  const { versions } = await store.listVersions({ bucket: bucketName, limit: 1000 });
  return versions.map((version) => {
    const what = version.kind === 'object' ? version.etag : 'marker';
    return `${version.versionId === 'null' ? 'null' : 'id'} ${what}${version.isLatest ? ' *' : ''}`;
  });
}

export function testVersions(make: MakeStore): void {
  describe('versions', () => {
    it(
      'gives an object back as it was put',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripes = [newStripe({ dataBytes: 5_000_000_000 }), newStripe({ dataBytes: 77 })];
        const request = putRequest(key, {
          stripes,
          extents: [
            { stripeId: stripes[0]!.id, offset: 4_500_000_000, length: 300_000_000 },
            { stripeId: stripes[1]!.id, offset: 0, length: 77 },
            { stripeId: stripes[0]!.id, offset: 127, length: 128 },
          ],
          attributes: {
            headers: { contentType: 'text/plain', cacheControl: 'no-cache', expires: 'tomorrow' },
            userMetadata: { colour: 'grün', ['__proto__']: 'plain' },
            tags: { team: 'a+b=c' },
            storageClass: 'GLACIER_IR',
          },
          parts: [
            { partNumber: 1, sizeBytes: 300_000_000, checksum: 'AAAA' },
            { partNumber: 3, sizeBytes: 205 },
          ],
        });
        const content = {
          ...request.content,
          checksum: { algorithm: 'SHA256', type: 'COMPOSITE', value: 'abc=-2' } as const,
        };
        const version = await store.putVersion({ ...request, content });
        assert.deepEqual(version, {
          kind: 'object',
          key,
          versionId: 'null',
          ownerId,
          modifiedAtMs: request.modifiedAtMs,
          isLatest: true,
          ...request.attributes,
          ...content,
          parts: request.parts,
        });
        assert.deepEqual({ ...(await store.findVersion(bucketName, key)) }, version);
        assert.deepEqual({ ...(await store.findVersion(bucketName, key, 'null')) }, version);
      }),
    );

    it(
      'keeps keys apart that differ in one character, in case or in normal form',
      withStore(make, async (store) => {
        await createBucket(store);
        const keys = [
          'a',
          'A',
          'a ',
          'a\0',
          'a\0b',
          '/a',
          'a/',
          '//a',
          '.',
          '..',
          '\u00e9',
          'e\u0301',
          '\u{1f600}',
          'é'.repeat(512),
        ];
        for (const [index, each] of keys.entries()) await store.putVersion(putRequest(each, { etag: `e${index}` }));
        for (const [index, each] of keys.entries()) {
          const version = await store.findVersion(bucketName, each);
          assert.equal(version?.kind === 'object' && version.etag, `e${index}`);
        }
        assert.equal((await store.listObjects({ bucket: bucketName, limit: 1000 })).objects.length, keys.length);
      }),
    );

    it(
      'replaces the object of an unversioned bucket and frees its stripes',
      withStore(make, async (store) => {
        await createBucket(store);
        const [first, second] = [newStripe(), newStripe()];
        await put(store, { etag: 'one', stripes: [first] });
        assert.deepEqual(await freedStripes(store), []);
        await put(store, { etag: 'two', stripes: [second] });
        assert.deepEqual(await history(store), ['null two *']);
        assert.deepEqual(await freedStripes(store), [first.id]);
        assert.deepEqual(await remove(store), { kind: 'removed' });
        assert.deepEqual(await remove(store), { kind: 'removed' });
        assert.deepEqual(await history(store), []);
        assert.deepEqual(await freedStripes(store), [first.id, second.id].sort());
      }),
    );

    it(
      'adds versions while versioning is enabled, over the null version from before',
      withStore(make, async (store) => {
        await createBucket(store);
        await put(store, { etag: 'zero' });
        await store.setVersioning(bucketName, 'enabled');
        const one = await put(store, { etag: 'one' });
        const two = await put(store, { etag: 'two' });
        assert.match(one.versionId, /^[\w-]{32}$/);
        assert.notEqual(one.versionId, two.versionId);
        assert.deepEqual(await history(store), ['id two *', 'id one', 'null zero']);
        const found = await store.findVersion(bucketName, key, one.versionId);
        assert.ok(found?.kind === 'object' && found.etag === 'one' && !found.isLatest);
        const latest = await store.findVersion(bucketName, key);
        assert.ok(latest?.kind === 'object' && latest.etag === 'two' && latest.isLatest);
      }),
    );

    it(
      'puts the null version in the place of the last one while versioning is suspended',
      withStore(make, async (store) => {
        await createBucket(store);
        await put(store, { etag: 'zero' });
        await store.setVersioning(bucketName, 'enabled');
        await put(store, { etag: 'one' });
        await store.setVersioning(bucketName, 'suspended');
        await put(store, { etag: 'two' });
        assert.deepEqual(await history(store), ['null two *', 'id one']);
        await put(store, { etag: 'three' });
        assert.deepEqual(await history(store), ['null three *', 'id one']);
        await store.setVersioning(bucketName, 'enabled');
        await put(store, { etag: 'four' });
        assert.deepEqual(await history(store), ['id four *', 'null three', 'id one']);
      }),
    );

    it(
      'lays a delete marker while versioning is enabled, also over nothing',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        const nothing = await remove(store);
        assert.equal(nothing.kind, 'marker-created');
        await put(store, { etag: 'one' });
        const outcome = await remove(store);
        assert.ok(outcome.kind === 'marker-created');
        assert.deepEqual(await history(store), ['id marker *', 'id one', 'id marker']);
        const marker = await store.findVersion(bucketName, key);
        assert.deepEqual(marker, {
          kind: 'delete-marker',
          key,
          versionId: outcome.versionId,
          ownerId,
          modifiedAtMs: 1_700_000_000_999,
          isLatest: true,
        });
        assert.deepEqual(await remove(store, outcome.versionId), {
          kind: 'version-removed',
          versionId: outcome.versionId,
          wasDeleteMarker: true,
        });
        assert.deepEqual(await history(store), ['id one *', 'id marker']);
        assert.equal((await store.listObjects({ bucket: bucketName, limit: 10 })).objects.length, 1);
      }),
    );

    it(
      'lays the delete marker in place of the null version while versioning is suspended',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        await put(store, { etag: 'zero', stripes: [stripe] });
        await store.setVersioning(bucketName, 'enabled');
        await put(store, { etag: 'one' });
        await store.setVersioning(bucketName, 'suspended');
        assert.deepEqual(await remove(store), { kind: 'marker-created', versionId: 'null' });
        assert.deepEqual(await history(store), ['null marker *', 'id one']);
        assert.deepEqual(await freedStripes(store), [stripe.id]);
        await remove(store);
        assert.deepEqual(await history(store), ['null marker *', 'id one']);
        await put(store, { etag: 'two' });
        assert.deepEqual(await history(store), ['null two *', 'id one']);
      }),
    );

    it(
      'makes the next newest version current when the latest is removed by id',
      withStore(make, async (store) => {
        await createBucket(store);
        await put(store, { etag: 'zero' });
        await store.setVersioning(bucketName, 'enabled');
        const one = await put(store, { etag: 'one' });
        const two = await put(store, { etag: 'two' });
        assert.deepEqual(await remove(store, one.versionId), {
          kind: 'version-removed',
          versionId: one.versionId,
          wasDeleteMarker: false,
        });
        assert.deepEqual(await history(store), ['id two *', 'null zero']);
        await remove(store, two.versionId);
        assert.deepEqual(await history(store), ['null zero *']);
        const gone = { kind: 'version-removed', versionId: 'null', wasDeleteMarker: false };
        assert.deepEqual(await remove(store, 'null'), gone);
        assert.deepEqual(await history(store), []);
        assert.deepEqual(await remove(store, 'null'), gone);
      }),
    );

    it(
      'knows no version by an id that is malformed, of another key, or made up',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        const { versionId } = await put(store);
        const other = await store.putVersion(putRequest('other'));
        const madeUp = versionId.slice(0, -1) + (versionId.endsWith('A') ? 'B' : 'A');
        for (const id of ['', 'x', 'null', 'a'.repeat(32), '%'.repeat(32), other.versionId, madeUp, `${versionId}A`]) {
          assert.equal(await store.findVersion(bucketName, key, id), undefined, id);
          assert.deepEqual(await remove(store, id), { kind: 'version-removed', versionId: id, wasDeleteMarker: false });
        }
        assert.ok(await store.findVersion(bucketName, key, versionId));
      }),
    );

    it(
      'orders versions of one key by when they were put, also when the clock is set back',
      withStore(make, async (store, clock) => {
        await createBucket(store, 'enabled');
        await put(store, { etag: 'one' });
        clock.nowMs -= 1_000_000;
        await put(store, { etag: 'two' });
        await Promise.all([put(store, { etag: 'three' }), put(store, { etag: 'four' })]);
        assert.deepEqual(await history(store), ['id four *', 'id three', 'id two', 'id one']);
      }),
    );

    it(
      'replaces tags of the current or a named version and nothing else',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        const attributes = {
          headers: { contentType: 'text/plain' },
          userMetadata: { a: '1' },
          tags: { old: 'x' },
          storageClass: 'STANDARD',
        };
        const one = await put(store, { etag: 'one', attributes });
        await put(store, { etag: 'two', attributes });
        const changed = await store.setTags(bucketName, key, one.versionId, { new: 'y' });
        assert.deepEqual({ ...changed }, { ...one, isLatest: false, tags: { new: 'y' } });
        assert.deepEqual({ ...(await store.findVersion(bucketName, key, one.versionId)) }, { ...changed });
        const cleared = await store.setTags(bucketName, key, undefined, {});
        assert.ok(cleared.etag === 'two' && Object.keys(cleared.tags).length === 0);
      }),
    );

    it(
      'says why it cannot set tags',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        const tag = (versionId?: string) => store.setTags(bucketName, key, versionId, {});
        await assert.rejects(tag(), (error) => isFailure(error, 'object-missing'));
        await assert.rejects(tag('null'), (error) => isFailure(error, 'version-missing'));
        const outcome = await remove(store);
        assert.ok(outcome.kind === 'marker-created');
        await assert.rejects(tag(), (error) => isFailure(error, 'delete-marker') && !error.detail.named);
        await assert.rejects(
          tag(outcome.versionId),
          (error) =>
            isFailure(error, 'delete-marker') && error.detail.named && error.detail.modifiedAtMs === 1_700_000_000_999,
        );
      }),
    );

    testConditions(make);
  });
}

function testConditions(make: MakeStore): void {
  const absent = { kind: 'absent' } as const;
  const etag = (value: string) => ({ kind: 'etag', etag: value }) as const;

  it(
    'writes only where the condition holds',
    withStore(make, async (store) => {
      await createBucket(store, 'enabled');
      await assert.rejects(put(store, { condition: etag('*') }), (error) => isFailure(error, 'object-missing'));
      await put(store, { etag: 'one', condition: absent });
      await assert.rejects(
        put(store, { condition: absent }),
        (error) => isFailure(error, 'precondition-failed') && error.detail.condition === 'If-None-Match',
      );
      await assert.rejects(
        put(store, { condition: etag('other') }),
        (error) => isFailure(error, 'precondition-failed') && error.detail.condition === 'If-Match',
      );
      await put(store, { etag: 'two', condition: etag('one') });
      await put(store, { etag: 'three', condition: etag('*') });
      await remove(store);
      await assert.rejects(put(store, { condition: etag('three') }), (error) => isFailure(error, 'object-missing'));
      await put(store, { etag: 'four', condition: absent });
      assert.deepEqual(await history(store), ['id four *', 'id marker', 'id three', 'id two', 'id one']);
    }),
  );

  it(
    'lets one of many win a race for an absent key, and registers no stripe of the others',
    withStore(make, async (store) => {
      await createBucket(store);
      const stripes = Array.from({ length: 8 }, () => newStripe());
      const races = stripes.map((stripe) => put(store, { stripes: [stripe], condition: absent }));
      const outcomes = await Promise.allSettled(races);
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.equal((await store.findStripes(stripes.map(({ id }) => id))).size, 1);
      assert.equal((await store.countUsage()).liveStripes, 1);
    }),
  );

  it(
    'deletes only where the condition holds for the named version, or else for the current object',
    withStore(make, async (store) => {
      await createBucket(store, 'enabled');
      const request = { bucket: bucketName, key, ownerId, nowMs: 1 };
      const deleteIf = (value: string, versionId?: string) =>
        store.deleteVersion({ ...request, condition: etag(value), ...(versionId && { versionId }) });
      await assert.rejects(deleteIf('*'), (error) => isFailure(error, 'object-missing'));
      const one = await put(store, { etag: 'one' });
      await put(store, { etag: 'two' });
      await assert.rejects(deleteIf('one'), (error) => isFailure(error, 'precondition-failed'));
      await assert.rejects(deleteIf('two', one.versionId), (error) => isFailure(error, 'precondition-failed'));
      await deleteIf('one', one.versionId);
      assert.deepEqual(await history(store), ['id two *']);
      await deleteIf('two');
      assert.deepEqual(await history(store), ['id marker *', 'id two']);
      await assert.rejects(deleteIf('two'), (error) => isFailure(error, 'object-missing'));
    }),
  );

  it(
    'keeps stripes alive that a copy refers to, and refuses a copy of what is gone',
    withStore(make, async (store) => {
      await createBucket(store);
      const stripe = newStripe();
      await put(store, { stripes: [stripe] });
      const extents = extentsOf([stripe]);
      await store.putVersion(putRequest('copy', { extents }));
      await put(store, { extents, etag: 'onto itself' });
      assert.deepEqual(await freedStripes(store), []);
      await remove(store);
      assert.deepEqual(await freedStripes(store), []);
      await store.deleteVersion({ bucket: bucketName, key: 'copy', ownerId, nowMs: 1 });
      assert.deepEqual(await freedStripes(store), [stripe.id]);
      const copy = () => store.putVersion(putRequest('late', { extents, stripes: [newStripe()] }));
      await assert.rejects(copy, (error) => isFailure(error, 'stripe-missing') && error.detail.stripeId === stripe.id);
      await store.forgetStripe(stripe.id);
      await assert.rejects(copy, (error) => isFailure(error, 'stripe-missing'));
      assert.equal(await store.findVersion(bucketName, 'late'), undefined);
    }),
  );
}
