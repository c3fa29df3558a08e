import assert from 'node:assert/strict';
import type { ProviderId, ProviderRecord, ProviderState, Stripe } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import type { FleetMember } from '../../placement/fleet.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createTestEngine, readMetric, type TestEngine, type TestEngineOptions } from './engine-harness.ts';

export type Changes = Readonly<Record<string, Partial<ProviderRecord> | ProviderState>>;

/** An engine whose fleet an operator changes. */
export interface MovingWorld extends TestEngine {
  /** Changes what is known of providers; what was changed before stays so. */
  change(changes: Changes): Promise<void>;
  /** What upkeep would be after a restart: it knows what the store knows. */
  restart(): Upkeep;
  providerOf(id: string): FaultyProvider;
  listStripes(): Promise<Stripe[]>;
  /** Moves shards until there is no more to move. @throws AssertionError where that comes to no end within so many moves */
  moveAll(maxMoves: number): Promise<number>;
  /** How many shards of live stripes each provider has. */
  countHeld(): Promise<Map<ProviderId, number>>;
}

export async function createMovingWorld(options: TestEngineOptions, changes: Changes = {}): Promise<MovingWorld> {
  const test = await createTestEngine({ ...options, limits: { packObjectBytes: 0, ...options.limits } });
  const { fleet } = test.parts;
  let members: readonly FleetMember[] = fleet.members;
  const change = async (next: Changes): Promise<void> => {
    members = members.map(({ record, provider }) => {
      const changed = next[record.id] ?? {};
      return { record: { ...record, ...(typeof changed === 'string' ? { state: changed } : changed) }, provider };
    });
    for (const { record } of members) await test.metadata.putProvider(record);
    fleet.apply(members);
  };
  await change(changes);
  const restarted: Upkeep[] = [];
  const listStripes = (): Promise<Stripe[]> => test.metadata.listStripes(undefined, 100_000);
  return {
    ...test,
    change,
    listStripes,
    restart: () => {
      const { upkeep } = createEngine(test.parts);
      restarted.push(upkeep);
      return upkeep;
    },
    providerOf: (id) => {
      const provider = test.providers.find((each) => each.id === id);
      assert.ok(provider, `no provider ${id}`);
      return provider;
    },
    moveAll: async (maxMoves) => {
      const movedBefore = await readMetric(test.metrics.shardsMoved);
      const stop = new AbortController();
      const moving = test.upkeep.moveShards(stop.signal);
      const watching = setInterval(async () => {
        if ((await readMetric(test.metrics.shardsMoved)) <= movedBefore + maxMoves) return;
        stop.abort(new assert.AssertionError({ message: `no end after ${maxMoves} moves` }));
      }, 10);
      try {
        return await moving;
      } finally {
        clearInterval(watching);
      }
    },
    countHeld: async () => {
      const held = new Map<ProviderId, number>(members.map(({ record }) => [record.id, 0]));
      for (const { providerId } of (await listStripes()).flatMap(({ shards }) => shards)) {
        held.set(providerId, (held.get(providerId) ?? 0) + 1);
      }
      return held;
    },
    close: async () => {
      for (const upkeep of restarted) await upkeep.stop();
      await test.close();
    },
  };
}
