import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { Extent, ObjectVersion, SealedSpan } from '../../core/model.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import {
  bucketName,
  createBucket,
  extentsIn,
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

const upload = uploadOf('big', 'upload-1');

function extent(stripe: NewStripe, offset: number, length: number): Extent {
  return { stripeId: stripe.id, offset, length };
}

async function find(store: MetadataStore, key: string): Promise<ObjectVersion> {
  const version = await store.findVersion(bucketName, key);
  assert.ok(version?.kind === 'object');
  return version;
}

export function testMoves(make: MakeStore): void {
  describe('moving extents', () => {
    it(
      'redirects what lies wholly within a range, and leaves all else of a version as it was',
      withStore(make, async (store, clock) => {
        await createBucket(store, 'enabled');
        const [from, other, to] = [newStripe(), newStripe(), newStripe()];
        const span = (extents: readonly Extent[], keyByte: number): SealedSpan => ({
          wrappedKey: new Uint8Array(40).fill(keyByte),
          streamBytes: 5000,
          offset: 100,
          length: 300,
          extents,
        });
        const spans = [
          span([extent(from, 1000, 500), extent(other, 0, 10), extent(from, 1100, 50)], 1),
          span([extent(from, 999, 10), extent(from, 1490, 11), extent(from, 1500, 0)], 2),
        ];
        const content = { sizeBytes: 600, etag: 'e', spans };
        const put = await store.putVersion({ ...putRequest('key', { stripes: [from, other] }), content });
        clock.nowMs += 5000;
        const moves = [{ from: extent(from, 1000, 500), to: { stripeId: to.id, offset: 7 } }];
        await store.moveExtents({ moves, stripes: [to] });
        const moved = await find(store, 'key');
        assert.deepEqual(
          { ...moved },
          {
            ...put,
            spans: [
              span([extent(to, 7, 500), extent(other, 0, 10), extent(to, 107, 50)], 1),
              span([extent(from, 999, 10), extent(from, 1490, 11), extent(to, 507, 0)], 2),
            ],
          },
        );
        assert.deepEqual(await freedStripes(store), []);
        const live = (await store.listSparseStripes(10)).map(({ stripe, liveBytes }) => [stripe.id, liveBytes]);
        assert.deepEqual(
          new Map(live as [string, number][]),
          new Map([
            [from.id, 21],
            [other.id, 10],
            [to.id, 550],
          ]),
        );
      }),
    );

    it(
      'redirects parts and copies alike, frees what it empties, and completes to what it moved',
      withStore(make, async (store) => {
        await createBucket(store);
        const [from, to, unused] = [newStripe(), newStripe(), newStripe()];
        const halves = [extent(from, 0, 2048), extent(from, 2048, 2048)];
        await store.createUpload(upload);
        await store.putPart(partRequest(upload, 1, { stripes: [from], extents: [halves[0]!] }));
        await store.putPart(partRequest(upload, 2, { extents: halves }));
        await store.putVersion(putRequest('copy', { extents: [halves[1]!] }));
        // The halves change places.
        const moves = halves.map((half) => ({ from: half, to: { stripeId: to.id, offset: 2048 - half.offset } }));
        await store.moveExtents({ moves, stripes: [to, unused] });
        assert.deepEqual(await freedStripes(store), [from.id, unused.id].sort());
        const [first, second] = [extent(to, 2048, 2048), extent(to, 0, 2048)];
        const { parts } = await store.listParts(bucketName, 'big', 'upload-1');
        assert.deepEqual(
          parts.map((part) => extentsIn(part)),
          [[first], [first, second]],
        );
        assert.deepEqual(extentsIn(await find(store, 'copy')), [second]);
        const usage = await store.countUsage();
        assert.deepEqual([usage.liveStripes, usage.neededBytes], [1, 4 * 2048 * 1.5]);

        const chosen = [1, 2].map((partNumber) => ({ partNumber, etag: `etag-${partNumber}` }));
        const request = {
          bucket: bucketName,
          key: 'big',
          uploadId: 'upload-1',
          parts: chosen,
          etag: 'w',
          modifiedAtMs: 1,
        };
        const whole = await store.completeUpload(request);
        assert.deepEqual(extentsIn(whole), [first, first, second]);
        // What several parts of a version share moves and goes as one.
        const last = newStripe();
        const all = [{ from: extent(to, 0, 4096), to: { stripeId: last.id, offset: 0 } }];
        await store.moveExtents({ moves: all, stripes: [last] });
        assert.deepEqual(await freedStripes(store), [from.id, unused.id, to.id].sort());
        for (const key of ['big', 'copy']) await store.deleteVersion({ bucket: bucketName, key, ownerId, nowMs: 1 });
        assert.ok((await freedStripes(store)).includes(last.id));
        assert.equal((await store.countUsage()).neededBytes, 0);
      }),
    );

    it(
      'finds who owns an extent when it moves, not when the caller looked',
      withStore(make, async (store) => {
        await createBucket(store);
        const [from, to] = [newStripe(), newStripe()];
        await store.putVersion(putRequest('old', { stripes: [from] }));
        const move = store.moveExtents({
          moves: [{ from: extent(from, 0, 4096), to: { stripeId: to.id, offset: 0 } }],
          stripes: [to],
        });
        // In the same batch, but after it: a copy of the place from before comes too late.
        const late = store.putVersion(putRequest('late', { extents: extentsOf([from]) }));
        await assert.rejects(late, (error) => isFailure(error, 'stripe-missing'));
        await move;

        const third = newStripe();
        const gone = store.deleteVersion({ bucket: bucketName, key: 'old', ownerId, nowMs: 1 });
        await store.moveExtents({
          moves: [{ from: extent(to, 0, 4096), to: { stripeId: third.id, offset: 0 } }],
          stripes: [third],
        });
        await gone;
        assert.deepEqual(await freedStripes(store), [from.id, to.id, third.id].sort());
      }),
    );

    it(
      'refuses to move anything into a stripe that is not there',
      withStore(make, async (store) => {
        await createBucket(store);
        const [from, freed, unknown] = [newStripe(), newStripe(), newStripe()];
        await store.putVersion(putRequest('key', { stripes: [from] }));
        await store.putVersion(putRequest('gone', { stripes: [freed] }));
        await store.deleteVersion({ bucket: bucketName, key: 'gone', ownerId, nowMs: 1 });
        const fresh = newStripe();
        for (const { id } of [freed, unknown]) {
          const moves = [
            { from: extent(from, 0, 4096), to: { stripeId: fresh.id, offset: 0 } },
            { from: extent(from, 5000, 1), to: { stripeId: id, offset: 0 } },
          ];
          const refused = store.moveExtents({ moves, stripes: [fresh] });
          await assert.rejects(refused, (error) => isFailure(error, 'stripe-missing') && error.detail.stripeId === id);
        }
        assert.deepEqual(extentsIn(await find(store, 'key')), extentsOf([from]));
        assert.equal((await store.findStripes([fresh.id])).size, 0);
      }),
    );

    it(
      'moves the thousands of small objects of a pack',
      withStore(make, async (store) => {
        await createBucket(store);
        const count = 1500;
        const [pack, to] = [newStripe({ dataBytes: count * 20 }), newStripe({ dataBytes: count * 20 })];
        await Promise.all(
          Array.from({ length: count }, (_, index) =>
            store.putVersion(putRequest(`${index}`, { stripes: [pack], extents: [extent(pack, index * 20, 20)] })),
          ),
        );
        const references = await store.listReferences(pack.id);
        assert.deepEqual(new Set(references.map((each) => each.kind === 'version' && each.version.key)).size, count);
        const moves = references.map((reference, place) => {
          assert.ok(reference.kind === 'version');
          return { from: extentsIn(reference.version)[0]!, to: { stripeId: to.id, offset: place * 20 } };
        });
        await store.moveExtents({ moves, stripes: [to] });
        assert.deepEqual(await freedStripes(store), [pack.id]);
        for (const [place, reference] of references.entries()) {
          assert.ok(reference.kind === 'version');
          assert.deepEqual(extentsIn(await find(store, reference.version.key)), [extent(to, place * 20, 20)]);
        }
      }),
    );
  });

  describe('sparse stripes', () => {
    it(
      'come worst first, and none of those that hold system objects or are full',
      withStore(make, async (store) => {
        await createBucket(store);
        const stripes = [6, 60, 1.05, 2].map((factor) => newStripe({ storedBytes: Math.ceil(4096 * 1.5 * factor) }));
        for (const stripe of stripes) await store.putVersion(putRequest(stripe.id, { stripes: [stripe] }));
        const system = { ...newStripe({ storedBytes: 1_000_000 }), profileName: systemProfileName };
        const content = { sizeBytes: 4096, spans: spansOf(extentsOf([system])) };
        await store.putSystemObject({ name: 's', number: store.drawNumber(), ...content, stripes: [system] });
        const list = async (limit: number) =>
          (await store.listSparseStripes(limit)).map(({ stripe }) => stripes.findIndex(({ id }) => id === stripe.id));
        assert.deepEqual(await list(10), [1, 0, 3]);
        assert.deepEqual(await list(2), [1, 0]);
        // Copies of the worst make it less so; half of the full one goes.
        for (let copy = 0; copy < 58; copy++) {
          await store.putVersion(putRequest(`copy ${copy}`, { extents: extentsOf([stripes[1]!]) }));
        }
        const half = [{ stripeId: stripes[2]!.id, offset: 0, length: 2048 }];
        await store.putVersion(putRequest(stripes[2]!.id, { extents: half }));
        assert.deepEqual(await list(10), [0, 2, 3]);
        await store.deleteVersion({ bucket: bucketName, key: stripes[0]!.id, ownerId, nowMs: 1 });
        assert.deepEqual(await list(10), [2, 3]);
      }),
    );
  });
}
