import assert from 'node:assert/strict';
import type { ProviderId, Stripe } from '../../core/model.ts';
import { checkShard } from '../../engine/upkeep/check-shard.ts';
import { compareMargins, type Margin } from '../../engine/upkeep/redundancy.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import type { Standing } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import {
  bucketName,
  createTestEngine,
  never,
  stripesOf,
  type TestEngine,
  type TestEngineOptions,
} from '../engine/engine-harness.ts';
import { ChangingFleet } from './changing-fleet.ts';

/** What it takes to count redundancy the long way. */
export interface CountedWorld extends Pick<TestEngine, 'engine' | 'metadata' | 'upkeep'> {
  readonly fleet: Pick<ChangingFleet, 'standingOf'>;
  readonly providers: readonly Provider[];
}

export interface UpkeepWorld extends TestEngine {
  readonly fleet: ChangingFleet;
  /** Makes a provider stand so, and answer accordingly. */
  setStanding(id: ProviderId, standing: Standing): void;
}

export async function createWorld(options: TestEngineOptions = {}): Promise<UpkeepWorld> {
  let fleet: ChangingFleet | undefined;
  const createFleet: TestEngineOptions['createFleet'] = (parts) => {
    fleet = new ChangingFleet(parts);
    return fleet;
  };
  const test = await createTestEngine({ ...options, createFleet });
  const setStanding = (id: ProviderId, standing: Standing): void => {
    const { faults } = providerOf(test, id);
    if (standing === 'up') faults.clear();
    else faults.always('all', 'error');
    fleet!.setStanding(id, standing);
  };
  return { ...test, fleet: fleet!, setStanding };
}

export function providerOf<P extends Provider>({ providers }: { readonly providers: readonly P[] }, id: ProviderId): P {
  const provider = providers.find((each) => each.id === id);
  assert.ok(provider, `no provider ${id}`);
  return provider;
}

export async function listStripes({ metadata }: Pick<TestEngine, 'metadata'>): Promise<Stripe[]> {
  return metadata.listStripes(undefined, 100_000);
}

/** How a stripe stands, by reading every shard of it whole from where it lies. */
async function countMargin(world: CountedWorld, stripe: Stripe): Promise<Margin> {
  let good = 0;
  let away = 0;
  for (const shard of stripe.shards) {
    const standing = world.fleet.standingOf(shard.providerId);
    if (standing === 'lost') continue;
    if (standing === 'down') {
      away += 1;
      continue;
    }
    const provider = providerOf(world, shard.providerId);
    const isGood = await checkShard(provider, stripe, shard, never).then(
      () => true,
      () => false,
    );
    if (isGood) good += 1;
  }
  const needed = storedShardCount(stripe) - stripe.m;
  if (good + away < needed) return 'lost';
  return good < needed ? 'unavailable' : good - needed;
}

export interface FullCount {
  readonly stripes: Map<Margin, number>;
  readonly objects: Map<Margin, number>;
  readonly names: Map<Margin, string[]>;
}

/** Counts stripes and objects at each margin the long way: every stripe, every shard, every object. */
export async function countFully(world: CountedWorld): Promise<FullCount> {
  const margins = new Map<string, Margin>();
  const stripes = new Map<Margin, number>();
  for (const stripe of await listStripes(world)) {
    const margin = await countMargin(world, stripe);
    margins.set(stripe.id, margin);
    stripes.set(margin, (stripes.get(margin) ?? 0) + 1);
  }
  const objects = new Map<Margin, number>();
  const names = new Map<Margin, string[]>();
  const page = await world.engine.objects.list({ bucket: bucketName, limit: 1_000 });
  for (const { key } of page.objects) {
    const own = (await stripesOf(world, key)).map(({ id }) => margins.get(id)!);
    const worst = own.sort(compareMargins).at(-1) ?? 2;
    objects.set(worst, (objects.get(worst) ?? 0) + 1);
    names.set(worst, [...(names.get(worst) ?? []), key]);
  }
  return { stripes, objects, names };
}

/** Fails unless what the status says is what a full count finds. */
export async function assertStatusIsTrue(world: CountedWorld, what: string): Promise<void> {
  await world.upkeep.countOwners(never);
  const status = await world.upkeep.readStatus();
  const full = await countFully(world);
  for (const { margin, stripes } of status.margins) {
    assert.equal(stripes, full.stripes.get(margin) ?? 0, `${what}: stripes at margin ${margin}`);
  }
  assert.ok(status.below);
  const counts = new Map(status.below.counts.map(({ margin, objects }) => [margin, objects]));
  for (const margin of [1, 0, 'unavailable', 'lost'] as const) {
    assert.equal(counts.get(margin) ?? 0, full.objects.get(margin) ?? 0, `${what}: objects at margin ${margin}`);
  }
  const named = await listAllAtRisk(world);
  for (const margin of [0, 'unavailable', 'lost'] as const) {
    assert.deepEqual(
      named.get(margin) ?? [],
      (full.names.get(margin) ?? []).sort(),
      `${what}: names at margin ${margin}`,
    );
  }
}

/** By small pages. */
async function listAllAtRisk(world: CountedWorld): Promise<Map<Margin, string[]>> {
  const named = new Map<Margin, string[]>();
  let cursor: string | undefined;
  do {
    const page = await world.upkeep.listAtRisk({ cursor, limit: 2 }, never);
    for (const { owner, margin } of page.owners) {
      assert.equal(owner.kind, 'version');
      if (owner.kind === 'version') named.set(margin, [...(named.get(margin) ?? []), owner.key].sort());
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  return named;
}
