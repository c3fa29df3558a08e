import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderId, Stripe } from '../../core/model.ts';
import { HeldSpace } from '../../engine/upkeep/move/held-space.ts';
import { Balance, SpreadCheck } from '../../engine/upkeep/move/plan-rebalance.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { get, put, verifyShards } from './engine-harness.ts';
import { type Changes, createMovingWorld, type MovingWorld } from './moving-harness.ts';

async function fill(world: MovingWorld, count: number): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, n) => `key-${n}`);
  for (const key of keys) await put(world, key, patternBytes(100, key));
  return keys;
}

async function assertAllThere(world: MovingWorld, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await verifyShards(world, key);
    assert.ok((await get(world, key)).equals(patternBytes(100, key)));
  }
}

async function readRebalance(world: MovingWorld) {
  return (await world.upkeep.readMoveProgress()).rebalance;
}

describe('rebalance', () => {
  it('evens out after a provider joined, and then rests', async () => {
    const world = await createMovingWorld({ providerCount: 8 }, { p6: 'suspended', p7: 'suspended' });
    const keys = await fill(world, 120);
    await world.change({ p6: 'active', p7: { state: 'active', weight: 0.5 } });
    const moved = await world.moveAll(500);
    const held = await world.countHeld();
    // 360 shards, by weights whose sum is 7.5.
    for (const [id, count] of held) {
      const target = id === 'p7' ? 24 : 48;
      assert.ok(Math.abs(count - target) <= 5, `${id} holds ${count}, not about ${target}`);
    }
    assert.ok(moved >= 60 && moved <= 90, `${moved} moves, where some 72 are enough`);
    const { skew, isBalancing, shardsMoved } = await readRebalance(world);
    assert.ok(skew <= 0.1, `${skew}`);
    assert.equal(shardsMoved, moved);
    assert.equal(isBalancing, false);
    assert.equal(await world.moveAll(0), 0);
    await assertAllThere(world, keys);
    await world.close();
  });

  it('moves nothing where it is switched off, and still says how uneven it is', async () => {
    const world = await createMovingWorld({ providerCount: 7, limits: { rebalanceSkew: 0 } }, { p6: 'suspended' });
    await fill(world, 20);
    await world.change({ p6: 'active' });
    assert.equal(await world.moveAll(0), 0);
    const { skew, isBalancing, restCause } = await readRebalance(world);
    assert.ok(skew > 0.5);
    assert.deepEqual([isBalancing, restCause], [false, 'off']);
    await world.close();
  });

  it('leaves a small skew alone', async () => {
    const world = await createMovingWorld({ providerCount: 7, limits: { rebalanceSkew: 2 } }, { p6: 'suspended' });
    await fill(world, 20);
    await world.change({ p6: 'active' });
    assert.equal(await world.moveAll(0), 0);
    assert.equal((await readRebalance(world)).restCause, 'even');
    await world.close();
  });

  it('rests, and says why, where too little is stored to matter', async () => {
    const limits = { rebalanceBytes: 2 ** 20 };
    const world = await createMovingWorld({ providerCount: 7, limits }, { p6: 'suspended' });
    await fill(world, 20);
    await world.change({ p6: 'active' });
    assert.equal(await world.moveAll(0), 0);
    const { skew, isBalancing, restCause } = await readRebalance(world);
    assert.ok(skew > 0.5);
    assert.deepEqual([isBalancing, restCause], [false, 'too-little']);
    await world.close();
  });

  it('moves stripes first that have too many shards in one country, as far as the fleet allows it', async () => {
    const inOne = { country: 'aa' };
    const world = await createMovingWorld(
      { providerCount: 7 },
      { p0: inOne, p1: inOne, p2: inOne, p3: 'suspended', p4: 'suspended', p5: 'suspended', p6: 'suspended' },
    );
    const keys = await fill(world, 20);
    await world.moveAll(500);
    assert.equal((await readRebalance(world)).stripesAgainstSpread, 20, 'nothing can be done yet');
    await world.change({ p3: { state: 'active', country: 'bb' } });
    await world.moveAll(500);
    assert.equal((await readRebalance(world)).stripesAgainstSpread, 0);
    await assertAllThere(world, keys);
    await world.close();
  });

  it('comes to an end for any fleet: no stripe lies worse, and nothing is left that would make it more even', async () => {
    const provider = fc.record({
      weight: fc.constantFrom(0.2, 1, 1, 1, 3),
      operator: fc.constantFrom('', '', 'x', 'y'),
      country: fc.constantFrom('', 'aa', 'bb'),
      wasThere: fc.boolean(),
      isThere: fc.constantFrom(true, true, true, false),
    });
    const fleets = fc.array(provider, { minLength: 5, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fleets, async (fleet) => {
        const profiles = [{ name: 'STANDARD', k: 2, m: 1 }];
        const changes = (state: (each: (typeof fleet)[number], n: number) => boolean): Changes =>
          Object.fromEntries(
            fleet.map(({ weight, operator, country, ...each }, n) => {
              const isActive = state({ weight, operator, country, ...each }, n);
              return [`p${n}`, { weight, operator, country, state: isActive ? 'active' : 'suspended' } as const];
            }),
          );
        const options = { providerCount: fleet.length, profiles };
        const world = await createMovingWorld(
          options,
          changes(({ wasThere }, n) => n < 2 || wasThere),
        );
        const keys = await fill(world, 30);
        const spread = new SpreadCheck(world.parts.fleet.records);
        const excessOf = (stripe: Stripe) => spread.excessOf(stripe, holdersOf(stripe));
        const before = new Map((await world.listStripes()).map((stripe) => [stripe.id, excessOf(stripe)]));
        // Who was there and holds shards stays, and others may come.
        await world.change(changes(({ wasThere, isThere }, n) => n < 2 || wasThere || isThere));
        await world.moveAll(500);
        const stripes = await world.listStripes();
        for (const stripe of stripes) assert.ok(excessOf(stripe) <= before.get(stripe.id)!, 'the spread is worse');
        const { skew } = await readRebalance(world);
        if (skew > 0.1) assert.equal(findBetterMove(world, stripes), undefined, `skew ${skew}`);
        assert.equal(await world.moveAll(0), 0, 'it comes to an end');
        await assertAllThere(world, keys.slice(0, 5));
        await world.close();
      }),
      { numRuns: 8 },
    );
  });

  it('measures against room that moving does not change', () => {
    const [a, b] = ['a', 'b'] as ProviderId[];
    const space = new HeldSpace();
    const measure = (held: [number, number], free: [number, number], { lastMoveMs }: { lastMoveMs: number }) => {
      const capacities = new Map([a, b].map((id, n) => [id!, { totalBytes: 1_000, freeBytes: free[n]! }]));
      space.measure([a!, b!], {
        capacityOf: (id) => capacities.get(id),
        held: new Map([a, b].map((id, n) => [id!, { shards: 1, bytes: held[n]! }])),
        lastMoveMs,
        nowMs: 1_000_000,
      });
      return [space.ratioOf(a!), space.ratioOf(b!)];
    };
    assert.deepEqual(measure([600, 0], [200, 400], { lastMoveMs: 0 }), [1, 0.5]);
    // In the middle of moves: what lies there is counted at another time than what is free.
    assert.deepEqual(measure([300, 300], [200, 400], { lastMoveMs: 999_000 }), [1, 0.5]);
    assert.deepEqual(measure([300, 300], [500, 100], { lastMoveMs: 0 }), [1, 0.5]);
    assert.equal(space.ratioOf('c' as ProviderId), 1, 'one of which nothing is known');
  });
});

function holdersOf({ shards }: Stripe): ProviderId[] {
  return shards.map(({ providerId }) => providerId);
}

/** A move that would make the fleet more even and no stripe's spread worse, looked for the long way. */
function findBetterMove(world: MovingWorld, stripes: readonly Stripe[]): string | undefined {
  const members = world.parts.fleet.records.filter(({ state }) => state === 'active');
  const balance = new Balance(members);
  const spread = new SpreadCheck(world.parts.fleet.records);
  for (const stripe of stripes) {
    const providers = holdersOf(stripe);
    const storedBytes = stripe.shards.reduce((sum, { index }) => sum + shardBytes(stripe, index), 0);
    balance.add({ ...stripe, shardCount: providers.length, providers, storedBytes });
  }
  for (const stripe of stripes) {
    const holders = holdersOf(stripe);
    for (const { index, providerId: from } of stripe.shards) {
      for (const { id: to } of members) {
        if (holders.includes(to) || !balance.isImprovedBy(from, to, shardBytes(stripe, index))) continue;
        if (spread.excessAfter(stripe, holders, { from, to }) > spread.excessOf(stripe, holders)) continue;
        return `${stripe.id} from ${from} to ${to}`;
      }
    }
  }
  return undefined;
}
