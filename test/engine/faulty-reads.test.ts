import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import type { Stripe } from '../../core/model.ts';
import type { Fault, FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  bucketName,
  createTestEngine,
  failure,
  get,
  listCids,
  never,
  put,
  readMetric,
  stripesOf,
  type TestEngine,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('reading from providers that fail or lie', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine({ limits: { hedgeMs: 30 } });
  });
  afterEach(() => test.close());

  /** The stripe of an object, and its providers in order of shards. */
  async function place(key: string): Promise<{ stripe: Stripe; holders: FaultyProvider[] }> {
    const [stripe] = (await stripesOf(test, key)) as [Stripe];
    const holders = stripe.shards.map((shard) => test.providers.find(({ id: name }) => name === shard.providerId)!);
    return { stripe, holders };
  }

  const faults: [string, Fault][] = [
    ['fail', 'error'],
    ['have lost the shard', 'missing'],
    ['cut it short', 'truncate'],
    ['flip a bit', 'flip'],
    ['give another valid shard', 'wrong-shard'],
    ['hang', 'hang'],
    ['are slow', { slowMs: 150 }],
  ];
  for (const [what, fault] of faults) {
    it(`gives the right bytes when any two of 4+2 ${what}`, async () => {
      const bytes = patternBytes(2 * MiB + 70_000);
      await put(test, 'key', bytes);
      // The twins that `wrong-shard` gives: same lengths, other bytes.
      await put(test, 'twin', patternBytes(2 * MiB + 70_000, 'twin'));
      const { holders } = await place('key');
      for (const pair of [
        [0, 1],
        [1, 3],
        [2, 5],
        [4, 5],
      ]) {
        for (const index of pair) holders[index]!.faults.always('readShard', fault);
        assert.ok((await get(test, 'key')).equals(bytes), `shards ${pair}`);
        for (const index of pair) holders[index]!.faults.clear();
        // Nobody is under suspicion any more.
        test.clock.nowMs += 60_000;
      }
      await assertBudgetsFree(test);
    });
  }

  it('gives the right bytes of a small object when its one data shard and a parity shard are gone', async () => {
    const bytes = patternBytes(5000);
    await put(test, 'small', bytes);
    const { holders } = await place('small');
    assert.equal(holders.length, 3);
    holders[0]!.faults.always('readShard', 'error');
    holders[1]!.faults.always('readShard', 'flip');
    assert.ok((await get(test, 'small')).equals(bytes));
    assert.equal(
      await readMetric(test.metrics.blocksRebuilt),
      2,
      'from the wrong one, which did not open, and from the other',
    );
    assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'shard-corrupt' }), 1);
  });

  it('counts what is missing and what is wrong in a small object', async () => {
    const bytes = patternBytes(5000);
    await put(test, 'small', bytes);
    const { holders } = await place('small');
    holders[0]!.faults.always('readShard', 'missing');
    holders[2]!.faults.always('readShard', 'flip');
    assert.ok((await get(test, 'small')).equals(bytes));
    assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'shard-missing' }), 1);
    holders[1]!.faults.always('readShard', 'missing');
    await assert.rejects(get(test, 'small'), failure('too-few-shards', { needed: 1, available: 0 }));
    assert.equal(await readMetric(test.metrics.blocksRead, { outcome: 'shard-corrupt' }), 1);
  });

  it('fails before the first chunk when three shards of 4+2 are gone', async () => {
    await put(test, 'key', patternBytes(3 * MiB));
    const { holders } = await place('key');
    for (const index of [0, 2, 4]) holders[index]!.faults.always('readShard', 'flip');
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const chunks = object.read(never)[Symbol.asyncIterator]();
    await assert.rejects(chunks.next(), failure('too-few-shards', { needed: 4, available: 3 }));
    await assertBudgetsFree(test);
  });

  it('fails for a small object when all three of its shards are gone', async () => {
    await put(test, 'small', patternBytes(5000));
    const { holders } = await place('small');
    for (const holder of holders) holder.faults.always('readShard', 'missing');
    await assert.rejects(get(test, 'small'), failure('too-few-shards', { needed: 1, available: 0 }));
  });

  it('holds for any faults at any two providers and any range', async () => {
    const bytes = patternBytes(1_500_000);
    await put(test, 'key', bytes);
    await put(test, 'twin', patternBytes(1_500_000, 'twin'));
    const { holders } = await place('key');
    const fault = fc.constantFrom<Fault>('error', 'missing', 'truncate', 'flip', 'wrong-shard');
    const pair = fc.uniqueArray(fc.nat(5), { minLength: 2, maxLength: 2 });
    const position = fc.nat(bytes.length - 1);
    await fc.assert(
      fc.asyncProperty(pair, fault, fault, position, position, async ([x, y], faultX, faultY, a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        test.clock.nowMs += 60_000;
        holders[x!]!.faults.always('readShard', faultX);
        holders[y!]!.faults.next('readShard', faultY, 2);
        const part = await get(test, 'key', { range: { kind: 'from', first, last } });
        for (const holder of holders) holder.faults.clear();
        assert.ok(part.equals(bytes.subarray(first, last + 1)));
      }),
      { numRuns: 40 },
    );
  });

  it('does not ask a provider under suspicion while others can answer', async () => {
    const bytes = patternBytes(MiB);
    await put(test, 'key', bytes);
    const { holders } = await place('key');
    holders[1]!.faults.next('readShard', 'error');
    await get(test, 'key');
    test.calls.length = 0;
    assert.ok((await get(test, 'key')).equals(bytes));
    const asked = new Set(test.calls.map((call) => call.split(' ')[0]));
    assert.ok(!asked.has(holders[1]!.id));
    assert.equal(asked.size, 4);
  });

  it('asks a provider under suspicion after all when it must', async () => {
    const bytes = patternBytes(MiB);
    await put(test, 'key', bytes);
    const { holders } = await place('key');
    holders[1]!.faults.next('readShard', 'error');
    await get(test, 'key');
    for (const index of [4, 5]) holders[index]!.faults.always('readShard', 'missing');
    assert.ok((await get(test, 'key')).equals(bytes));
  });

  it('stops asking and gives back its memory when the reader goes away', async () => {
    await put(test, 'key', patternBytes(6 * MiB));
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    for await (const chunk of object.read(never)) {
      assert.ok(chunk.length > 0);
      break;
    }
    await assertBudgetsFree(test);
  });

  it('ends a read that hangs when the signal is aborted', async () => {
    await put(test, 'key', patternBytes(6 * MiB));
    for (const provider of test.providers) provider.faults.always('readShard', 'hang');
    const controller = new AbortController();
    const reading = get(test, 'key', { signal: controller.signal });
    const reason = new Error('the client went away');
    setImmediate(() => controller.abort(reason));
    await assert.rejects(reading, reason);
    await assertBudgetsFree(test);
  });

  it('outruns providers that hang, in a small object too', { timeout: 10_000 }, async () => {
    const patient = await createTestEngine({ timeoutMs: 600_000, limits: { hedgeMs: 10 } });
    for (const sizeBytes of [3000, 3 * MiB]) {
      const bytes = patternBytes(sizeBytes);
      await put(patient, 'key', bytes);
      for (const provider of patient.providers.slice(0, 2)) provider.faults.always('readShard', 'hang');
      assert.ok((await get(patient, 'key')).equals(bytes));
      await assertBudgetsFree(patient);
      for (const provider of patient.providers) provider.faults.clear();
    }
    await patient.close();
  });

  it('survives a provider that lost everything', async () => {
    const bytes = patternBytes(3 * MiB);
    await put(test, 'key', bytes);
    for (const provider of test.providers.slice(0, 2)) {
      for (const cid of await listCids(provider)) await provider.deleteShard(cid);
    }
    assert.ok((await get(test, 'key')).equals(bytes));
  });
});
