import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { HedgeBudget } from '../../engine/hedge-budget.ts';
import type { CallKind } from '../../placement/call-pace.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  createTestEngine,
  get,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
} from './engine-harness.ts';

const KiB = 1024;
const kinds: readonly CallKind[] = ['read-small', 'read-large'];

/** Reads that nobody would outlive if they waited for a late block, whatever else they do. */
const patient = { timeoutMs: 600_000, limits: { pieceCacheBytes: 0, hedgeMs: 600_000 } };

describe('hedged reads', { timeout: 60_000 }, () => {
  let test: TestEngine;
  afterEach(() => test.close());

  /** Lets providers be known for answering reads in so many milliseconds. */
  function teach(ms: number, providers: readonly FaultyProvider[] = test.providers): void {
    for (let call = 0; call < 40; call++) {
      test.clock.nowMs += 5;
      for (const kind of kinds) for (const { id } of providers) test.health.of(id).finish(kind, ms);
    }
  }

  async function holdersOf(key: string): Promise<FaultyProvider[]> {
    const [stripe] = await stripesOf(test, key);
    return stripe!.shards.map((shard) => test.providers.find(({ id }) => id === shard.providerId)!);
  }

  function countCancelled({ id: provider }: FaultyProvider): Promise<number> {
    return readMetric(test.metrics.providerCalls, { provider, call: 'readShard', outcome: 'aborted' });
  }

  function countReads(provider: FaultyProvider): number {
    return test.calls.filter((call) => call.startsWith(`${provider.id} readShard`)).length;
  }

  for (const [what, bytes] of [
    ['a block', patternBytes(900 * KiB)],
    ['a piece of a block', patternBytes(5 * KiB)],
  ] as const) {
    it(`ask others for ${what} that is later than its provider is as a rule, and cancel what lost`, async () => {
      test = await createTestEngine(patient);
      await put(test, 'key', bytes);
      const [first] = await holdersOf('key');
      teach(1);
      first!.faults.always('readShard', 'hang');
      assert.ok((await get(test, 'key')).equals(bytes));
      assert.equal(await readMetric(test.metrics.blocksLate, { outcome: 'hedged' }), 1);
      // What hangs ends only with its signal.
      assert.equal(await countCancelled(first!), 1);
      assert.equal(test.health.state(first!.id), 'closed');
      await assertBudgetsFree(test);
    });

    it(`count on a provider for ${what} that hangs only until it is known to be slow`, async () => {
      test = await createTestEngine({ ...patient, limits: { ...patient.limits, hedgeMs: 5_000 } });
      await put(test, 'key', bytes);
      const [first] = await holdersOf('key');
      // Long beside what a busy machine adds to the calls of the others.
      teach(100);
      first!.faults.always('readShard', 'hang');
      for (let turn = 0; turn < 60; turn++) {
        test.clock.nowMs += 5;
        assert.ok((await get(test, 'key')).equals(bytes));
      }
      const asked = await countCancelled(first!);
      assert.ok(asked > 1 && asked < 40, `asked ${asked} times`);
      assert.equal(await readMetric(test.metrics.blocksLate, { outcome: 'waited' }), 0);
    });
  }

  it('do not ask a slow provider while others can answer, then try it, one call at a time', async () => {
    test = await createTestEngine(patient);
    const bytes = patternBytes(900 * KiB);
    await put(test, 'key', bytes);
    const [, slow] = await holdersOf('key');
    teach(1);
    teach(50, [slow!]);
    for (let turn = 0; turn < 5; turn++) assert.ok((await get(test, 'key')).equals(bytes));
    assert.equal(countReads(slow!), 0);
    test.clock.nowMs += 60_000;
    slow!.faults.next('readShard', { slowMs: 5 });
    await Promise.all([get(test, 'key'), get(test, 'key'), get(test, 'key')]);
    assert.equal(countReads(slow!), 1);
  });

  it('rebuild a piece of a block from the same piece of others, whatever its place and length', async () => {
    test = await createTestEngine(patient);
    // Rows of four blocks: the last block of the last row is short.
    const bytes = patternBytes(1_500_000);
    await put(test, 'key', bytes);
    const holders = await holdersOf('key');
    teach(1);
    const offset = fc.nat(bytes.length - 1);
    await fc.assert(
      fc.asyncProperty(offset, fc.integer({ min: 1, max: 60_000 }), fc.nat(3), async (first, length, slow) => {
        teach(1);
        teach(50, [holders[slow]!]);
        test.calls.length = 0;
        const range = { kind: 'from', first, last: first + length - 1 } as const;
        const part = await get(test, 'key', { range });
        assert.ok(part.equals(bytes.subarray(first, first + length)));
        assert.equal(countReads(holders[slow]!), 0);
        test.clock.nowMs += 60_000;
        teach(1, [holders[slow]!]);
      }),
      { numRuns: 60 },
    );
    await assertBudgetsFree(test);
  });

  it('ask for no more of a block than the piece', async () => {
    test = await createTestEngine(patient);
    await Promise.all(Array.from({ length: 40 }, (_, at) => put(test, `key ${at}`, patternBytes(8 * KiB, at))));
    teach(1);
    for (const slow of test.providers) {
      teach(50, [slow]);
      test.calls.length = 0;
      for (let at = 0; at < 40; at++) assert.ok((await get(test, `key ${at}`)).equals(patternBytes(8 * KiB, at)));
      for (const call of test.calls) assert.ok(Number(call.split(' ')[4]) < 9 * KiB, call);
      test.clock.nowMs += 60_000;
      teach(1, [slow]);
    }
    assert.ok((await readMetric(test.metrics.blocksRebuilt)) >= 40);
  });

  it('trust a slow provider again once a trial was quick', async () => {
    test = await createTestEngine(patient);
    const bytes = patternBytes(900 * KiB);
    await put(test, 'key', bytes);
    const [, slow] = await holdersOf('key');
    // So that a trial is quick however busy the machine is.
    teach(100);
    teach(5_000, [slow!]);
    test.clock.nowMs += 60_000;
    for (let turn = 0; turn < 3; turn++) assert.ok((await get(test, 'key')).equals(bytes));
    assert.ok(countReads(slow!) >= 3);
    assert.equal(test.health.isSlow(slow!.id, 'read-large'), false);
  });

  it('ask a slow provider after all when too few others are left', async () => {
    test = await createTestEngine({ timeoutMs: 600_000, limits: { pieceCacheBytes: 0, hedgeMs: 20 } });
    const bytes = patternBytes(900 * KiB);
    await put(test, 'key', bytes);
    const [first, second, third] = await holdersOf('key');
    teach(1);
    teach(50, [first!]);
    for (const one of [second, third]) one!.faults.always('readShard', 'missing');
    assert.ok((await get(test, 'key')).equals(bytes));
    assert.ok(countReads(first!) > 0);
  });

  it('add little to the load of a fleet that turns slow as a whole', async () => {
    test = await createTestEngine({ timeoutMs: 600_000, limits: { pieceCacheBytes: 0, hedgeMs: 5_000 } });
    const bytes = patternBytes(5 * KiB);
    for (let key = 0; key < 10; key++) await put(test, `key ${key}`, bytes);
    teach(1);
    for (const { faults } of test.providers) faults.always('readShard', { slowMs: 1_000 });
    const reads = 1_000;
    // All at once: each is late before one of them has ended, however busy the machine is, so none learns of the others.
    await Promise.all(Array.from({ length: reads }, (_, at) => get(test, `key ${at % 10}`)));
    const calls = test.providers.reduce((sum, provider) => sum + countReads(provider), 0);
    const hedges = await readMetric(test.metrics.blocksLate, { outcome: 'hedged' });
    assert.ok(hedges > 0, 'nothing was hedged');
    assert.ok(calls <= reads * 1.1 + 64 + 4, `${calls} calls for ${reads} reads`);
    assert.ok((await readMetric(test.metrics.blocksLate, { outcome: 'waited' })) > 0, 'the budget was never spent');
  });

  it('wait no longer than hedgeMs, also when the budget is spent', async () => {
    test = await createTestEngine({ timeoutMs: 600_000, limits: { pieceCacheBytes: 0, hedgeMs: 10 } });
    const bytes = patternBytes(5 * KiB);
    await put(test, 'key', bytes);
    const [first] = await holdersOf('key');
    teach(1);
    first!.faults.always('readShard', 'hang');
    // All at once, so that none learns of the others.
    const reads = Array.from({ length: 150 }, () => get(test, 'key'));
    for (const read of await Promise.all(reads)) assert.ok(read.equals(bytes));
    assert.ok((await readMetric(test.metrics.blocksLate, { outcome: 'waited' })) > 0, 'the budget was never spent');
    await assertBudgetsFree(test);
  });
});

describe('the budget for hedges', () => {
  it('allows a burst, then one block for each ten that were needed', () => {
    const budget = new HedgeBudget({ share: 0.1, burst: 5 });
    let hedges = 0;
    const hedgeAll = (): void => {
      for (; !budget.isSpent; hedges++) budget.spend();
    };
    hedgeAll();
    assert.equal(hedges, 5);
    for (let read = 0; read < 1000; read++) {
      budget.earn();
      hedgeAll();
    }
    assert.ok(Math.abs(hedges - 105) <= 1, `${hedges} hedges`);
    for (let read = 0; read < 1000; read++) budget.earn();
    hedges = 0;
    hedgeAll();
    assert.equal(hedges, 5);
  });

  it('has what was overdrawn earned before the next hedge', () => {
    const budget = new HedgeBudget({ share: 0.5, burst: 1 });
    for (let block = 0; block < 4; block++) budget.spend();
    for (let read = 0; read < 7; read++) budget.earn();
    assert.equal(budget.isSpent, true);
    budget.earn();
    assert.equal(budget.isSpent, false);
  });
});
