import { isFailure } from '../../core/failure.ts';
import type { ProviderId, ProviderState } from '../../core/model.ts';
import { FaultSchedule, moods } from '../../placement/providers/fault-schedule.ts';
import type { Random } from '../crash/random.ts';
import type { Place } from './place.ts';
import { addTo, type ThrashWorld } from './thrash-world.ts';

/** So many providers at a time may be bad. */
const maxIll = 2;
/** So many that a stripe has places while as many as may be are ill and one is drained. */
export const fewestProviders = 9;
const mostProviders = 12;
const maxSlowMs = 8;

/** What befalls the providers of a world, and what operators do to its fleet, by chance. */
export class Weather {
  readonly #world: ThrashWorld;
  readonly #random: Random;
  /** What was done to the fleet, and how often. */
  readonly counts = new Map<string, number>();

  constructor(world: ThrashWorld, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** Up to so many providers fall ill as may be, and operators change the fleet. */
  async fallIll(): Promise<void> {
    const well = [...this.#listActive()];
    const take = (): Place => well.splice(this.#random.between(0, well.length - 1), 1)[0]!;
    for (let ill = this.#random.between(1, maxIll); ill > 0; ill--) await this.#makeIll(take());
    if (this.#random.next() < 0.3) {
      this.#count('drained');
      await this.#world.gateway.keeper.drain(take().id);
    }
    if (this.#random.next() < 0.15) await this.add();
  }

  /** In the midst: somebody comes back who was sent away, one more comes, or one is to hold more or less. */
  async change(): Promise<void> {
    const { keeper } = this.#world.gateway;
    const chance = this.#random.next();
    if (chance < 0.3) {
      for (const id of [...this.#listIn('suspended'), ...this.#listIn('gone')]) await this.#bringBack(id);
    } else if (chance < 0.4) await this.add();
    else if (chance < 0.5) {
      this.#count('weighed');
      const { id } = this.#random.pick(this.#listActive());
      await keeper.set(id, { weight: this.#random.pick([0.5, 1, 2]) });
    }
  }

  /** All that are in the fleet are well from now on. Those that were removed come back, or are replaced. */
  async recover(): Promise<void> {
    const { keeper } = this.#world.gateway;
    for (const { faults } of this.#world.places) faults.clear();
    for (const id of this.#listIn('suspended')) await this.#bringBack(id);
    for (const id of this.#listIn('gone')) if (this.#random.next() < 0.5) await this.#bringBack(id);
    for (const place of this.#world.places) place.isAway = this.#listIn('gone').includes(place.id);
    await keeper.retry();
    const draining = this.#listIn('draining');
    for (const id of draining) if (this.#random.next() < 0.5) await keeper.resume(id);
    while (this.#listIn('active').length < fewestProviders) await this.add();
  }

  /** One more provider. */
  async add(): Promise<void> {
    const { gateway } = this.#world;
    if (gateway.fleet.records.length >= mostProviders) return;
    this.#count('added');
    await gateway.keeper.add(this.#world.makePlace().settings);
  }

  /** Those that were drained and hold nothing any more leave; those that were given up and that nothing names are forgotten. */
  async letGo(): Promise<void> {
    const { gateway } = this.#world;
    for (const id of this.#listIn('draining')) {
      try {
        await gateway.keeper.remove(id, { isLost: false });
        this.#count('removed');
      } catch (error) {
        // It still holds something.
        if (!isFailure(error, 'provider-in-use')) throw error;
      }
    }
    await gateway.keeper.forgetGone();
    const known = gateway.fleet.records.map(({ id }) => id);
    for (const { id } of this.#world.places) if (!known.includes(id)) this.#world.dropPlace(id);
  }

  /** After a recovery: providers that the journal still names, but that are no more, are given up. */
  async removeMissing(): Promise<void> {
    const { keeper, fleet } = this.#world.gateway;
    const there = this.#world.places.map(({ id }) => id);
    for (const { id } of fleet.records) if (!there.includes(id)) await keeper.remove(id, { isLost: true });
  }

  /** Whether every provider that the fleet knows is active and up. */
  isFair(): boolean {
    const { fleet } = this.#world.gateway;
    return fleet.records.every(({ id, state }) => state === 'active' && fleet.standingOf(id) === 'up');
  }

  async #makeIll(place: Place): Promise<void> {
    const { keeper } = this.#world.gateway;
    const { id, faults } = place;
    const chance = this.#random.next();
    if (chance < 0.1) {
      this.#count('suspended');
      await keeper.suspend(id);
    } else if (chance < 0.2) {
      faults.always('all', 'error');
      if (this.#random.next() < 0.5) {
        this.#count('given up');
        await keeper.remove(id, { isLost: true });
      }
    } else if (chance < 0.3) {
      this.#count('wiped');
      await place.wipe();
    } else {
      const seed = this.#random.between(0, 2 ** 31);
      const phases = chance < 0.65 ? [{ mood: this.#random.pick(moods), calls: 1_000 }] : undefined;
      faults.follow(new FaultSchedule({ seed, maxSlowMs, ...(phases && { phases }) }));
    }
  }

  async #bringBack(id: ProviderId): Promise<void> {
    const place = this.#world.places.find((each) => each.id === id);
    if (place === undefined) return;
    place.faults.clear();
    place.isAway = false;
    this.#count('resumed');
    try {
      await this.#world.gateway.keeper.resume(id);
    } catch (error) {
      // Nothing named it any more, and it was forgotten.
      if (!isFailure(error, 'provider-unknown')) throw error;
    }
  }

  #listActive(): Place[] {
    return this.#listIn('active').map((id) => this.#world.place(id));
  }

  #listIn(state: ProviderState): ProviderId[] {
    return this.#world.gateway.fleet.records.filter((record) => record.state === state).map(({ id }) => id);
  }

  #count(what: string): void {
    addTo(this.counts, what, 1);
  }
}
