import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { ProviderLocation } from '../../core/model.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  failure,
  get,
  listCids,
  ownerId,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
  type TestEngineOptions,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Writes that nobody would outlive if they waited for what hangs, whatever else they do. */
const patient: TestEngineOptions = { timeoutMs: 600_000, limits: { suspectWaitMs: 600_000, lateWriteMs: 20 } };

/** In a pack; a stripe of one row; one of four rows. */
const sizes = [5 * KiB, 900 * KiB, 3.5 * MiB];

describe('writing to providers that are late, down, slow or full', { timeout: 60_000 }, () => {
  let test: TestEngine;
  afterEach(() => test.close());

  const putSome = (key: string, sizeBytes: number): Promise<unknown> => put(test, key, patternBytes(sizeBytes, key));

  async function assertHolds(key: string, sizeBytes: number): Promise<void> {
    assert.ok((await get(test, key)).equals(patternBytes(sizeBytes, key)), key);
  }

  /** How many providers a write asked, however it ended. */
  const countAsked = ({ id }: FaultyProvider): number =>
    test.calls.filter((call) => /^(\S+) (putShard|createShard)/.exec(call)?.[1] === id).length;

  async function holdersOf(key: string): Promise<string[]> {
    return (await stripesOf(test, key)).flatMap(({ shards }) => shards.map(({ providerId }) => providerId));
  }

  for (const sizeBytes of sizes) {
    for (const call of ['append', 'commit'] as const) {
      it(`${sizeBytes} bytes do not wait for a provider that freezes at ${call}, and leave it alone afterwards`, async () => {
        test = await createTestEngine(patient);
        const [frozen] = test.providers;
        for (const each of ['putShard', call] as const) frozen!.faults.always(each, 'hang');
        // Small objects have but three shards: some stripe will have the provider among its holders.
        for (let turn = 0; turn < 10 && test.health.state(frozen!.id) === 'closed'; turn++) {
          await putSome(`before ${turn}`, sizeBytes);
        }
        assert.equal(test.health.state(frozen!.id), 'open');
        const askedBefore = countAsked(frozen!);
        for (let turn = 0; turn < 4; turn++) await putSome(`after ${turn}`, sizeBytes);
        assert.equal(countAsked(frozen!), askedBefore);
        for (let turn = 0; turn < 4; turn++) await assertHolds(`after ${turn}`, sizeBytes);
        await assertBudgetsFree(test);
        frozen!.faults.clear();
        // As the prober does.
        test.health.recordSuccess(frozen!.id);
        await test.upkeep.runOnce();
        assert.equal((await test.metadata.countUsage()).degradedStripes, 0);
        await verifyShards(test, 'after 0');
      });
    }

    it(`${sizeBytes} bytes move from a provider that freezes to another where there is one`, async () => {
      test = await createTestEngine({ ...patient, providerCount: 7 });
      const [frozen] = test.providers;
      for (const call of ['putShard', 'createShard'] as const) frozen!.faults.always(call, 'hang');
      for (let turn = 0; turn < 10; turn++) await putSome(`key ${turn}`, sizeBytes);
      assert.equal(await readMetric(test.metrics.stripesWritten, { outcome: 'degraded' }), 0);
      for (let turn = 0; turn < 10; turn++) await verifyShards(test, `key ${turn}`);
      await assertBudgetsFree(test);
    });
  }

  for (const sizeBytes of sizes.slice(1)) {
    it(`${sizeBytes} bytes are refused within seconds, not at a deadline, where two of six hang and five are needed`, async () => {
      const limits = { ...patient.limits, stuckWriteMs: 60 };
      test = await createTestEngine({ ...patient, limits });
      for (const provider of test.providers.slice(0, 2)) provider.faults.always('all', 'hang');
      await assert.rejects(putSome('key', sizeBytes), failure('too-few-writes'));
      for (const { id } of test.providers.slice(0, 2)) assert.equal(test.health.state(id), 'open');
      await assertBudgetsFree(test);
    });
  }

  for (const sizeBytes of sizes) {
    it(`${sizeBytes} bytes are stored where two of seven hang`, async () => {
      test = await createTestEngine({ ...patient, providerCount: 7 });
      for (const provider of test.providers.slice(0, 2)) provider.faults.always('all', 'hang');
      for (let turn = 0; turn < 3; turn++) await putSome(`key ${turn}`, sizeBytes);
      for (let turn = 0; turn < 3; turn++) await assertHolds(`key ${turn}`, sizeBytes);
      await assertBudgetsFree(test);
    });
  }

  for (const broken of [0, 1]) {
    it(`are stored where two count as down, of which ${broken === 0 ? 'the second' : 'the first'} is back, and five of six are needed`, async () => {
      test = await createTestEngine(patient);
      const down = test.providers.slice(0, 2);
      for (let turn = 0; turn < 3; turn++) {
        for (const { id } of down) while (test.health.state(id) !== 'open') test.health.recordFailure(id);
        down[broken]!.faults.always('all', 'error');
        await putSome(`key ${turn}`, 900 * KiB);
        await assertHolds(`key ${turn}`, 900 * KiB);
      }
      await assertBudgetsFree(test);
    });
  }

  it('have more patience with a bucket, which may lie behind a slow link', async () => {
    const limits = { ...patient.limits, stuckWriteMs: 1, stuckBucketWriteMs: 600_000 };
    test = await createTestEngine({ ...patient, limits });
    const { fleet } = test.parts;
    fleet.apply(
      fleet.members.map(({ record, provider }) => ({
        provider,
        record: { ...record, location: { ...record.location, kind: 'bucket' } as ProviderLocation },
      })),
    );
    for (const provider of test.providers.slice(0, 2)) provider.faults.always('putShard', { slowMs: 300 });
    await putSome('key', 900 * KiB);
    assert.ok((await holdersOf('key')).length >= 5);
  });

  it('wait for a provider that is late where the stripe would not be safe without it', async () => {
    test = await createTestEngine({
      ...patient,
      providerCount: 3,
      profiles: [{ name: 'STANDARD', k: 2, m: 1 }],
    });
    const [late] = test.providers;
    for (const call of ['putShard', 'append'] as const) late!.faults.always(call, { slowMs: 150 });
    for (const sizeBytes of [300 * KiB, MiB]) {
      await putSome('key', sizeBytes);
      assert.equal((await holdersOf('key')).length, 3);
    }
  });

  it('turn to a provider that is down after all where the stripe would not be safe without it', async () => {
    test = await createTestEngine(patient);
    for (const { id } of test.providers.slice(0, 2)) test.health.recordFailure(id, true);
    await putSome('key', 900 * KiB);
    assert.equal((await holdersOf('key')).length, 5);
    assert.equal(test.providers.slice(0, 2).filter((provider) => countAsked(provider) > 0).length, 1);
  });

  it('try a provider that half-opened, one stripe at a time', async () => {
    test = await createTestEngine(patient);
    const [down] = test.providers;
    test.health.recordFailure(down!.id, true);
    test.clock.nowMs += 60_000;
    down!.faults.next('putShard', { slowMs: 15 });
    await Promise.all([putSome('a', 900 * KiB), putSome('b', 900 * KiB), putSome('c', 900 * KiB)]);
    assert.equal(countAsked(down!), 1);
    assert.equal(test.health.state(down!.id), 'closed');
  });

  it('ask a full provider last, until a while has passed; it serves reads and deletes all the while', async () => {
    test = await createTestEngine({ ...patient, providerCount: 7 });
    const [full] = test.providers;
    await Promise.all(Array.from({ length: 5 }, (_, turn) => putSome(`before ${turn}`, 900 * KiB)));
    const keptBefore = (await listCids(full!)).length;
    assert.ok(keptBefore > 0);
    full!.faults.always('putShard', 'full');
    for (let turn = 0; turn < 20; turn++) await putSome(`full ${turn}`, 900 * KiB);
    assert.equal(await readMetric(test.metrics.providerCalls, { provider: full!.id, outcome: 'provider-full' }), 1);
    assert.deepEqual([test.health.state(full!.id), test.health.isSuspect(full!.id)], ['closed', false]);
    for (let turn = 0; turn < 5; turn++) {
      await assertHolds(`before ${turn}`, 900 * KiB);
      await test.engine.objects.delete({ bucket: bucketName, key: `before ${turn}`, ownerId, nowMs: test.clock.nowMs });
    }
    test.clock.nowMs += 1;
    await test.upkeep.runOnce();
    assert.equal((await listCids(full!)).length, 0);
    full!.faults.clear();
    test.clock.nowMs += 30_000;
    for (let turn = 0; turn < 10; turn++) await putSome(`again ${turn}`, 900 * KiB);
    assert.ok((await listCids(full!)).length > 0);
  });

  it('go to a slow provider last', async () => {
    test = await createTestEngine({ ...patient, providerCount: 7 });
    const [slow] = test.providers;
    for (let call = 0; call < 40; call++) {
      test.clock.nowMs += 5;
      for (const { id } of test.providers) test.health.of(id).finish('write', id === slow!.id ? 2_000 : 5);
    }
    for (let turn = 0; turn < 10; turn++) await putSome(`key ${turn}`, 900 * KiB);
    assert.equal(countAsked(slow!), 0);
  });
});
