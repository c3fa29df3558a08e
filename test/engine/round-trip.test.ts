import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { Stripe } from '../../core/model.ts';
import { packageBytes, sealedBytes, sealedRange } from '../../crypto/sealed-stream.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  collect,
  countShards,
  createTestEngine,
  failure,
  get,
  never,
  ownerId,
  put,
  stripesOf,
  type TestEngine,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

function around(...sizes: number[]): number[] {
  return sizes.flatMap((size) => [size - 1, size, size + 1]);
}

const profiles = [
  { name: 'STANDARD', k: 4, m: 2 },
  { name: 'SMALL', k: 2, m: 1 },
  { name: 'BARE', k: 1, m: 0 },
];

for (const profile of profiles) {
  const { name, k, m } = profile;
  describe(`what is put into ${k}+${m} comes back`, () => {
    let test: TestEngine;
    before(async () => {
      test = await createTestEngine({ profiles });
    });
    after(() => test.close());

    const row = k * 256 * KiB;
    const sizes = new Set([0, 1, ...around(4096, 16 * KiB, 64 * KiB, 128 * KiB, 256 * KiB, row, 3 * row)]);
    for (const sizeBytes of sizes) {
      for (const isUnsized of [false, true]) {
        it(`${sizeBytes} bytes${isUnsized ? ' of undeclared length' : ''}`, async () => {
          const bytes = patternBytes(sizeBytes, sizeBytes);
          const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: name };
          const version = await put(test, 'key', bytes, { isUnsized, chunkBytes: 100_000, attributes });
          assert.equal(version.etag, md5Hex(bytes));
          assert.equal(version.sizeBytes, sizeBytes);
          assert.ok((await get(test, 'key')).equals(bytes));
          await assertBudgetsFree(test);
        });
      }
    }
  });
}

describe('an object of many stripes', () => {
  let test: TestEngine;
  before(async () => {
    test = await createTestEngine({ profiles });
  });
  after(() => test.close());

  // 16 MiB in packages of 64 KiB are 256 tags longer, and the manifest comes on top.
  for (const sizeBytes of [16 * MiB - 8 * KiB, 16 * MiB - 4095, 16 * MiB, 16 * MiB + 1]) {
    it(`comes back: ${sizeBytes} bytes`, async () => {
      const bytes = patternBytes(sizeBytes);
      const version = await put(test, 'long', bytes);
      assert.equal(extentsOf(version).length, sizeBytes > 16 * MiB - 5000 ? 2 : 1);
      assert.ok((await get(test, 'long')).equals(bytes));
    });
  }

  it('comes back when its length was not declared', async () => {
    const bytes = patternBytes(17 * MiB);
    const version = await put(test, 'long', bytes, { isUnsized: true });
    assert.deepEqual(
      extentsOf(version).map((extent) => extent.length),
      [16 * MiB, sealedBytes(17 * MiB) - 16 * MiB],
    );
    assert.ok((await get(test, 'long')).equals(bytes));
  });

  it('can be read from any byte to any other', async () => {
    const bytes = patternBytes(17 * MiB + 5);
    await put(test, 'long', bytes);
    const edges = [0, 1, 256 * KiB, MiB, 8 * MiB, 9 * MiB, 16 * MiB, 17 * MiB, 17 * MiB + 4];
    const position = fc.oneof(
      fc.nat(bytes.length - 1),
      fc
        .tuple(fc.constantFrom(...edges), fc.integer({ min: -2, max: 2 }))
        .map(([edge, off]) => Math.min(Math.max(edge + off, 0), bytes.length - 1)),
    );
    await fc.assert(
      fc.asyncProperty(position, position, async (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const part = await get(test, 'long', { range: { kind: 'from', first, last } });
        assert.ok(part.equals(bytes.subarray(first, last + 1)), `bytes ${first} to ${last}`);
      }),
      { numRuns: 15 },
    );
  });
});

describe('what a put costs', () => {
  let test: TestEngine;
  before(async () => {
    test = await createTestEngine();
  });
  after(() => test.close());

  it('an empty object touches no provider', async () => {
    test.calls.length = 0;
    await put(test, 'empty', Buffer.alloc(0));
    assert.equal((await get(test, 'empty')).length, 0);
    assert.deepEqual(test.calls, []);
  });

  it('an object of up to 16 KiB is one data shard and the parity, and one call reads it', async () => {
    const bytes = patternBytes(16 * KiB);
    const before = await countShards(test);
    await put(test, 'small', bytes);
    assert.equal((await countShards(test)) - before, 3);
    test.calls.length = 0;
    assert.ok((await get(test, 'small')).equals(bytes));
    assert.equal(test.calls.length, 1);
  });

  it('a range within a block reads its packages and nothing else', async () => {
    const bytes = patternBytes(8 * MiB);
    await put(test, 'ranged', bytes);
    const first = 3 * MiB + 256 * KiB + 10;
    test.calls.length = 0;
    const part = await get(test, 'ranged', { range: { kind: 'from', first, last: first + 99 } });
    assert.ok(part.equals(bytes.subarray(first, first + 100)));
    const reads = test.calls.map((call) => call.split(' ').slice(3).map(Number));
    const at = sealedRange(8 * MiB, Math.floor(first / packageBytes), Math.floor(first / packageBytes));
    const [{ blockBytes }] = (await stripesOf(test, 'ranged')) as [Stripe];
    const inRow = at.offset % (4 * blockBytes);
    const row = Math.floor(at.offset / (4 * blockBytes));
    assert.deepEqual(reads, [[64 + row * blockBytes + (inRow % blockBytes), at.length]]);
  });

  it('a range over several blocks reads the blocks that it touches and nothing else', async () => {
    const bytes = patternBytes(8 * MiB);
    await put(test, 'ranged', bytes);
    const first = 3 * MiB + 200 * KiB;
    const range = { kind: 'from', first, last: first + 200 * KiB } as const;
    test.calls.length = 0;
    assert.ok((await get(test, 'ranged', { range })).equals(bytes.subarray(first, range.last + 1)));
    const [{ blockBytes }] = (await stripesOf(test, 'ranged')) as [Stripe];
    const lengths = test.calls.map((call) => Number(call.split(' ').at(4)));
    assert.deepEqual(
      lengths.filter((length) => length === blockBytes),
      [blockBytes, blockBytes],
    );
    assert.equal(lengths.length, 2, 'tags prove them: no digests are read');
  });

  it('no two shards of a stripe lie at one provider', async () => {
    await put(test, 'spread', patternBytes(2 * MiB));
    const [stripe] = (await stripesOf(test, 'spread')) as [Stripe];
    assert.equal(stripe.shards.length, 6);
    assert.equal(new Set(stripe.shards.map((shard) => shard.providerId)).size, 6);
  });
});

describe('opening an object', () => {
  let test: TestEngine;
  before(async () => {
    test = await createTestEngine();
    await put(test, 'key', patternBytes(1000));
  });
  after(() => test.close());

  it('reads nothing', async () => {
    test.calls.length = 0;
    await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    assert.deepEqual(test.calls, []);
  });

  it('fails when there is no bucket, no object or no version', async () => {
    const { objects } = test.engine;
    await assert.rejects(objects.open({ bucket: 'nowhere', key: 'key' }), failure('bucket-missing'));
    await assert.rejects(
      objects.open({ bucket: bucketName, key: 'other' }),
      failure('object-missing', { key: 'other' }),
    );
    const gone = objects.open({ bucket: bucketName, key: 'key', versionId: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
    await assert.rejects(gone, failure('version-missing'));
  });

  it('tells a delete marker that was named from one that was met', async () => {
    await test.engine.buckets.setVersioning(bucketName, 'enabled');
    await put(test, 'marked', patternBytes(10));
    const target = { bucket: bucketName, key: 'marked' };
    const outcome = await test.engine.objects.delete({ ...target, ownerId, nowMs: test.clock.now() });
    assert.equal(outcome.kind, 'marker-created');
    const { versionId } = outcome as { versionId: string };
    await assert.rejects(test.engine.objects.open(target), failure('delete-marker', { named: false, versionId }));
    const named = test.engine.objects.open({ ...target, versionId });
    await assert.rejects(named, failure('delete-marker', { named: true, versionId }));
  });

  it('gives all of an object that has no parts as its part 1', async () => {
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key', partNumber: 1 });
    assert.deepEqual([object.offset, object.length, object.isPartial], [0, 1000, true]);
    assert.equal((await collect(object.read(never))).length, 1000);
    const second = test.engine.objects.open({ bucket: bucketName, key: 'key', partNumber: 2 });
    await assert.rejects(second, failure('part-number-not-satisfiable', { partCount: 1 }));
  });
});
