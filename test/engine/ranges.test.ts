import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { packageBytes } from '../../crypto/sealed-stream.ts';
import type { OpenObject, UploadTarget } from '../../engine/engine.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  get,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  readMetric,
  type TestEngine,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('any range of any object', () => {
  let test: TestEngine;
  const objects = new Map<string, Buffer>();

  before(async () => {
    test = await createTestEngine({ limits: { minPartBytes: 1 } });
    const sizes = [
      1,
      700,
      packageBytes,
      packageBytes + 1,
      2 * packageBytes,
      128 * KiB + 1,
      300 * KiB,
      MiB,
      3 * MiB + 7,
    ];
    // Those that fit into packs go together, so that they lie somewhere within.
    await Promise.all([...sizes, 5000, 20_000, 100_001].map((sizeBytes) => store(`of ${sizeBytes}`, sizeBytes, false)));
    await store('undeclared', 200_000, true);
    await store('of two stripes', 17 * MiB, false);
    await storeParts('of parts', [300 * KiB, 10, packageBytes, 140 * KiB, 5000]);
    await storePieces('of pieces');
  });
  after(() => test.close());

  async function store(key: string, sizeBytes: number, isUnsized: boolean): Promise<void> {
    const bytes = patternBytes(sizeBytes, key);
    await put(test, key, bytes, { isUnsized });
    objects.set(key, bytes);
  }

  async function begin(key: string): Promise<UploadTarget> {
    const request = { bucket: bucketName, key, ownerId, attributes: plainAttributes };
    const { uploadId } = await test.engine.uploads.create(request);
    return { bucket: bucketName, key, uploadId };
  }

  async function readWhole(key: string, range: OpenObject['range']): Promise<Buffer | undefined> {
    const object = await test.engine.objects.open({ bucket: bucketName, key, ...(range && { range }) });
    const whole = await object.readWhole({ signal: never });
    const bytes = whole && Buffer.from(whole.bytes);
    whole?.release(false);
    return bytes;
  }

  async function storeParts(key: string, sizes: readonly number[]): Promise<void> {
    const target = await begin(key);
    const bodies = sizes.map((size, at) => patternBytes(size, `${key} ${at}`));
    const parts = await Promise.all(
      bodies.map((bytes, at) =>
        test.engine.uploads.putPart({ ...target, partNumber: at + 1, payload: payloadOf(bytes) }, never),
      ),
    );
    await test.engine.uploads.complete({ ...target, parts }, never);
    objects.set(key, Buffer.concat(bodies));
  }

  /** Parts that were copied out of the middle of other objects, some of them copied themselves. */
  async function storePieces(key: string): Promise<void> {
    const { uploads } = test.engine;
    const cuts: [string, number, number][] = [
      ['of 100001', 10, 70_000],
      [`of ${3 * MiB + 7}`, packageBytes - 1, packageBytes],
      ['of two stripes', 16 * MiB - 100_000, 16 * MiB + 100_000],
      ['of parts', 299 * KiB, 301 * KiB],
      ['of 700', 0, 699],
    ];
    const middle = await begin('of pieces of pieces');
    const target = await begin(key);
    for (const [to, wanted] of [
      [middle, cuts],
      [target, [...cuts, ['of pieces of pieces', 60_000, 200_000]]],
    ] as [UploadTarget, typeof cuts][]) {
      const bodies: Buffer[] = [];
      const parts: { partNumber: number; etag: string }[] = [];
      for (const [at, [from, first, last]] of wanted.entries()) {
        const source = { bucket: bucketName, key: from };
        const range = { first, last };
        const { part } = await uploads.copyPart({ ...to, partNumber: at + 1, source, range }, never);
        parts.push({ partNumber: at + 1, etag: part.etag });
        bodies.push(objects.get(from)!.subarray(first, last + 1));
      }
      await uploads.complete({ ...to, parts }, never);
      objects.set(to.key, Buffer.concat(bodies));
    }
  }

  it('is the slice of its bytes', async () => {
    const place = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: -2, max: 2 }), fc.boolean());
    const toPosition = ([share, off, isAtEdge]: [number, number, boolean], sizeBytes: number): number => {
      const at = Math.floor(share * sizeBytes);
      const near = isAtEdge ? Math.round(at / packageBytes) * packageBytes + off : at;
      return Math.min(Math.max(near, 0), sizeBytes - 1);
    };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...objects.keys()), place, place, async (key, a, b) => {
        const bytes = objects.get(key)!;
        const [one, other] = [toPosition(a, bytes.length), toPosition(b, bytes.length)];
        const [first, last] = [Math.min(one, other), Math.max(one, other)];
        const range = { kind: 'from', first, last } as const;
        const wanted = bytes.subarray(first, last + 1);
        assert.ok((await get(test, key, { range })).equals(wanted), `${key} ${first}-${last}`);
        // From a provider, or from memory where a range of the same packages was read before.
        const whole = await readWhole(key, range);
        assert.ok(whole === undefined || whole.equals(wanted), `${key} ${first}-${last} at once`);
        if (bytes.length <= packageBytes) assert.ok(whole, `${key} is small`);
      }),
      { numRuns: 250 },
    );
    await assertBudgetsFree(test);
  });

  it('is read from memory where it is of a small object that was read before', async () => {
    const { smallReads } = test.metrics;
    const fromMemory = (): Promise<number> => readMetric(smallReads, { source: 'memory' });
    await readWhole('of 700', undefined);
    const before = await fromMemory();
    assert.ok(
      (await readWhole('of 700', { kind: 'from', first: 10, last: 19 }))?.equals(
        objects.get('of 700')!.subarray(10, 20),
      ),
    );
    assert.equal(await fromMemory(), before + 1);
    assert.ok((await get(test, 'of 700')).equals(objects.get('of 700')!));
    assert.equal(await fromMemory(), before + 1, 'a copy or a check asks the providers');
    await assertBudgetsFree(test);
  });

  it('may be all of it, its last byte, or a part', async () => {
    for (const [key, bytes] of objects) {
      assert.ok((await get(test, key)).equals(bytes), key);
      assert.ok((await get(test, key, { range: { kind: 'suffix', length: 1 } })).equals(bytes.subarray(-1)), key);
      assert.ok((await get(test, key, { range: { kind: 'from', first: 0 } })).equals(bytes), key);
    }
    const parts = objects.get('of parts')!;
    assert.ok((await get(test, 'of parts', { partNumber: 2 })).equals(parts.subarray(300 * KiB, 300 * KiB + 10)));
    await assertBudgetsFree(test);
  });
});
