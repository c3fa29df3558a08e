import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Payload } from '../../core/payload.ts';
import { rowBufferBytes } from '../../engine/row-pool.ts';
import type { Fault } from '../../placement/providers/faulty-provider.ts';
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
  plainAttributes,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('writing to providers that fail', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ providerCount: 7 });
  });
  afterEach(() => test.close());

  for (const fault of ['error', 'full', 'hang'] as const) {
    it(`a stripe of one row moves to another provider when putShard meets ${fault}`, async () => {
      for (const sizeBytes of [3000, 100 * KiB, 900 * KiB]) {
        const bytes = patternBytes(sizeBytes);
        test.providers[0]!.faults.next('putShard', fault);
        const key = `key ${sizeBytes}`;
        // Some stripe will have the provider among its first.
        for (let turn = 0; turn < 10; turn++) await put(test, key, bytes);
        test.providers[0]!.faults.clear();
        assert.ok((await get(test, key)).equals(bytes));
        await verifyShards(test, key);
        test.clock.nowMs += 60_000;
      }
      assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'full' }), 30);
      assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'degraded' }), 0);
      assert.equal((await test.metadata.countUsage()).degradedStripes, 0);
      await assertBudgetsFree(test);
    });
  }

  const calls: ['createShard' | 'append', Fault][] = [
    ['createShard', 'error'],
    ['append', 'error'],
    ['createShard', 'full'],
    ['append', 'full'],
    ['append', 'hang'],
  ];
  for (const [call, fault] of calls) {
    it(`a stripe of two rows moves to another provider when its first ${call} meets ${fault}`, async () => {
      const bytes = patternBytes(1.25 * MiB);
      // Some stripe will have the provider among its first.
      for (let turn = 0; turn < 10; turn++) {
        test.providers[0]!.faults.next(call, fault);
        await put(test, 'key', bytes);
        test.providers[0]!.faults.clear();
        assert.equal(await verifyShards(test, 'key'), 6);
        test.clock.nowMs += 60_000;
      }
      assert.ok((await get(test, 'key')).equals(bytes));
      assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'full' }), 10);
      await assertBudgetsFree(test);
    });
  }

  // Rows of 4+2: a shard of 3.5 MiB has four appends and one commit.
  for (let callNumber = 1; callNumber <= 6; callNumber++) {
    it(`a long object survives a provider that fails at its call number ${callNumber}`, async () => {
      const bytes = patternBytes(3.5 * MiB);
      // Some stripe will have the provider among its first.
      for (let turn = 0; turn < 4; turn++) {
        const { faults } = test.providers[0]!;
        if (callNumber === 1) faults.next('createShard', 'error');
        else if (callNumber === 6) faults.next('commit', 'error');
        else {
          faults.next('append', { slowMs: 0 }, callNumber - 2);
          faults.next('append', 'error');
        }
        await put(test, `key ${turn}`, bytes);
        faults.clear();
        assert.ok((await get(test, `key ${turn}`)).equals(bytes));
        test.clock.nowMs += 60_000;
      }
      await test.upkeep.runOnce();
      assert.equal((await test.metadata.countUsage()).degradedStripes, 0);
      assert.equal(await countShards(test), 4 * 6);
    });
  }

  it('a long object that loses two of six providers in mid-write is refused and leaves nothing', async () => {
    const tight = await createTestEngine();
    for (const provider of tight.providers.slice(0, 2)) {
      provider.faults.next('append', { slowMs: 0 });
      provider.faults.next('append', 'error');
    }
    const detail = { needed: 5, durable: 4 };
    await assert.rejects(put(tight, 'key', patternBytes(3.5 * MiB)), failure('too-few-writes', detail));
    assert.equal(await countShards(tight), 0);
    await assertBudgetsFree(tight);
    await tight.close();
  });

  it('keeps a row while it may have to be written again', async () => {
    const rowBytes = rowBufferBytes({ k: 4, m: 2, blockBytes: 272 * KiB });
    const tight = await createTestEngine({ providerCount: 7, limits: { writeBudgetBytes: rowBytes } });
    // Each upload waits for the memory of the one before.
    tight.providers[0]!.faults.always('putShard', 'error');
    const turns = Array.from({ length: 8 }, (_, turn) => turn);
    await Promise.all(turns.map((turn) => put(tight, `key ${turn}`, patternBytes(900 * KiB, turn))));
    for (const turn of turns) assert.equal(await verifyShards(tight, `key ${turn}`), 6);
    await tight.close();
  });

  it('acknowledges with a quorum of 5 of 6, and repairs right after', async () => {
    for (const provider of test.providers.slice(0, 2)) provider.faults.always('createShard', 'error');
    const bytes = patternBytes(2 * MiB);
    await put(test, 'key', bytes);
    assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'degraded' }), 1);
    assert.equal((await test.metadata.countUsage()).degradedStripes, 1);
    assert.ok((await get(test, 'key')).equals(bytes));
    for (const provider of test.providers) provider.faults.clear();
    test.clock.nowMs += 60_000;
    assert.deepEqual(await test.upkeep.runOnce(), { shardsRepaired: 1, bytesCompacted: 0, stripesForgotten: 0 });
    assert.equal((await test.metadata.countUsage()).degradedStripes, 0);
    assert.ok((await get(test, 'key')).equals(bytes));
  });

  for (const sizeBytes of [3000, 20 * KiB, MiB, 5 * MiB]) {
    it(`refuses below the quorum and leaves nothing: ${sizeBytes} bytes`, async () => {
      for (const { faults } of test.providers.slice(0, 6)) {
        for (const call of ['putShard', 'commit'] as const) faults.always(call, 'error');
      }
      await assert.rejects(put(test, 'key', patternBytes(sizeBytes)), failure('too-few-writes'));
      await assert.rejects(get(test, 'key'), failure('object-missing'));
      assert.equal(await countShards(test), 0);
      assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'failed' }), 1);
      await assertBudgetsFree(test);
    });
  }

  it('says that the storage is full when that is all that went wrong', async () => {
    for (const { faults } of test.providers) faults.always('all', 'full');
    await assert.rejects(put(test, 'key', patternBytes(3000)), failure('storage-full', { needed: 2, durable: 0 }));
    await assert.rejects(put(test, 'key', patternBytes(MiB)), failure('storage-full', { needed: 5, durable: 0 }));
    const [one] = test.providers;
    one!.faults.clear();
    for (const call of ['append', 'putShard'] as const) one!.faults.always(call, 'error');
    await assert.rejects(put(test, 'key', patternBytes(3000)), failure('too-few-writes'));
    await assert.rejects(put(test, 'key', patternBytes(MiB)), failure('too-few-writes'));
  });

  it('does not wait long for a provider under suspicion that hangs', async () => {
    const slow = await createTestEngine({ timeoutMs: 60_000, limits: { suspectWaitMs: 20 } });
    const [sick] = slow.providers;
    sick!.faults.next('createShard', 'error');
    await put(slow, 'first', patternBytes(1.25 * MiB));
    sick!.faults.always('createShard', 'hang');
    await put(slow, 'second', patternBytes(1.25 * MiB));
    assert.equal(await readMetric(slow.metrics.stripesWritten, { outcome: 'degraded' }), 2);
    await slow.close();
  });
});

describe('a put that fails', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  async function assertNothingStored(key: string): Promise<void> {
    await assert.rejects(get(test, key), failure('object-missing'));
    assert.equal(await countShards(test), 0);
    await assertBudgetsFree(test);
  }

  function putPayload(payload: Payload, signal = never): Promise<unknown> {
    return test.engine.objects.put(
      { bucket: bucketName, key: 'key', ownerId, payload, attributes: plainAttributes },
      signal,
    );
  }

  for (const sizeBytes of [100, 3 * MiB, 17 * MiB]) {
    it(`because the payload breaks off after ${sizeBytes} bytes leaves nothing`, async () => {
      const whole = payloadOf(patternBytes(sizeBytes));
      const reason = new Error('the connection was cut');
      async function* cutOff(): AsyncGenerator<Uint8Array> {
        yield* whole.bytes;
        throw reason;
      }
      await assert.rejects(putPayload({ ...whole, sizeBytes: 20 * MiB, bytes: cutOff() }), reason);
      await assertNothingStored('key');
    });

    it(`because the signal is aborted while the payload hangs after ${sizeBytes} bytes leaves nothing`, async () => {
      const whole = payloadOf(patternBytes(sizeBytes));
      const reason = new Error('the client went away');
      const controller = new AbortController();
      async function* hang(): AsyncGenerator<Uint8Array> {
        yield* whole.bytes;
        setImmediate(() => controller.abort(reason));
        await new Promise(() => {});
      }
      await assert.rejects(putPayload({ ...whole, sizeBytes: 20 * MiB, bytes: hang() }, controller.signal), reason);
      await assertNothingStored('key');
    });
  }

  it('because the signal is aborted while a provider hangs leaves nothing', async () => {
    const patient = await createTestEngine({ timeoutMs: 60_000 });
    for (const provider of patient.providers) provider.faults.always('append', 'hang');
    const controller = new AbortController();
    setImmediate(() => controller.abort(new Error('the client went away')));
    await assert.rejects(put(patient, 'key', patternBytes(1.25 * MiB), { signal: controller.signal }), /went away/);
    await assertBudgetsFree(patient);
    await patient.close();
  });

  it('because the body is shorter than declared leaves nothing', async () => {
    const payload = { ...payloadOf(patternBytes(3 * MiB)), sizeBytes: 4 * MiB };
    const detail = { declaredBytes: 4 * MiB, receivedBytes: 3 * MiB };
    await assert.rejects(putPayload(payload), failure('body-incomplete', detail));
    await assertNothingStored('key');
  });

  it('because it is too long stores nothing, declared or not', async () => {
    const small = await createTestEngine({ limits: { maxPutBytes: 2 * MiB } });
    const bytes = patternBytes(2 * MiB + 1);
    small.calls.length = 0;
    const tooLong = failure('object-too-large', { sizeBytes: 2 * MiB + 1, maxBytes: 2 * MiB });
    await assert.rejects(put(small, 'key', bytes), tooLong);
    assert.deepEqual(small.calls, []);
    await assert.rejects(put(small, 'key', bytes, { isUnsized: true }), failure('object-too-large'));
    assert.equal(await countShards(small), 0);
    await put(small, 'key', bytes.subarray(1));
    await small.close();
  });

  const bytes = patternBytes(2 * MiB);
  const right = {
    md5: Buffer.from(md5Hex(bytes), 'hex').toString('base64'),
    crc32: { algorithm: 'CRC32', value: 'AAAAAA==' } as const,
  };
  const wrongDigests = [
    ['md5', { md5: Buffer.from(md5Hex('other'), 'hex').toString('base64') }],
    ['sha256', { md5: right.md5, sha256Hex: '0'.repeat(64) }],
    ['CRC32', { md5: right.md5, checksum: right.crc32 }],
    ['SHA256', { checksum: { algorithm: 'SHA256', value: Buffer.alloc(32).toString('base64') } }],
  ] as const;
  for (const [digest, declared] of wrongDigests) {
    it(`because of a wrong ${digest} leaves nothing`, async () => {
      await assert.rejects(put(test, 'key', bytes, { declared }), failure('digest-mismatch', { digest }));
      await assertNothingStored('key');
    });
  }

  it('because of its condition never reads the body', async () => {
    const unread: Payload = {
      ...payloadOf(bytes),
      bytes: {
        [Symbol.asyncIterator]() {
          throw new Error('the body was read');
        },
      },
    };
    await put(test, 'there', patternBytes(10));
    const request = { bucket: bucketName, ownerId, payload: unread, attributes: plainAttributes };
    const { objects } = test.engine;
    const cases = [
      [{ key: 'there', condition: { kind: 'absent' } }, failure('precondition-failed', { condition: 'If-None-Match' })],
      [{ key: 'there', condition: { kind: 'etag', etag: 'x' } }, failure('precondition-failed')],
      [{ key: 'other', condition: { kind: 'etag', etag: '*' } }, failure('object-missing')],
      [{ key: 'other', bucket: 'nowhere' }, failure('bucket-missing')],
      [{ key: 'other', attributes: { ...plainAttributes, storageClass: 'GLACIER' } }, failure('profile-missing')],
    ] as const;
    for (const [change, expected] of cases) {
      await assert.rejects(objects.put({ ...request, ...change }, never), expected);
    }
  });

  it('because another was faster leaves only the other', async () => {
    const puts = Array.from({ length: 8 }, (_, turn) =>
      put(test, 'raced', patternBytes(50_000, turn), { condition: { kind: 'absent' } }),
    );
    const outcomes = await Promise.allSettled(puts);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    assert.ok((await get(test, 'raced')).equals(patternBytes(50_000, winner)));
    const [stripe] = await stripesOf(test, 'raced');
    assert.equal(await countShards(test), stripe?.shards.length);
  });
});
