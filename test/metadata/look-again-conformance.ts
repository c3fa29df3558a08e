import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Version } from '../../core/model.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  createBucket,
  extentsIn,
  extentsOf,
  type MakeStore,
  newStripe,
  nextNumber,
  ownerId,
  putRequest,
  withStore,
} from './metadata-fixtures.ts';

const key = 'looked/at';
const stripes: readonly NewStripe[] = [newStripe()];

function look(store: MetadataStore): Promise<Version | undefined> {
  return store.findVersion(bucketName, key);
}

/** Each write, and how the current version shows that it has happened. */
const writes: Readonly<Record<string, (store: MetadataStore) => Promise<(seen: Version | undefined) => void>>> = {
  async 'an overwrite'(store) {
    const { etag } = await store.putVersion(putRequest(key, { etag: 'c'.repeat(32) }));
    return (seen) => assert.equal(seen?.kind === 'object' && seen.etag, etag);
  },
  async 'a delete'(store) {
    await store.deleteVersion({ bucket: bucketName, key, ownerId, nowMs: 1 });
    return (seen) => assert.equal(seen, undefined);
  },
  async 'a delete marker'(store) {
    await store.setVersioning(bucketName, 'enabled');
    await store.deleteVersion({ bucket: bucketName, key, ownerId, nowMs: 1 });
    return (seen) => assert.equal(seen?.kind, 'delete-marker');
  },
  async 'the removal of the current version'(store) {
    await store.setVersioning(bucketName, 'enabled');
    const { versionId } = await store.putVersion(putRequest(key, { etag: 'd'.repeat(32) }));
    await look(store);
    await store.deleteVersion({ bucket: bucketName, key, versionId, ownerId, nowMs: 1 });
    return (seen) => assert.equal(seen?.versionId, 'null');
  },
  async 'new tags'(store) {
    await store.setTags(bucketName, key, undefined, { colour: 'red' });
    return (seen) => assert.deepEqual(seen?.kind === 'object' && seen.tags, { colour: 'red' });
  },
  async 'a completed upload'(store) {
    const upload = {
      uploadId: 'u',
      bucket: bucketName,
      key,
      ownerId,
      initiatorId: ownerId,
      initiatedAtMs: 1,
      attributes: putRequest(key).attributes,
    };
    await store.createUpload(upload);
    const part = { partNumber: 1, modifiedAtMs: 1, sizeBytes: 0, etag: 'e'.repeat(32), spans: [] };
    await store.putPart({ bucket: bucketName, key, uploadId: 'u', number: nextNumber(), part, stripes: [] });
    const parts = [{ partNumber: 1, etag: part.etag }];
    await store.completeUpload({ bucket: bucketName, key, uploadId: 'u', parts, etag: 'whole-1', modifiedAtMs: 1 });
    return (seen) => assert.equal(seen?.kind === 'object' && seen.etag, 'whole-1');
  },
  async 'a move of its extents'(store) {
    const to = newStripe();
    const moves = extentsOf(stripes).map((from) => ({ from, to: { stripeId: to.id, offset: 0 } }));
    await store.moveExtents({ moves, stripes: [to] });
    return (seen) => assert.equal(seen?.kind === 'object' && extentsIn(seen)[0]?.stripeId, to.id);
  },
};

/** A store may keep what it was asked for; it must never give it when it is no longer so. */
export function testLookingAgain(make: MakeStore): void {
  describe('whoever looks again', () => {
    for (const [name, write] of Object.entries(writes)) {
      it(
        `sees ${name}`,
        withStore(make, async (store) => {
          await createBucket(store);
          await store.putVersion(putRequest(key, { stripes, extents: extentsOf(stripes) }));
          assert.equal((await look(store))?.kind, 'object');
          (await write(store))(await look(store));
        }),
      );
    }
  });
}
