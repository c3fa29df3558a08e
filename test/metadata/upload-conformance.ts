import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { CompleteUpload } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  createBucket,
  extentsOf,
  freedStripes,
  type MakeStore,
  newStripe,
  partOf,
  partRequest,
  plainAttributes,
  putRequest,
  spansOf,
  uploadOf,
  withStore,
} from './metadata-fixtures.ts';

const key = 'big';
const upload = uploadOf(key, 'upload-1');

function completionOf(partNumbers: readonly number[], options: Partial<CompleteUpload> = {}): CompleteUpload {
  const parts = partNumbers.map((partNumber) => ({ partNumber, etag: `etag-${partNumber}` }));
  const { bucket, uploadId } = upload;
  return { bucket, key, uploadId, parts, etag: `whole-${parts.length}`, modifiedAtMs: 1_700_000_001_000, ...options };
}

export function testUploads(make: MakeStore): void {
  describe('multipart uploads', () => {
    it(
      'finds an upload under its bucket, key and id only, as it was created',
      withStore(make, async (store) => {
        await createBucket(store);
        await createBucket(store, 'unversioned', 'other');
        const full = {
          ...upload,
          attributes: { ...plainAttributes, userMetadata: { a: 'b' }, storageClass: 'GLACIER' },
          checksumAlgorithm: 'CRC32C',
          checksumType: 'COMPOSITE',
        } as const;
        await store.createUpload(full);
        assert.deepEqual(await store.findUpload(bucketName, key, 'upload-1'), full);
        assert.equal(await store.findUpload(bucketName, 'other', 'upload-1'), undefined);
        assert.equal(await store.findUpload('other', key, 'upload-1'), undefined);
        assert.equal(await store.findUpload(bucketName, key, 'upload-2'), undefined);
      }),
    );

    it(
      'lists parts by number, in pages',
      withStore(make, async (store) => {
        await createBucket(store);
        await store.createUpload(upload);
        const stripe = newStripe();
        const request = partRequest(upload, 10_000, { stripes: [stripe] });
        const checksum = { algorithm: 'SHA1', type: 'FULL_OBJECT', value: 'AAA=' } as const;
        const last = { ...request.part, checksum };
        await store.putPart({ ...request, part: last });
        for (const partNumber of [3, 1, 2]) await store.putPart(partRequest(upload, partNumber, {}));
        const list = (after?: number, limit?: number) => store.listParts(bucketName, key, 'upload-1', after, limit);
        const all = await list();
        assert.deepEqual(all, {
          upload,
          parts: [partOf(1, []), partOf(2, []), partOf(3, []), last],
          isTruncated: false,
        });
        const numbers = async (after: number, limit: number) => {
          const page = await list(after, limit);
          return [page.parts.map((part) => part.partNumber).join(' '), page.isTruncated];
        };
        assert.deepEqual(await numbers(0, 2), ['1 2', true]);
        assert.deepEqual(await numbers(2, 2), ['3 10000', false]);
        assert.deepEqual(await numbers(10_000, 2), ['', false]);
        assert.deepEqual(await numbers(0, 0), ['', false]);
      }),
    );

    it(
      'replaces a part and frees its stripes, but those that another part lies in as well',
      withStore(make, async (store) => {
        await createBucket(store);
        await store.createUpload(upload);
        const [own, shared] = [newStripe(), newStripe()];
        await store.putPart(partRequest(upload, 1, { stripes: [own, shared] }));
        await store.putPart(partRequest(upload, 2, { extents: extentsOf([shared, shared]) }));
        await store.putPart(partRequest(upload, 1, { stripes: [newStripe()] }));
        assert.deepEqual(await freedStripes(store), [own.id]);
        await store.putPart(partRequest(upload, 2, {}));
        assert.deepEqual(await freedStripes(store), [own.id, shared.id].sort());
        const late = store.putPart(partRequest(upload, 3, { extents: extentsOf([own]) }));
        await assert.rejects(late, (error) => isFailure(error, 'stripe-missing'));
      }),
    );

    it(
      'turns the chosen parts into an object, drops the others and remembers the outcome',
      withStore(make, async (store, clock) => {
        await createBucket(store, 'enabled');
        const attributes = { ...plainAttributes, headers: { contentType: 'video/mp4' }, tags: { a: 'b' } };
        await store.createUpload({ ...upload, attributes });
        const stripes = [newStripe(), newStripe({ dataBytes: 100 }), newStripe({ dataBytes: 7 })];
        for (const [index, stripe] of stripes.entries()) {
          const request = partRequest(upload, index + 1, { stripes: [stripe] });
          const checksum = { algorithm: 'CRC32', type: 'FULL_OBJECT', value: `crc-${index}` } as const;
          await store.putPart({ ...request, part: { ...request.part, checksum } });
        }
        const checksum = { algorithm: 'CRC32', type: 'COMPOSITE', value: 'x=-2' } as const;
        const request = completionOf([1, 3], { checksum });
        const version = await store.completeUpload(request);
        assert.deepEqual(
          { ...version },
          {
            kind: 'object',
            key,
            versionId: version.versionId,
            ownerId: upload.ownerId,
            modifiedAtMs: request.modifiedAtMs,
            isLatest: true,
            ...attributes,
            sizeBytes: 4103,
            etag: 'whole-2',
            checksum,
            spans: [...spansOf(extentsOf([stripes[0]!]), 1), ...spansOf(extentsOf([stripes[2]!]), 3)],
            parts: [
              { partNumber: 1, sizeBytes: 4096, checksum: 'crc-0' },
              { partNumber: 3, sizeBytes: 7, checksum: 'crc-2' },
            ],
          },
        );
        assert.deepEqual(await store.findVersion(bucketName, key), version);
        assert.deepEqual(await freedStripes(store), [stripes[1]!.id]);
        const { versionId } = version;
        assert.deepEqual(await store.findCompletion(bucketName, key, 'upload-1'), {
          etag: 'whole-2',
          versionId,
          checksum,
          parts: request.parts,
        });
        assert.equal(await store.findCompletion(bucketName, 'other', 'upload-1'), undefined);
        assert.equal(await store.findUpload(bucketName, key, 'upload-1'), undefined);
        await store.forgetCompletions(clock.nowMs);
        assert.ok(await store.findCompletion(bucketName, key, 'upload-1'));
        await store.forgetCompletions(clock.nowMs + 1);
        assert.equal(await store.findCompletion(bucketName, key, 'upload-1'), undefined);
        await store.deleteVersion({ bucket: bucketName, key, versionId, ownerId: upload.ownerId, nowMs: 1 });
        assert.equal((await freedStripes(store)).length, 3);
      }),
    );

    it(
      'frees stripes that several chosen parts shared when the object goes',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripe = newStripe();
        await store.createUpload(upload);
        await store.putPart(partRequest(upload, 1, { stripes: [stripe] }));
        await store.putPart(partRequest(upload, 2, { extents: extentsOf([stripe]) }));
        await store.putPart(partRequest(upload, 3, { extents: extentsOf([stripe]) }));
        await store.completeUpload(completionOf([1, 2]));
        assert.deepEqual(await freedStripes(store), []);
        await store.putVersion(putRequest(key));
        assert.deepEqual(await freedStripes(store), [stripe.id]);
      }),
    );

    it(
      'replaces the object that was there, as the bucket has it',
      withStore(make, async (store) => {
        await createBucket(store);
        const [old, part] = [newStripe(), newStripe()];
        await store.createUpload(upload);
        await store.putPart(partRequest(upload, 1, { stripes: [part] }));
        await store.putVersion(putRequest(key, { stripes: [old] }));
        const version = await store.completeUpload(completionOf([1]));
        assert.equal(version.versionId, 'null');
        assert.deepEqual(await freedStripes(store), [old.id]);
        const { versions } = await store.listVersions({ bucket: bucketName, limit: 10 });
        assert.deepEqual(
          versions.map((each) => each.kind === 'object' && each.etag),
          ['whole-1'],
        );
      }),
    );

    it(
      'becomes the newest version, though the upload began before others were put',
      withStore(make, async (store) => {
        await createBucket(store, 'enabled');
        await store.createUpload(upload);
        await store.putPart(partRequest(upload, 1, {}));
        const before = await store.putVersion(putRequest(key, { etag: 'meanwhile' }));
        await store.completeUpload(completionOf([1]));
        const { versions } = await store.listVersions({ bucket: bucketName, limit: 10 });
        assert.deepEqual(
          versions.map((each) => each.kind === 'object' && each.etag),
          ['whole-1', 'meanwhile'],
        );
        assert.ok(versions[0]?.isLatest && !versions[1]?.isLatest);
        assert.equal((await store.findVersion(bucketName, key, before.versionId))?.isLatest, false);
      }),
    );

    it(
      'leaves the upload open when it refuses to complete it',
      withStore(make, async (store) => {
        await createBucket(store);
        await store.createUpload(upload);
        for (const partNumber of [1, 2])
          await store.putPart(partRequest(upload, partNumber, { stripes: [newStripe()] }));
        await store.putVersion(putRequest(key, { etag: 'there' }));
        const isInvalid = (partNumber: number) => (error: unknown) =>
          isFailure(error, 'part-invalid') && error.detail.partNumber === partNumber;
        await assert.rejects(store.completeUpload(completionOf([1, 3])), isInvalid(3));
        const changed = completionOf([1, 2], { parts: [{ partNumber: 1, etag: 'before' }] });
        await assert.rejects(store.completeUpload(changed), isInvalid(1));
        await assert.rejects(store.completeUpload(completionOf([1, 1])), isInvalid(1));
        const absent = completionOf([1, 2], { condition: { kind: 'absent' } });
        await assert.rejects(store.completeUpload(absent), (error) => isFailure(error, 'precondition-failed'));
        const missing = completionOf([1], { condition: { kind: 'etag', etag: 'gone' } });
        await assert.rejects(store.completeUpload(missing), (error) => isFailure(error, 'precondition-failed'));
        assert.equal((await store.listParts(bucketName, key, 'upload-1')).parts.length, 2);
        assert.deepEqual(await freedStripes(store), []);
        await store.completeUpload(completionOf([1, 2], { condition: { kind: 'etag', etag: 'there' } }));
      }),
    );

    it(
      'aborts an upload, frees its stripes, and then knows it no more',
      withStore(make, async (store) => {
        await createBucket(store);
        await store.createUpload(upload);
        const stripes = [newStripe(), newStripe()];
        await store.putPart(partRequest(upload, 1, { stripes }));
        await store.putPart(partRequest(upload, 2, { extents: extentsOf(stripes) }));
        await store.abortUpload(bucketName, key, 'upload-1');
        assert.deepEqual(await freedStripes(store), stripes.map(({ id }) => id).sort());
        const late = newStripe();
        const calls = [
          () => store.putPart(partRequest(upload, 3, { stripes: [late] })),
          () => store.listParts(bucketName, key, 'upload-1'),
          () => store.completeUpload(completionOf([1])),
          () => store.abortUpload(bucketName, key, 'upload-1'),
        ];
        for (const call of calls) await assert.rejects(call, (error) => isFailure(error, 'upload-missing'));
        assert.equal((await store.findStripes([late.id])).size, 0);
        assert.equal(await store.findCompletion(bucketName, key, 'upload-1'), undefined);
      }),
    );
  });
}
