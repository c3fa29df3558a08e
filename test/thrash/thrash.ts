import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../crash/random.ts';
import { never, readMetric } from '../engine/engine-harness.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { Proofs } from './proofs.ts';
import { ThrashClients } from './thrash-clients.ts';
import { addTo, minuteMs, ThrashWorld } from './thrash-world.ts';
import { fewestProviders, Weather } from './weather.ts';

const keyCount = 120;
const clientCount = 10;
const roundActs = 500;
/** Acts while providers are well again and upkeep mends what was done to them. */
const healingActs = 60;
/** So often scrub reads everything, and the search for orphans looks everywhere, while clients work. */
const scrubActs = 150;
const searchActs = 30;
const restMs = 5;
const pollMs = 120_000;

export interface ThrashReport {
  readonly acts: number;
  readonly rounds: number;
  /** What clients did, and what became of it. */
  readonly counts: ReadonlyMap<string, number>;
  readonly faults: ReadonlyMap<string, number>;
  /** What befell the gateway and its fleet. */
  readonly events: ReadonlyMap<string, number>;
  readonly shardsRepaired: number;
  readonly shardsMoved: number;
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
 * Clients at work while up to two providers at a time die, lie, forget, freeze and return, others join, are drained, suspended and removed,
 * upkeep runs at full speed, and the gateway is restarted, dies, and loses its disk. Between two rounds all providers are well until
 * upkeep has found and mended what was done: no more than m of a stripe's shards may be bad at a time, those that nobody has noticed
 * included. Then, and at the end, all is compared: objects, shards, orphans, and what the status says.
 *
 * @throws Error that tells the seed and how far it came, for the first thing that is wrong
 */
export async function thrash(setting: ThrashSetting): Promise<ThrashReport> {
  const run = await ThrashRun.start(setting);
  try {
    return await run.finish();
  } catch (error) {
    throw new Error(`thrash of seed ${setting.seed} failed after ${run.acts} operations`, { cause: error });
  } finally {
    await run.close();
  }
}

class ThrashRun {
  readonly #setting: ThrashSetting;
  readonly #random: Random;
  readonly #world: ThrashWorld;
  readonly #weather: Weather;
  readonly #clients: ThrashClients;
  readonly #proofs: Proofs;
  readonly #events = new Map<string, number>();
  #rounds = 0;

  private constructor(setting: ThrashSetting, world: ThrashWorld) {
    const { seed } = setting;
    const random = new Random(seed ^ 0x7a5b);
    this.#setting = setting;
    this.#random = random;
    this.#world = world;
    this.#weather = new Weather(world, random);
    this.#clients = new ThrashClients({ world, seed, keyCount });
    this.#proofs = new Proofs({ world, weather: this.#weather, clients: this.#clients, random });
  }

  static async start(setting: ThrashSetting): Promise<ThrashRun> {
    return new ThrashRun(setting, await ThrashWorld.start(fewestProviders));
  }

  /** How many have ended. */
  get acts(): number {
    return this.#clients.done;
  }

  async finish(): Promise<ThrashReport> {
    const { acts, onRound } = this.#setting;
    while (this.#clients.done < acts) {
      await this.#round(Math.min(roundActs, acts - this.#clients.done));
      onRound?.(this.#clients.done);
    }
    await this.#loseAtTheEnd();
    const objects = await this.#clients.assertAll();
    const stripes = await this.#proofs.assertStored();
    const { metrics } = this.#world;
    return {
      acts: this.#clients.done,
      rounds: this.#rounds,
      counts: this.#clients.counts,
      faults: this.#world.countFaults(),
      events: new Map([...this.#events, ...this.#weather.counts]),
      shardsRepaired: await readMetric(metrics.shardsRepaired),
      shardsMoved: await readMetric(metrics.shardsMoved),
      objects,
      stripes,
    };
  }

  close(): Promise<void> {
    return this.#world.close();
  }

  async #round(acts: number): Promise<void> {
    this.#rounds += 1;
    await this.#weather.fallIll();
    const part = Math.ceil(acts / 2);
    await this.#runToTheMiddle(part);
    // Long enough for one that has been down all the while to count as lost.
    if (this.#random.next() < 0.5) this.#world.clock.nowMs += this.#random.between(1, 12) * minuteMs;
    await this.#weather.change();
    await this.#runHarried(acts - part);
    await this.#weather.recover();
    await this.#runHarried(healingActs);
    await this.#proofs.mend();
    if (this.#rounds % 3 === 0) {
      await this.#proofs.assertLiarIsFoundOut();
      await this.#proofs.mend();
    }
    if (this.#rounds % 4 === 0) {
      await this.#proofs.assertBearsLoss();
      await this.#proofs.mend();
    }
    if (this.#rounds % 12 === 1) {
      await this.#proofs.assertWritesSafe();
      await this.#proofs.mend();
    }
    if (this.#rounds % 12 === 7) await this.#proofs.assertRotIsFound();
    if (this.#rounds % 10 === 0) {
      await this.#clients.assertAll();
      await this.#proofs.assertStored();
    }
  }

  /** There the gateway may be stopped, or die under its clients' hands, with its disk or without. */
  async #runToTheMiddle(acts: number): Promise<void> {
    const chance = this.#random.next();
    if (chance < 0.35) {
      await this.#runUntilDeath(acts);
      if (chance < 0.2) await this.#loseDisk([]);
      else {
        this.#countEvent('died');
        await this.#world.revive();
        await this.#clients.assertAll();
      }
      return;
    }
    await this.#runHarried(acts);
    if (chance < 0.5) {
      this.#countEvent('restarted');
      await this.#world.restart();
    }
  }

  async #runUntilDeath(acts: number): Promise<void> {
    const last = this.#clients.done + this.#random.between(1, acts);
    const waiting = pollUntil('enough was done', async () => this.#clients.done >= last, pollMs);
    await Promise.all([this.#runHarried(acts), waiting.then(() => this.#world.die())]);
    this.#world.die();
  }

  /** @param missing places that the recovery cannot ask either, beside those that were given up */
  async #loseDisk(missing: readonly string[]): Promise<void> {
    this.#countEvent('lost its disk');
    const possible = this.#clients.listAfterLoss();
    const { fleet } = this.#world.gateway;
    const isThere = (id: string): boolean => {
      const record = fleet.records.find((each) => each.id === id);
      return record !== undefined && record.state !== 'gone' && !missing.includes(id);
    };
    const { problems } = await this.#world.recover(this.#world.places.filter(({ id }) => isThere(id)));
    assert.deepEqual(
      problems.filter((problem) => !problem.includes('cannot be listed')),
      [],
    );
    await this.#weather.removeMissing();
    await this.#clients.assertRecovered(possible);
  }

  /** The disk once more, with as many providers as any stripe can miss, though all is mended. */
  async #loseAtTheEnd(): Promise<void> {
    await this.#runUntilDeath(healingActs);
    const places = this.#world.places.map(({ id }) => id);
    const missing = [0, 1].map(() => places.splice(this.#random.between(0, places.length - 1), 1)[0]!);
    for (const id of missing) this.#world.place(id).isAway = true;
    await this.#loseDisk(missing);
    for (const id of missing) this.#world.place(id).isAway = false;
    await this.#weather.recover();
    await this.#proofs.mend();
  }

  /** So many acts, while scrub and the search for orphans hardly rest; repair and the rest have their own short intervals. */
  async #runHarried(acts: number): Promise<void> {
    const { upkeep, life } = this.#world.gateway;
    let isOver = false;
    const harry = async (): Promise<void> => {
      let next = this.#clients.done;
      for (let turn = 0; !isOver && !life.isOver; ) {
        if (this.#clients.done < next) {
          await sleep(restMs);
          continue;
        }
        if (turn++ % (scrubActs / searchActs) === 0) await upkeep.scrub(never);
        else await upkeep.collectOrphans(never);
        next = this.#clients.done + searchActs;
      }
    };
    const harrying = harry().catch((error: unknown) => {
      if (!life.isOver) throw error;
    });
    try {
      await this.#clients.run(acts, clientCount);
    } finally {
      isOver = true;
      await harrying;
    }
  }

  #countEvent(what: string): void {
    addTo(this.#events, what, 1);
  }
}
