import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { checksums } from '../../core/checksums.ts';
import type { ChecksumAlgorithm, Part } from '../../core/model.ts';
import type { CompletedUpload, CompleteUploadRequest, CreateUpload, UploadTarget } from '../../engine/engine.ts';
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
  payloadOf,
  plainAttributes,
  put,
  stripesOf,
  type TestEngine,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const sizes = [100 * KiB, 300 * KiB, 10 * KiB];
const bytesOfParts = sizes.map((size) => patternBytes(size, size));
const whole = Buffer.concat(bytesOfParts);

function sum(algorithm: ChecksumAlgorithm, ...chunks: Uint8Array[]): string {
  const hasher = checksums[algorithm].create();
  for (const chunk of chunks) hasher.update(chunk);
  return Buffer.from(hasher.digest()).toString('base64');
}

describe('uploading in parts', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ limits: { minPartBytes: 100 * KiB, maxObjectBytes: MiB } });
  });
  afterEach(() => test.close());

  async function begin(change: Partial<CreateUpload> = {}): Promise<UploadTarget> {
    const request = { bucket: bucketName, key: 'key', ownerId, attributes: plainAttributes, ...change };
    const { uploadId, bucket, key } = await test.engine.uploads.create(request);
    return { uploadId, bucket, key };
  }

  async function putParts(target: UploadTarget, numbers = [1, 2, 3]): Promise<Part[]> {
    const parts = numbers.map((partNumber, at) =>
      test.engine.uploads.putPart({ ...target, partNumber, payload: payloadOf(bytesOfParts[at]!) }, never),
    );
    return Promise.all(parts);
  }

  function complete(
    target: UploadTarget,
    parts: CompleteUploadRequest['parts'],
    change: Partial<CompleteUploadRequest> = {},
  ): Promise<CompletedUpload> {
    const listed = parts.map(({ partNumber, etag }) => ({ partNumber, etag }));
    return test.engine.uploads.complete({ ...target, parts: listed, ...change }, never);
  }

  it('makes one object of its parts', async () => {
    const target = await begin();
    assert.match(target.uploadId, /^[\w-]{64}$/);
    const parts = await putParts(target, [1, 5, 9]);
    test.clock.nowMs += 60_000;
    const { etag } = await complete(target, parts);
    const md5s = Buffer.concat(bytesOfParts.map((bytes) => createHash('md5').update(bytes).digest()));
    assert.equal(etag, `${md5Hex(md5s)}-3`);
    assert.ok((await get(test, 'key')).equals(whole));
    assert.ok((await get(test, 'key', { partNumber: 5 })).equals(bytesOfParts[1]!));
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key', partNumber: 9 });
    assert.deepEqual([object.offset, object.length, object.isPartial], [400 * KiB, 10 * KiB, true]);
    assert.equal(object.version.modifiedAtMs, test.clock.nowMs - 60_000, 'dated from its beginning, as AWS does');
    await assert.rejects(
      test.engine.objects.open({ bucket: bucketName, key: 'key', partNumber: 2 }),
      failure('part-number-not-satisfiable', { partNumber: 2, partCount: 3 }),
    );
    await assert.rejects(test.engine.uploads.get(target), failure('upload-missing'));
    await assertBudgetsFree(test);
  });

  it('answers a repeated completion the same, and one with other parts not at all', async () => {
    const target = await begin();
    const parts = await putParts(target);
    const first = await complete(target, parts);
    assert.deepEqual(await complete(target, parts), first);
    await assert.rejects(complete(target, parts.slice(0, 2)), failure('upload-missing'));
  });

  it('answers two completions at once the same', async () => {
    const target = await begin();
    const parts = await putParts(target);
    const [one, two] = await Promise.all([complete(target, parts), complete(target, parts)]);
    assert.deepEqual(one, two);
  });

  it('refuses parts that are out of order, absent, changed or too small', async () => {
    const target = await begin();
    const [a, b] = (await putParts(target)) as [Part, Part];
    await assert.rejects(complete(target, [b, a]), failure('part-order', { partNumber: 1 }));
    await assert.rejects(complete(target, [a, a]), failure('part-order', { partNumber: 1 }));
    const absent = { partNumber: 4, etag: a.etag };
    await assert.rejects(complete(target, [a, absent]), failure('part-invalid', { partNumber: 4 }));
    await assert.rejects(complete(target, [{ ...a, etag: b.etag }]), failure('part-invalid', { partNumber: 1 }));
    const [small] = await putParts(target, [2]);
    await assert.rejects(complete(target, [a, b]), failure('part-invalid', { partNumber: 2 }), 'it was replaced');
    const shortPart = { ...target, partNumber: 4, payload: payloadOf(patternBytes(100 * KiB - 1)) };
    const short = await test.engine.uploads.putPart(shortPart, never);
    const detail = { partNumber: 4, etag: short.etag, sizeBytes: 100 * KiB - 1, minBytes: 100 * KiB };
    await test.engine.uploads.putPart({ ...target, partNumber: 5, payload: payloadOf(patternBytes(1)) }, never);
    const last = { partNumber: 5, etag: md5Hex(patternBytes(1)) };
    await assert.rejects(complete(target, [a, short, last]), failure('part-too-small', detail));
    await complete(target, [a, small!, short]);
  });

  it('refuses a size that is not what the client expects, or more than an object may have', async () => {
    const target = await begin();
    const parts = await putParts(target);
    const wrong = complete(target, parts, { expectedSizeBytes: 1 });
    await assert.rejects(wrong, failure('size-mismatch', { expectedBytes: 1, actualBytes: whole.length }));
    const request = { ...target, partNumber: 2, payload: payloadOf(patternBytes(MiB)) };
    const long = await test.engine.uploads.putPart(request, never);
    const tooLong = failure('object-too-large', { sizeBytes: MiB + 110 * KiB, maxBytes: MiB });
    await assert.rejects(complete(target, [parts[0]!, long, parts[2]!]), tooLong);
  });

  for (const algorithm of ['CRC32', 'SHA256'] as const) {
    it(`gives a composite ${algorithm}, and compares it with the client's`, async () => {
      const target = await begin({ checksumAlgorithm: algorithm });
      const parts = await putParts(target);
      assert.equal(parts[1]?.checksum?.value, sum(algorithm, bytesOfParts[1]!));
      const sums = bytesOfParts.map((bytes) => Buffer.from(sum(algorithm, bytes), 'base64'));
      const value = sum(algorithm, ...sums);
      const wrong = complete(target, parts, { checksum: { algorithm, value: sum(algorithm) } });
      await assert.rejects(wrong, failure('digest-mismatch', { digest: algorithm, actual: `${value}-3` }));
      const wrongPart = parts.map((part) => ({ ...part, checksum: { algorithm, value: sum(algorithm) } }));
      const badPart = test.engine.uploads.complete({ ...target, parts: wrongPart }, never);
      await assert.rejects(badPart, failure('part-invalid', { partNumber: 1 }));
      const { checksum } = await complete(target, parts, { checksum: { algorithm, value } });
      assert.deepEqual(checksum, { algorithm, type: 'COMPOSITE', value: `${value}-3` });
    });
  }

  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
    it(`gives the ${algorithm} of the full object without reading it again`, async () => {
      const target = await begin({ checksumAlgorithm: algorithm, checksumType: 'FULL_OBJECT' });
      const parts = await putParts(target);
      test.calls.length = 0;
      const { checksum } = await complete(target, parts, { checksumType: 'FULL_OBJECT' });
      assert.deepEqual(checksum, { algorithm, type: 'FULL_OBJECT', value: sum(algorithm, whole) });
      assert.deepEqual(test.calls, []);
    });
  }

  it('keeps to the checksum that the upload was created with', async () => {
    const wrongType = begin({ checksumAlgorithm: 'SHA256', checksumType: 'FULL_OBJECT' });
    await assert.rejects(wrongType, failure('checksum-type-mismatch'));
    const target = await begin({ checksumAlgorithm: 'CRC32' });
    const summed = payloadOf(bytesOfParts[0]!, { checksumAlgorithm: 'SHA1' });
    const unexpected = test.engine.uploads.putPart({ ...target, partNumber: 1, payload: summed }, never);
    await assert.rejects(unexpected, failure('checksum-type-mismatch', { expected: 'CRC32', actual: 'SHA1' }));
    const parts = await putParts(target);
    const full = complete(target, parts, { checksumType: 'FULL_OBJECT' });
    await assert.rejects(full, failure('checksum-type-mismatch', { expected: 'COMPOSITE', actual: 'FULL_OBJECT' }));
    const other = complete(target, parts, { checksum: { algorithm: 'SHA1', value: 'x' } });
    await assert.rejects(other, failure('checksum-type-mismatch', { expected: 'CRC32', actual: 'SHA1' }));
  });

  it('keeps the checksums of parts when the upload has none, and gives the object none', async () => {
    const target = await begin();
    const payload = payloadOf(bytesOfParts[0]!, { checksumAlgorithm: 'CRC32' });
    const part = await test.engine.uploads.putPart({ ...target, partNumber: 1, payload }, never);
    assert.deepEqual(part.checksum, { algorithm: 'CRC32', type: 'FULL_OBJECT', value: sum('CRC32', bytesOfParts[0]!) });
    const { checksum } = await complete(target, [part]);
    assert.equal(checksum, undefined);
  });

  it('drops the bytes of parts that were replaced, not chosen, or aborted', async () => {
    const target = await begin();
    const parts = await putParts(target);
    const [replaced] = await putParts(target, [1]);
    await complete(target, [replaced!, parts[1]!]);
    const aborted = await begin();
    await putParts(aborted);
    await test.engine.uploads.abort(aborted);
    await assert.rejects(putParts(aborted), failure('upload-missing'));
    test.clock.nowMs += 1000;
    // Small parts that came together share a stripe: the first and the third, which are both gone, and likewise the aborted ones.
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 3);
    const stripes = await stripesOf(test, 'key');
    assert.equal(await countShards(test), stripes.flatMap((stripe) => stripe.shards).length);
    assert.ok((await get(test, 'key')).equals(whole.subarray(0, 400 * KiB)));
  });

  it('copies parts from objects, whole or by range, without writing bytes', async () => {
    await put(test, 'source', whole);
    const source = { bucket: bucketName, key: 'source' };
    const target = await begin({ checksumAlgorithm: 'CRC32C' });
    test.calls.length = 0;
    const ranges = [
      { first: 0, last: 150 * KiB - 1 },
      { first: 150 * KiB, last: 300 * KiB },
      { first: 300 * KiB + 1, last: whole.length - 1 },
    ];
    const parts: Part[] = [];
    for (const [at, range] of ranges.entries()) {
      const request = { ...target, partNumber: at + 1, source, range };
      const { part, sourceVersionId } = await test.engine.uploads.copyPart(request, never);
      const bytes = whole.subarray(range.first, range.last + 1);
      assert.equal(part.etag, md5Hex(bytes));
      assert.equal(part.checksum?.value, sum('CRC32C', bytes));
      assert.equal(sourceVersionId, 'null');
      parts.push(part);
    }
    assert.ok(!test.calls.some((call) => call.includes('createShard')));
    await complete(target, parts);
    assert.ok((await get(test, 'key')).equals(whole));
    const object = await test.engine.objects.open({
      bucket: bucketName,
      key: 'key',
      range: { kind: 'suffix', length: 200 * KiB },
    });
    assert.ok((await collect(object.read(never))).equals(whole.subarray(-200 * KiB)));
  });

  it('refuses to copy a part from beyond its source', async () => {
    await put(test, 'source', patternBytes(1000));
    const target = await begin();
    const copy = (first: number, last: number): Promise<unknown> => {
      const source = { bucket: bucketName, key: 'source' };
      return test.engine.uploads.copyPart({ ...target, partNumber: 1, source, range: { first, last } }, never);
    };
    await copy(0, 999);
    await assert.rejects(copy(0, 1000), failure('range-not-satisfiable', { sizeBytes: 1000, range: 'bytes=0-1000' }));
    await assert.rejects(copy(1000, 1000), failure('range-not-satisfiable'));
  });
});
