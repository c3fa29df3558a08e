import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProviderId } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import { checkShard } from '../../engine/upkeep/check-shard.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { FaultSchedule, moods } from '../../placement/providers/fault-schedule.ts';
import { Random } from '../crash/random.ts';
import {
  assertBudgetsFree,
  createTestEngine,
  listCids,
  never,
  readMetric,
  type TestEngine,
} from '../engine/engine-harness.ts';
import { ChangingFleet } from '../upkeep/changing-fleet.ts';
import { assertStatusIsTrue, listStripes, type UpkeepWorld } from '../upkeep/upkeep-world.ts';
import { ThrashClients } from './thrash-clients.ts';

const k = 4;
const m = 2;
/** So many that a stripe has places while m are ill and one is drained. */
const providerCount = 9;
const keyCount = 120;
const clientCount = 10;
const roundActs = 500;
/** Acts while providers are well again and upkeep mends what was done to them. */
const healingActs = 60;
const restMs = 10;
const minuteMs = 60_000;
const maxMendings = 30;

export interface ThrashReport {
  readonly acts: number;
  readonly rounds: number;
  readonly counts: ReadonlyMap<string, number>;
  readonly faults: ReadonlyMap<string, number>;
  readonly shardsRepaired: number;
  readonly shardsMoved: number;
  readonly restarts: number;
  /** Live objects at the end, each read whole, and stripes, each shard of which was read and compared. */
  readonly objects: number;
  readonly stripes: number;
}

export interface ThrashSetting {
  readonly acts: number;
  readonly seed: number;
  readonly onRound?: (acts: number) => void;
}

/**
 * Clients at work while up to m providers at a time die, lie, forget, freeze and return, one is drained, upkeep runs at full
 * speed and the engine is restarted. Between two rounds all providers are well until upkeep has found and mended what was done: no
 * more than m of a stripe's shards may be bad at a time, those that nobody has noticed included. Then, and at the end, all is
 * compared: objects, shards, orphans, and what the status says.
 */
export async function thrash(setting: ThrashSetting): Promise<ThrashReport> {
  const run = await ThrashRun.start(setting);
  try {
    return await run.finish();
  } finally {
    await run.close();
  }
}

class ThrashRun {
  readonly #setting: ThrashSetting;
  readonly #random: Random;
  readonly #world: TestEngine & { readonly fleet: ChangingFleet };
  readonly #clients: ThrashClients;
  #upkeep: Upkeep;
  #engine: TestEngine['engine'];
  #rounds = 0;
  #restarts = 0;

  private constructor(setting: ThrashSetting, world: TestEngine & { readonly fleet: ChangingFleet }) {
    const { seed } = setting;
    this.#setting = setting;
    this.#random = new Random(seed ^ 0x7a5b);
    this.#world = world;
    this.#clients = new ThrashClients({ engine: world.engine, seed, keyCount, clock: world.clock });
    this.#upkeep = world.upkeep;
    this.#engine = world.engine;
    this.#upkeep.start();
  }

  static async start(setting: ThrashSetting): Promise<ThrashRun> {
    let fleet: ChangingFleet | undefined;
    let now = (): number => Date.now();
    const unbounded = Number.MAX_SAFE_INTEGER;
    const world = await createTestEngine({
      profiles: [{ name: 'STANDARD', k, m }],
      providerCount,
      isClockShared: true,
      timeoutMs: 40,
      limits: {
        suspectWaitMs: 20,
        hedgeMs: 15,
        // What is late is late on purpose: a busy machine must not leave out a good provider, since that counts against m.
        lateWriteMs: 60_000,
        minPartBytes: 1,
        packObjectBytes: 24 * 1024,
        // Or few reads would reach a provider.
        pieceCacheBytes: 0,
        digestCacheBytes: 16 * 1024,
        orphanAgeMs: 0,
        upkeepIntervalMs: 100,
        orphanIntervalMs: 5_000,
        compactAgeMs: 60_000,
        scrubPeriodMs: 10_000,
        scrubBytesPerS: unbounded,
        repairBytesPerS: unbounded,
        repairOpsPerS: unbounded,
        moveBytesPerS: unbounded,
        compactBytesPerS: unbounded,
        readBudgetBytes: 64 * 2 ** 20,
        budgetWaitMs: 60_000,
      },
      createFleet: (parts) => {
        fleet = new ChangingFleet({ ...parts, clock: { now: () => now() }, lostAfterMs: 10 * minuteMs });
        return fleet;
      },
    });
    now = () => world.clock.now();
    return new ThrashRun(setting, { ...world, fleet: fleet! });
  }

  async finish(): Promise<ThrashReport> {
    const { acts, onRound } = this.#setting;
    while (this.#clients.done < acts) {
      await this.#round(Math.min(roundActs, acts - this.#clients.done));
      onRound?.(this.#clients.done);
    }
    const objects = await this.#clients.assertAll();
    const stripes = await this.#assertStored();
    const { metrics, providers } = this.#world;
    const faults = new Map<string, number>();
    for (const { faults: plan } of providers) {
      for (const [kind, count] of plan.counts) faults.set(kind, (faults.get(kind) ?? 0) + count);
    }
    return {
      acts: this.#clients.done,
      rounds: this.#rounds,
      counts: this.#clients.counts,
      faults,
      shardsRepaired: await readMetric(metrics.shardsRepaired),
      shardsMoved: await readMetric(metrics.shardsMoved),
      restarts: this.#restarts,
      objects,
      stripes,
    };
  }

  async close(): Promise<void> {
    await this.#upkeep.stop();
    await this.#world.close();
  }

  async #round(acts: number): Promise<void> {
    this.#rounds += 1;
    this.#fallIll();
    const part = Math.ceil(acts / 2);
    await this.#runHarried(part);
    // Long enough for one that has been down all the while to count as lost.
    if (this.#random.next() < 0.5) this.#world.clock.nowMs += this.#random.between(1, 12) * minuteMs;
    if (this.#random.next() < 0.3) await this.#restart();
    await this.#runHarried(acts - part);
    this.#recover();
    await this.#runHarried(healingActs);
    await this.#mend();
    if (this.#rounds % 10 === 0) {
      await this.#clients.assertAll();
      await this.#assertStored();
    }
    this.#world.calls.length = 0;
  }

  /** So many acts, while scrub and the search for orphans hardly rest; repair and the rest have their own short intervals. */
  async #runHarried(acts: number): Promise<void> {
    let isOver = false;
    const harry = async (): Promise<void> => {
      for (let turn = 0; !isOver; turn++) {
        if (turn % 4 === 0) await this.#upkeep.scrub(never);
        else await this.#upkeep.collectOrphans(never);
        await sleep(restMs);
      }
    };
    const harrying = harry();
    try {
      await this.#clients.run(acts, clientCount);
    } finally {
      isOver = true;
      await harrying;
    }
  }

  /** Up to m providers at a time. */
  #fallIll(): void {
    const { providers, fleet } = this.#world;
    const left = [...providers];
    const take = () => left.splice(this.#random.between(0, left.length - 1), 1)[0]!;
    for (let ill = this.#random.between(1, m); ill > 0; ill--) {
      const provider = take();
      const seed = this.#random.between(0, 2 ** 31);
      const chance = this.#random.next();
      if (chance < 0.15) {
        // It vanishes, and nobody may call it.
        fleet.setStanding(provider.id, this.#random.pick(['lost', 'down']));
        provider.faults.always('all', 'error');
      } else if (chance < 0.6) {
        const mood = this.#random.pick(moods);
        provider.faults.follow(new FaultSchedule({ seed, phases: [{ mood, calls: 1_000 }], maxSlowMs: 8 }));
      } else {
        provider.faults.follow(new FaultSchedule({ seed, maxSlowMs: 8 }));
      }
    }
    if (this.#random.next() < 0.3) this.#setState(take().id, 'draining');
  }

  #recover(): void {
    for (const { id, faults } of this.#world.providers) {
      faults.clear();
      this.#world.fleet.setStanding(id, 'up');
      this.#setState(id, 'active');
    }
  }

  #setState(id: ProviderId, state: 'active' | 'draining'): void {
    const { fleet } = this.#world;
    const entries = fleet.members.map(({ record, provider }) => {
      return { record: record.id === id ? { ...record, state } : record, provider };
    });
    fleet.apply(entries);
  }

  async #restart(): Promise<void> {
    await this.#upkeep.stop();
    const created = createEngine(this.#world.parts);
    this.#upkeep = created.upkeep;
    this.#engine = created.engine;
    this.#clients.turnTo(created.engine);
    this.#upkeep.start();
    this.#restarts += 1;
  }

  /** While nobody writes: until scrub finds nothing and every stripe has its full margin. */
  async #mend(): Promise<void> {
    const { fleet, clock, providers } = this.#world;
    for (let turn = 0; turn < maxMendings; turn++) {
      clock.nowMs += 11 * minuteMs;
      await this.#upkeep.scrub(never);
      await this.#upkeep.runOnce();
      const { margins } = await this.#upkeep.readStatus();
      const isWhole = margins.every(({ margin, stripes }) => margin === m || stripes === 0);
      if (isWhole && providers.every(({ id }) => fleet.standingOf(id) === 'up')) return;
    }
    const { margins, backlog } = await this.#upkeep.readStatus();
    const standings = providers.map(({ id }) => `${id} ${fleet.standingOf(id)}`);
    assert.fail(`redundancy is not back: ${JSON.stringify({ margins, backlog, standings })}`);
  }

  /** Reads every shard of every stripe; nothing else lies anywhere; and the status says so. Returns how many stripes there are. */
  async #assertStored(): Promise<number> {
    const { providers } = this.#world;
    // Twice, since what is moved or freed in the first pass is collected in the next.
    await this.#upkeep.runOnce();
    this.#world.clock.nowMs += 11 * minuteMs;
    await this.#upkeep.runOnce();
    await this.#upkeep.stop();
    await this.#restart();
    await this.#upkeep.stop();
    const recorded = new Map(providers.map(({ id }) => [id, [] as string[]]));
    const stripes = await listStripes(this.#world);
    for (const stripe of stripes) {
      assert.equal(stripe.shards.length, storedShardCount(stripe), `shards of ${stripe.id}`);
      assert.equal(new Set(stripe.shards.map(({ providerId }) => providerId)).size, stripe.shards.length);
      for (const shard of stripe.shards) {
        const provider = providers.find(({ id }) => id === shard.providerId)!;
        await checkShard(provider, stripe, shard, never);
        recorded.get(provider.id)!.push(shard.cid);
      }
    }
    for (const provider of providers) {
      assert.deepEqual((await listCids(provider)).sort(), recorded.get(provider.id)!.sort(), `what ${provider.id} has`);
    }
    await this.#restart();
    const now: UpkeepWorld = {
      ...this.#world,
      engine: this.#engine,
      upkeep: this.#upkeep,
      setStanding: (id, standing) => this.#world.fleet.setStanding(id, standing),
    };
    await assertStatusIsTrue(now, 'after a round');
    await assertBudgetsFree(this.#world);
    return stripes.length;
  }
}
