import assert from 'node:assert/strict';
import type { ProviderId, Stripe } from '../../core/model.ts';
import { checkShard } from '../../engine/upkeep/check-shard.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { shardBytes, shardHeaderBytes } from '../../erasure/shard-format.ts';
import { FaultSchedule } from '../../placement/providers/fault-schedule.ts';
import type { Random } from '../crash/random.ts';
import { assertBudgetsFree, never } from '../engine/engine-harness.ts';
import { assertStatusIsTrue, listStripes } from '../upkeep/upkeep-world.ts';
import type { ThrashClients } from './thrash-clients.ts';
import { minuteMs, profiles, type ThrashWorld } from './thrash-world.ts';
import type { Weather } from './weather.ts';

const maxMendings = 30;
/** Longer than a provider that goes counts as down before it counts as lost. */
const longMs = 11 * minuteMs;
const readFaults = ['error', 'missing', 'flip', 'truncate', 'wrong-shard'] as const;
/** What makes a write safe, of any profile. */
const fewestSafe = Math.min(...profiles.map(({ k, m }) => k + Math.ceil(m / 2)));
const writeCalls = ['putShard', 'createShard', 'append', 'commit'] as const;
const refusedActs = 30;
const rottenShards = 8;
const maxLosses = Math.min(...profiles.map(({ m }) => m));

/** What must be true of a world while nobody writes. */
export class Proofs {
  readonly #world: ThrashWorld;
  readonly #weather: Weather;
  readonly #clients: ThrashClients;
  readonly #random: Random;

  constructor(parts: { world: ThrashWorld; weather: Weather; clients: ThrashClients; random: Random }) {
    this.#world = parts.world;
    this.#weather = parts.weather;
    this.#clients = parts.clients;
    this.#random = parts.random;
  }

  /**
   * While fewer providers take shards than make a write safe, though enough to read it, clients write as ever. What is acknowledged, then and
   * before, has enough shards.
   */
  async assertWritesSafe(): Promise<void> {
    const places = [...this.#world.places];
    for (let left = fewestSafe - 1; left > 0; left--) places.splice(this.#random.between(0, places.length - 1), 1);
    for (const { faults } of places) for (const call of writeCalls) faults.always(call, 'error');
    await this.#clients.run(refusedActs, 1);
    for (const { faults } of places) faults.clear();
    await this.#clients.run(refusedActs, 1);
    assert.deepEqual(this.#world.unsafeWrites, []);
  }

  /**
   * A bit turns over in some shards where they lie, each of another stripe, in the header of every second one: scrub finds it, and repair gives back
   * what lay there. That is compared with what it was, and not by what scrub goes by.
   */
  async assertRotIsFound(): Promise<void> {
    const stripes = await listStripes(this.#world.gateway);
    const planted: { stripe: Stripe; index: number; right: Uint8Array; at: number }[] = [];
    for (let turn = 0; turn < Math.min(rottenShards, stripes.length); turn++) {
      const [stripe] = stripes.splice(this.#random.between(0, stripes.length - 1), 1) as [Stripe];
      const { index, providerId, cid } = this.#random.pick(stripe.shards);
      const { content } = this.#world.place(providerId);
      const right = await content.readShard(cid, 0, shardBytes(stripe, index));
      const at = this.#random.between(0, (turn % 2 === 0 ? shardHeaderBytes : right.length) - 1);
      const rotten = Uint8Array.from(right);
      rotten[at]! ^= 1 << this.#random.between(0, 7);
      await content.deleteShard(cid);
      await content.putShard(cid, [rotten]);
      planted.push({ stripe, index, right, at });
    }
    await this.mend();
    const mended = new Map((await listStripes(this.#world.gateway)).map((stripe) => [stripe.id, stripe]));
    for (const { stripe, index, right, at } of planted) {
      const shard = mended.get(stripe.id)?.shards.find((each) => each.index === index);
      // It was freed, or written anew.
      if (shard === undefined) continue;
      const bytes = await this.#world.place(shard.providerId).content.readShard(shard.cid, 0, right.length);
      assert.ok(Buffer.from(right).equals(bytes), `byte ${at} of shard ${index} of ${stripe.id} is wrong still`);
    }
  }

  /** Until scrub finds nothing, every stripe has its full margin, and who was to go has gone. Fails where that never comes. */
  async mend(): Promise<void> {
    for (let turn = 0; turn < maxMendings; turn++) {
      const { upkeep, keeper } = this.#world.gateway;
      this.#world.clock.nowMs += longMs;
      await keeper.retry();
      await upkeep.scrub(never);
      await upkeep.runOnce();
      await upkeep.moveShards(never);
      await this.#weather.letGo();
      if (this.#weather.isFair() && (await this.#isWhole())) return;
    }
    const { keeper, upkeep } = this.#world.gateway;
    const { margins, backlog } = await upkeep.readStatus();
    const standings = (await keeper.list()).map(
      ({ id, state, standing, heldShards }) => `${id} ${state} ${standing} ${heldShards}`,
    );
    const lacking = (await listStripes(this.#world.gateway)).filter(
      (stripe) => stripe.shards.length < storedShardCount(stripe),
    );
    assert.fail(`redundancy is not back: ${JSON.stringify({ margins, backlog, standings, lacking })}`);
  }

  /**
   * While a provider loses what it acknowledges, what another one held is rebuilt, or moved away from it. All that is then recorded must be
   * there, also before any scrub has looked. (What upkeep writes anew, as clients do, is not read back: that is left to scrub.)
   */
  async assertLiarIsFoundOut(): Promise<void> {
    const { keeper, upkeep } = this.#world.gateway;
    const active = this.#world.places;
    const liar = this.#random.pick(active);
    const victim = this.#random.pick(active.filter((place) => place !== liar));
    const before = await listStripes(this.#world.gateway);
    const seed = this.#random.between(0, 2 ** 31);
    liar.faults.follow(new FaultSchedule({ seed, phases: [{ mood: 'forgetful', calls: 1_000_000 }] }));
    const isDrained = this.#random.next() < 0.5;
    if (isDrained) await keeper.drain(victim.id);
    else {
      await victim.wipe();
      await upkeep.scrub(never);
    }
    for (let turn = 0; turn < 3; turn++) {
      // Longer than it is held against a provider that it did not keep what it was given.
      this.#world.clock.nowMs += 3 * minuteMs;
      await upkeep.runOnce();
      await upkeep.moveShards(never);
    }
    const known = new Set(before.map(({ id }) => id));
    for (const stripe of await listStripes(this.#world.gateway)) {
      if (known.has(stripe.id)) await this.#checkShards(stripe);
    }
    liar.faults.clear();
    if (isDrained) await keeper.resume(victim.id);
  }

  /** As many providers as any stripe can lose are gone, or lie whatever is read: all can be read as it was written. */
  async assertBearsLoss(): Promise<void> {
    const places = [...this.#world.places];
    const lost = Array.from({ length: maxLosses }, () => {
      return places.splice(this.#random.between(0, places.length - 1), 1)[0]!;
    });
    for (const { faults } of lost) faults.always('readShard', this.#random.pick(readFaults));
    await this.#clients.readAll();
    for (const { faults } of lost) faults.clear();
  }

  /** Reads every shard of every stripe; nothing else lies anywhere; and the status says so. Returns how many stripes there are. */
  async assertStored(): Promise<number> {
    const world = this.#world;
    // Twice, since what is moved or freed in the first pass is collected in the next.
    for (let pass = 0; pass < 2; pass++) {
      await world.gateway.upkeep.runOnce();
      world.clock.nowMs += longMs;
    }
    // From here on nothing is moved any more, and what was is an orphan where it lay.
    await world.restart({ isIdle: true });
    const { gateway } = world;
    await gateway.upkeep.runOnce();
    const recorded = new Map<ProviderId, Set<string>>(world.places.map(({ id }) => [id, new Set()]));
    const stripes = await listStripes(gateway);
    for (const stripe of stripes) {
      assert.equal(stripe.shards.length, storedShardCount(stripe), `shards of ${stripe.id}`);
      assert.equal(new Set(stripe.shards.map(({ providerId }) => providerId)).size, stripe.shards.length);
      await this.#checkShards(stripe);
      for (const { providerId, cid } of stripe.shards) recorded.get(providerId)!.add(cid);
    }
    // What was freed just now is there until the journal says so.
    for (const { shards } of await gateway.metadata.listFreedStripes(Number.POSITIVE_INFINITY, 100_000)) {
      for (const { providerId, cid } of shards) recorded.get(providerId)?.add(cid);
    }
    for (const place of world.places) {
      const orphans = (await place.listCids()).filter((cid) => !recorded.get(place.id)!.has(cid));
      assert.deepEqual(orphans, [], `what ${place.id} has and nobody knows of`);
    }
    const providers = world.places.map(({ content }) => content);
    await assertStatusIsTrue({ ...gateway, providers }, 'while all is well');
    await assertBudgetsFree(world);
    await world.restart();
    return stripes.length;
  }

  async #isWhole(): Promise<boolean> {
    const { backlog, margins } = await this.#world.gateway.upkeep.readStatus();
    return (
      backlog.stripes === 0 && margins.every(({ margin, stripes }) => stripes === 0 || Number(margin) >= maxLosses)
    );
  }

  /** Each where it is recorded, and right: past all faults, by what really lies there. */
  async #checkShards(stripe: Stripe): Promise<void> {
    for (const shard of stripe.shards) {
      await checkShard(this.#world.place(shard.providerId).content, stripe, shard, never);
    }
  }
}
