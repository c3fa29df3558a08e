import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { CopiedObject, CopyObject } from '../../engine/engine.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  countShards,
  createTestEngine,
  failure,
  get,
  never,
  ownerId,
  payloadOf,
  put,
  stripesOf,
  type TestEngine,
} from './engine-harness.ts';

const MiB = 2 ** 20;

describe('copying an object', () => {
  let test: TestEngine;
  beforeEach(async () => {
    const profiles = [
      { name: 'STANDARD', k: 4, m: 2 },
      { name: 'STANDARD_IA', k: 2, m: 1 },
    ];
    test = await createTestEngine({ profiles, limits: { maxPutBytes: 20 * MiB } });
  });
  afterEach(() => test.close());

  function copy(from: string, to: string, change: Partial<CopyObject> = {}): Promise<CopiedObject> {
    const source = { bucket: bucketName, key: from };
    const request = { bucket: bucketName, key: to, source, ownerId, storageClass: 'STANDARD', ...change };
    return test.engine.objects.copy(request, never);
  }

  it('shares the stripes of its source, and keeps them when the source goes', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'source', bytes);
    const shards = await countShards(test);
    test.calls.length = 0;
    const { version, sourceVersionId } = await copy('source', 'copy');
    assert.equal(version.etag, md5Hex(bytes));
    assert.equal(sourceVersionId, 'null');
    assert.deepEqual(test.calls, [], 'no bytes were moved');
    await test.engine.objects.delete({ bucket: bucketName, key: 'source', ownerId, nowMs: test.clock.now() });
    test.clock.nowMs += 1000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 0);
    assert.equal(await countShards(test), shards);
    assert.ok((await get(test, 'copy')).equals(bytes));
    await test.engine.objects.delete({ bucket: bucketName, key: 'copy', ownerId, nowMs: test.clock.now() });
    test.clock.nowMs += 1000;
    assert.equal((await test.upkeep.runOnce()).stripesForgotten, 1);
    assert.equal(await countShards(test), 0);
  });

  it('takes attributes over or replaces them, but never copies a website redirect', async () => {
    const attributes = {
      headers: { contentType: 'text/plain', websiteRedirectLocation: '/elsewhere' },
      userMetadata: { colour: 'red' },
      tags: { team: 'a' },
      storageClass: 'STANDARD',
    };
    await put(test, 'source', patternBytes(10), { attributes });
    const { version: plain } = await copy('source', 'plain');
    assert.deepEqual(plain.headers, { contentType: 'text/plain' });
    assert.deepEqual(plain.userMetadata, { colour: 'red' });
    assert.deepEqual(plain.tags, { team: 'a' });
    const metadata = { headers: { contentType: 'image/png' }, userMetadata: {} };
    const { version: changed } = await copy('source', 'changed', { metadata, tags: {} });
    assert.deepEqual([changed.headers, changed.userMetadata, changed.tags], [metadata.headers, {}, {}]);
  });

  it('onto itself needs a change', async () => {
    await put(test, 'self', patternBytes(100));
    await assert.rejects(copy('self', 'self'), failure('copy-onto-itself', { key: 'self' }));
    const changes: Partial<CopyObject>[] = [
      { tags: {} },
      { metadata: { headers: {}, userMetadata: { a: 'b' } } },
      { checksumAlgorithm: 'SHA1' },
      { storageClass: 'STANDARD_IA' },
    ];
    for (const change of changes) await copy('self', 'self', change);
    assert.ok((await get(test, 'self')).equals(patternBytes(100)));
  });

  it('computes a checksum that the source does not have, and keeps one that it has', async () => {
    const bytes = patternBytes(2 * MiB);
    await put(test, 'source', bytes, { checksumAlgorithm: 'CRC32' });
    const { version: kept } = await copy('source', 'kept', { checksumAlgorithm: 'CRC32' });
    assert.equal(kept.checksum?.algorithm, 'CRC32');
    const { version } = await copy('source', 'summed', { checksumAlgorithm: 'SHA256' });
    const value = createHash('sha256').update(bytes).digest('base64');
    assert.deepEqual(version.checksum, { algorithm: 'SHA256', type: 'FULL_OBJECT', value });
    assert.deepEqual(version.spans, kept.spans);
    await assertBudgetsFree(test);
  });

  it('into another storage class writes the bytes anew', async () => {
    const bytes = patternBytes(17 * MiB);
    await put(test, 'source', bytes);
    const { version } = await copy('source', 'cheap', { storageClass: 'STANDARD_IA' });
    assert.equal(version.storageClass, 'STANDARD_IA');
    const stripes = await stripesOf(test, 'cheap');
    assert.equal(stripes.length, 2);
    for (const stripe of stripes) {
      assert.deepEqual([stripe.k, stripe.m, stripe.shards.length], [2, 1, 3]);
    }
    assert.ok((await get(test, 'cheap')).equals(bytes));
    await assertBudgetsFree(test);
  });

  it('refuses a source that is missing, too long, or not as the conditions say', async () => {
    await put(test, 'source', patternBytes(100));
    const from = (conditions: object) => ({ source: { bucket: bucketName, key: 'source', conditions } });
    await assert.rejects(copy('nothing', 'copy'), failure('object-missing', { key: 'nothing' }));
    await assert.rejects(
      copy('source', 'copy', { bucket: 'nowhere' }),
      failure('bucket-missing', { bucket: 'nowhere' }),
    );
    const cases = [
      [{ ifMatch: ['x'] }, 'x-amz-copy-source-If-Match'],
      [{ ifNoneMatch: ['*'] }, 'x-amz-copy-source-If-None-Match'],
      [{ ifModifiedSinceMs: test.clock.now() + 10_000 }, 'x-amz-copy-source-If-Modified-Since'],
      [{ ifUnmodifiedSinceMs: test.clock.now() - 10_000 }, 'x-amz-copy-source-If-Unmodified-Since'],
    ] as const;
    for (const [conditions, condition] of cases) {
      await assert.rejects(copy('source', 'copy', from(conditions)), failure('precondition-failed', { condition }));
    }
    await put(test, 'exists', patternBytes(1));
    const guarded = copy('source', 'exists', { condition: { kind: 'absent' } });
    await assert.rejects(guarded, failure('precondition-failed', { condition: 'If-None-Match' }));
  });

  it('refuses a source that is longer than one copy may be', async () => {
    const uploads = test.engine.uploads;
    const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
    const { uploadId } = await uploads.create({ bucket: bucketName, key: 'long', ownerId, attributes });
    const target = { bucket: bucketName, key: 'long', uploadId };
    const parts = [];
    for (const partNumber of [1, 2]) {
      const { etag } = await uploads.putPart(
        { ...target, partNumber, payload: payloadOf(patternBytes(11 * MiB)) },
        never,
      );
      parts.push({ partNumber, etag });
    }
    await uploads.complete({ ...target, parts }, never);
    const detail = { sizeBytes: 22 * MiB, maxBytes: 20 * MiB };
    await assert.rejects(copy('long', 'copy'), failure('copy-source-too-large', detail));
  });

  it('looks again when the source is replaced in the middle', async () => {
    await put(test, 'source', patternBytes(100, 'old'));
    const { metadata } = test;
    const putVersion = metadata.putVersion.bind(metadata);
    metadata.putVersion = async (request) => {
      metadata.putVersion = putVersion;
      await put(test, 'source', patternBytes(100, 'new'));
      test.clock.nowMs += 1000;
      assert.equal((await test.upkeep.runOnce()).stripesForgotten, 1);
      return putVersion(request);
    };
    await copy('source', 'copy');
    assert.ok((await get(test, 'copy')).equals(patternBytes(100, 'new')));
  });
});
