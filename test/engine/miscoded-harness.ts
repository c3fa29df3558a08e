import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Stripe, StripeId } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  assertBudgetsFree,
  get,
  never,
  readMetric,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';
import { assertOneWord, type Spoil } from './miscode.ts';

/** Another block altogether. */
export const replace: Spoil = (block, row) => block.set(patternBytes(block.length, `${row} ${block[0]}`));
/** A bit of one byte. */
export const flip: Spoil = (block) => {
  block[block.length >> 1]! ^= 16;
};

export async function stripeOf(test: TestEngine, key: string): Promise<Stripe> {
  return (await stripesOf(test, key))[0]!;
}

export async function findStripe({ metadata }: TestEngine, id: StripeId): Promise<Stripe> {
  return (await metadata.findStripes([id])).get(id)!;
}

/** Scrub keeps a row of each stripe, by chance: here always this one. */
export function scrubRow(t: TestContext, row: 'first' | 'last'): void {
  t.mock.method(Math, 'random', () => (row === 'first' ? 0 : 0.999_999));
}

/** Scrubs and repairs; fails unless so many stripes came to be mended, and so many unclear. */
export async function mend(test: TestEngine, { mended = 0, unclear = 0 }): Promise<void> {
  await test.upkeep.scrub(never);
  await test.upkeep.runOnce();
  assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'mended' }), mended, 'mended');
  assert.equal(await readMetric(test.metrics.miscodedStripes, { outcome: 'unclear' }), unclear, 'unclear');
  await assertBudgetsFree(test);
}

/** Fails unless all objects can be read with any m providers away, from shards that are whole and go together. */
export async function assertMended(test: TestEngine, objects: Readonly<Record<string, Uint8Array>>): Promise<void> {
  for (const [key, bytes] of Object.entries(objects)) {
    await verifyShards(test, key);
    for (const stripe of await stripesOf(test, key)) await assertOneWord(test, stripe);
    assert.ok((await get(test, key)).equals(bytes), key);
  }
  for (const away of pairs(test.providers)) {
    for (const provider of away) provider.faults.always('readShard', 'error');
    // Nothing was read before.
    const { engine, upkeep } = createEngine(test.parts);
    for (const [key, bytes] of Object.entries(objects)) {
      assert.ok((await get({ engine }, key)).equals(bytes), `${key} without ${away.map(({ id }) => id)}`);
    }
    await upkeep.stop();
    for (const provider of away) provider.faults.clear();
  }
}

export function pairs<T>(all: readonly T[]): T[][] {
  return all.flatMap((first, at) => all.slice(at + 1).map((second) => [first, second]));
}
