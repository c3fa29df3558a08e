import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderId } from '../../core/model.ts';
import { type JudgedPlacement, PlacementWatch } from '../../engine/upkeep/placement-watch.ts';
import { freezeStandings, judgePlacement, type Redundancy } from '../../engine/upkeep/redundancy.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { Standing } from '../../placement/fleet.ts';
import { put } from '../engine/engine-harness.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { createWorld, listStripes, type UpkeepWorld } from './upkeep-world.ts';

/** A watch of what lacks shards, and how often it had all placements listed. */
function watchLacking({ metadata, fleet }: UpkeepWorld) {
  const kept = new Map<number, JudgedPlacement>();
  const count = { listings: 0 };
  const counting = {
    readPlacementChanges: (mark: number | undefined) => metadata.readPlacementChanges(mark),
    listPlacements: (isWanted?: (placement: Placement) => boolean) => {
      count.listings += 1;
      return metadata.listPlacements(isWanted);
    },
  };
  const isWanted = ({ lacking }: Redundancy): boolean => lacking > 0;
  const watch = new PlacementWatch({ metadata: counting, fleet, isWanted, kept });
  const refresh = () => watch.refresh(freezeStandings((id) => fleet.standingOf(id)));
  return { kept, count, refresh };
}

async function assertRight(world: UpkeepWorld, kept: ReadonlyMap<number, JudgedPlacement>): Promise<void> {
  const standingOf = (id: ProviderId): Standing => world.fleet.standingOf(id);
  const all = await world.metadata.listPlacements();
  const lacking = all.filter((each) => judgePlacement(each, standingOf).lacking > 0);
  const found = Array.from(kept.values(), ({ placement }) => placement);
  const byId = (a: Placement, b: Placement) => a.id - b.id;
  assert.deepEqual(found.sort(byId), lacking.sort(byId));
}

describe('watching placements', () => {
  it('comes to what listing all of them does, whatever happens', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom('put', 'lose', 'record', 'stand'), fc.nat(), fc.nat(7)), {
          maxLength: 30,
        }),
        async (acts) => {
          const world = await createWorld({ providerCount: 8 });
          const { kept, refresh } = watchLacking(world);
          await refresh();
          for (const [act, seed, number] of acts) {
            const id = `p${number}` as ProviderId;
            const stripes = await listStripes(world);
            const stripe = stripes[seed % Math.max(stripes.length, 1)];
            if (act === 'put') await put(world, `key ${seed}`, patternBytes(100));
            else if (act === 'stand') {
              world.fleet.setStanding(id, (['up', 'down', 'lost'] as const)[seed % 3]!);
            } else if (act === 'lose') {
              const shard = stripe?.shards[number % Math.max(stripe.shards.length, 1)];
              if (stripe && shard) await world.metadata.loseShard(stripe.id, shard);
            } else {
              const shard = stripe?.lostShards?.[0];
              if (stripe && shard) await world.metadata.recordShard(stripe.id, { ...shard, providerId: id });
            }
            if (seed % 2 === 0) continue;
            await refresh();
            await assertRight(world, kept);
          }
          await world.close();
        },
      ),
      { numRuns: 20 },
    ));

  it('lists all placements once, and again only when a provider stands otherwise', async () => {
    const world = await createWorld({ providerCount: 8 });
    const { kept, count, refresh } = watchLacking(world);
    await refresh();
    for (let n = 0; n < 5; n++) {
      await put(world, `key ${n}`, patternBytes(100));
      await refresh();
    }
    assert.equal(count.listings, 1);
    world.fleet.setStanding('p0' as ProviderId, 'lost');
    await refresh();
    await refresh();
    assert.equal(count.listings, 2);
    await assertRight(world, kept);
    await world.close();
  });
});
