import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rowBufferBytes } from '../../engine/row-pool.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  failure,
  get,
  never,
  payloadOf,
  put,
  readMetric,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const rowBytes = rowBufferBytes({ k: 4, m: 2, blockBytes: 272 * KiB });

describe('memory', () => {
  it('one row is enough for an upload, and many uploads share it', async () => {
    const test = await createTestEngine({ limits: { writeBudgetBytes: rowBytes, readBudgetBytes: rowBytes } });
    const objects = Array.from({ length: 6 }, (_, turn) => patternBytes(3 * MiB + turn, turn));
    await Promise.all(objects.map((bytes, turn) => put(test, `key ${turn}`, bytes)));
    const read = await Promise.all(objects.map((_, turn) => get(test, `key ${turn}`)));
    for (const [turn, bytes] of objects.entries()) assert.ok(read[turn]!.equals(bytes));
    await assertBudgetsFree(test);
    await test.close();
  });

  it('an upload that has sent nothing yet holds nothing', async () => {
    const test = await createTestEngine({ limits: { writeBudgetBytes: rowBytes, readBudgetBytes: rowBytes } });
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const payload = payloadOf(patternBytes(MiB));
    async function* slowly(): AsyncGenerator<Uint8Array> {
      begun.resolve();
      await held.promise;
      yield* payload.bytes;
    }
    const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
    const request = { bucket: bucketName, key: 'slow', ownerId: 'a', attributes };
    const slow = test.engine.objects.put({ ...request, payload: { ...payload, bytes: slowly() } }, never);
    await begun.promise;
    await put(test, 'quick', patternBytes(2 * MiB));
    held.resolve();
    await slow;
    await test.close();
  });

  it('past the budget an upload is refused after the wait, and leaves nothing', async () => {
    const limits = { writeBudgetBytes: rowBytes, readBudgetBytes: rowBytes, budgetWaitMs: 20 };
    const test = await createTestEngine({ limits });
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const payload = payloadOf(patternBytes(MiB));
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield* payload.bytes;
      begun.resolve();
      await held.promise;
    }
    const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
    const request = { bucket: bucketName, key: 'slow', ownerId: 'a', attributes };
    const slow = test.engine.objects.put({ ...request, payload: { ...payload, bytes: slowly() } }, never);
    await begun.promise;
    await assert.rejects(
      put(test, 'other', patternBytes(MiB)),
      failure('overloaded', { resource: 'write', waitedMs: 20 }),
    );
    held.resolve();
    await slow;
    await assertBudgetsFree(test);
    await test.close();
  });

  it('a reader that stops taking holds what it has not taken, and no more', async () => {
    const test = await createTestEngine();
    await put(test, 'key', patternBytes(6 * MiB));
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const chunks = object.read(never)[Symbol.asyncIterator]();
    const held = (): Promise<number> => readMetric(test.metrics.budgetBytes, { budget: 'read' });
    await chunks.next();
    // One row in hand, and the next one on its way or there.
    assert.ok((await held()) <= MiB + 1.5 * MiB);
    await chunks.return?.();
    await assertBudgetsFree(test);
    await test.close();
  });

  it('a reader of a small object holds it until it asks for more', async () => {
    const test = await createTestEngine();
    await put(test, 'small', patternBytes(100 * KiB));
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'small' });
    const chunks = object.read(never)[Symbol.asyncIterator]();
    const { value } = await chunks.next();
    assert.equal(value?.length, 100 * KiB);
    const held = await readMetric(test.metrics.budgetBytes, { budget: 'read' });
    assert.ok(held >= 100 * KiB && held < 110 * KiB, `${held} bytes`);
    await chunks.next();
    await assertBudgetsFree(test);
    await test.close();
  });

  it('readers past the budget are refused after the wait', async () => {
    const limits = { writeBudgetBytes: rowBytes, readBudgetBytes: rowBytes, budgetWaitMs: 20 };
    const test = await createTestEngine({ limits });
    await put(test, 'key', patternBytes(6 * MiB));
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const chunks = object.read(never)[Symbol.asyncIterator]();
    await chunks.next();
    await assert.rejects(get(test, 'key'), failure('overloaded', { resource: 'read' }));
    await chunks.return?.();
    assert.equal((await get(test, 'key')).length, 6 * MiB);
    await test.close();
  });

  it('does not start with budgets that hold no row, or with a profile that cannot be written', async () => {
    await assert.rejects(createTestEngine({ limits: { readBudgetBytes: rowBytes - 1 } }), RangeError);
    await assert.rejects(createTestEngine({ limits: { writeBudgetBytes: rowBytes - 1 } }), RangeError);
    await assert.rejects(createTestEngine({ profiles: [{ name: 'REDUCED_REDUNDANCY', k: 4, m: 2 }] }), RangeError);
  });
});
