import { Failure, isFailure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../core/model.ts';
import { rowCount, storedBlockBytes, storedBlockCount, storedShardCount } from '../../erasure/geometry.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import type { Placer } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { EngineParts } from '../engine-parts.ts';
import { readRow } from '../read-row.ts';
import { ShardLane } from '../shard-lane.ts';
import { checkCost, checkShard } from './check-shard.ts';
import type { Liars } from './liars.ts';
import { LockedProvider } from './locked-provider.ts';
import type { Work } from './throttle.ts';

/** What became of a stripe. */
export interface RepairOutcome {
  /** Shards that were rebuilt and recorded. */
  readonly repaired: number;
  /** What they take. */
  readonly bytes: number;
  /** Shards that a provider acknowledged and did not keep. */
  readonly unkept: number;
  /** Whether it has all its shards now. */
  readonly isWhole: boolean;
}

export interface RepairSetting {
  /** Providers that get nothing, since they lately did not keep what they acknowledged. */
  readonly liars: Liars;
}

const whole: RepairOutcome = { repaired: 0, bytes: 0, unkept: 0, isWhole: true };
const nothing: RepairOutcome = { repaired: 0, bytes: 0, unkept: 0, isWhole: false };

/**
 * Rebuilds all shards that a stripe lacks in one pass over k of those that it has, onto providers that hold none of it; each is
 * compared with its name where that is known, read back from where it was written, and only then recorded.
 *
 * @returns how far that went: there may be nowhere to put them
 * @throws Failure `too-few-shards`, `shard-corrupt` (what was computed does not have the name that it must have); the signal's reason
 */
export async function repairStripe(
  parts: EngineParts,
  id: StripeId,
  setting: RepairSetting,
  signal: AbortSignal,
): Promise<RepairOutcome> {
  const release = await parts.locks.lockStripe(id);
  parts.pins.pin([id]);
  try {
    // As it is now, since nobody else places its shards from here on.
    const stripe = (await parts.metadata.findStripes([id])).get(id);
    return stripe === undefined ? whole : await new StripeRepair(parts, stripe, setting, signal).run();
  } finally {
    parts.pins.unpin([id]);
    release();
  }
}

/** What it takes to give a stripe back so many shards: each surviving byte that is needed is read once, what is written is read again. */
export function repairCost(stripe: Stripe, lacking: number): Work {
  const shard = shardBytes(stripe, stripe.k + stripe.m - 1);
  const check = checkCost(stripe, stripe.k + stripe.m - 1);
  const needed = storedShardCount(stripe) - stripe.m;
  const rows = rowCount(stripe);
  const writes = rows === 1 ? 1 : rows + 2;
  return {
    bytes: needed * shard + lacking * (shard + check.bytes),
    operations: needed * rows + lacking * (writes + check.operations),
  };
}

/** The repair of one stripe, under its lock. */
export class StripeRepair {
  readonly #parts: EngineParts;
  readonly #stripe: Stripe;
  readonly #setting: RepairSetting;
  readonly #signal: AbortSignal;
  /** Shards that are where they should be. */
  #good: readonly PlacedShard[];
  /** What is known of the others: they are gone, or wrong at least in part, or lie where nobody expects an answer. */
  #bad: readonly PlacedShard[];
  /**
   * Shards at a provider that has another one of the stripe: they would be lost together, so they are written again elsewhere. They are as
   * good to read as any; once they lie elsewhere they are orphans here, for the search for orphans to delete.
   */
  readonly #doubled: readonly PlacedShard[];
  /** Shards that are whole where they lie but wrong: they are replaced by others of another name. */
  readonly #miscoded: readonly PlacedShard[];
  readonly #places = new Map<ProviderId, LockedProvider>();
  #unkept = 0;

  /** @param miscoded shards that are to be computed anew from the others, although they have their digests */
  constructor(
    parts: EngineParts,
    stripe: Stripe,
    setting: RepairSetting,
    signal: AbortSignal,
    miscoded: readonly PlacedShard[] = [],
  ) {
    this.#miscoded = miscoded;
    this.#parts = parts;
    this.#stripe = stripe;
    this.#setting = setting;
    this.#signal = signal;
    const isLost = ({ providerId }: PlacedShard): boolean => parts.fleet.standingOf(providerId) === 'lost';
    const present = stripe.shards.filter((shard) => !isLost(shard) && !miscoded.includes(shard));
    const isFirstThere = ({ providerId }: PlacedShard, at: number): boolean =>
      present.findIndex((other) => other.providerId === providerId) === at;
    this.#good = present.filter(isFirstThere);
    this.#doubled = present.filter((shard, at) => !isFirstThere(shard, at));
    this.#bad = [...stripe.shards.filter(isLost), ...(stripe.lostShards ?? [])];
  }

  async run(): Promise<RepairOutcome> {
    await this.#takeUpRecovered();
    const lacking = this.#listLacking();
    if (lacking.length === 0) return whole;
    const lanes = this.#openLanes(lacking);
    try {
      if (lanes.length === 0) return nothing;
      await this.#rebuild(lanes);
      const recorded = await this.#recordAll(lanes);
      await this.#deleteReplaced(recorded);
      const bytes = recorded.reduce((sum, { index }) => sum + shardBytes(this.#stripe, index), 0);
      return { repaired: recorded.length, bytes, unkept: this.#unkept, isWhole: recorded.length === lacking.length };
    } finally {
      for (const place of this.#places.values()) place.release();
    }
  }

  /**
   * A provider that lied about a shard may have done so only for a while. What is right by now where it lay counts again: that costs one
   * read of it instead of k of others, and takes no place that a shard of another index would then have to go to.
   */
  async #takeUpRecovered(): Promise<void> {
    const { fleet } = this.#parts;
    const present = new Set([...this.#good, ...this.#doubled].map(({ index }) => index));
    const holders = new Set(this.#good.map(({ providerId }) => providerId));
    const doubtful = (this.#stripe.lostShards ?? []).filter(
      ({ index, providerId }) =>
        !present.has(index) && !holders.has(providerId) && fleet.standingOf(providerId) === 'up',
    );
    const checked = await Promise.all(
      doubtful.map(async (shard) => ((await this.#isRight(shard)) ? shard : undefined)),
    );
    const recovered = checked.filter((shard) => shard !== undefined);
    if (recovered.length === 0) return;
    this.#good = [...this.#good, ...recovered];
    this.#bad = this.#bad.filter((shard) => !recovered.includes(shard));
  }

  async #isRight(shard: PlacedShard): Promise<boolean> {
    const { fleet, locks, metadata } = this.#parts;
    const provider = fleet.find(shard.providerId);
    if (provider === undefined) return false;
    const release = await locks.lockShard(shard.providerId, shard.cid);
    try {
      await checkShard(provider, this.#stripe, shard, this.#signal);
      await metadata.recordShard(this.#stripe.id, shard);
      return true;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (isFailure(error, 'stripe-missing') || !isFailure(error)) throw error;
      return false;
    } finally {
      release();
    }
  }

  /** Those first that can come back in no other way: a provider that was given up may be back one day. */
  #listLacking(): number[] {
    const { k, m, shards } = this.#stripe;
    const present = new Set(this.#good.map(({ index }) => index));
    const lacking = Array.from({ length: k + m }, (_, index) => index).filter(
      (index) => !present.has(index) && storedBlockCount(this.#stripe, index) > 0,
    );
    const isRecorded = (index: number): boolean => shards.some((shard) => shard.index === index);
    return [...lacking.filter((index) => !isRecorded(index)), ...lacking.filter(isRecorded)];
  }

  /**
   * Only providers that are up and keep what they are given; for the shard of `index` first those that have nothing of the stripe, then
   * where it lay. Another provider that has a bad shard is left to the index of that: the shard may be right in part, or again, and
   * two shards at one provider would be lost together.
   */
  #openPlacer(shared: Placer, returned: Provider[], index: number): Placer {
    const { fleet, locks } = this.#parts;
    const isFit = ({ id }: Provider): boolean => fleet.standingOf(id) === 'up' && !this.#setting.liars.has(id);
    const replaced = [...this.#bad, ...this.#miscoded];
    const owners = replaced.filter((shard) => shard.index === index).map(({ providerId }) => providerId);
    const take = (): Provider | undefined => {
      for (let next = shared.take(); next !== undefined; next = shared.take()) {
        if (isFit(next) && !replaced.some(({ providerId }) => providerId === next.id)) return next;
        shared.giveBack(next);
        returned.push(next);
      }
      const at = returned.findIndex((provider) => isFit(provider) && owners.includes(provider.id));
      return at < 0 ? undefined : returned.splice(at, 1)[0];
    };
    return {
      take: () => {
        const provider = take();
        if (provider === undefined) return undefined;
        const place = new LockedProvider(provider, locks);
        this.#places.set(provider.id, place);
        return place;
      },
      giveBack: (provider) => shared.giveBack(provider),
    };
  }

  /** A lane for as many of the lacking shards as there are places. */
  #openLanes(lacking: readonly number[]): ShardLane[] {
    const { fleet, limits, noteProviderFailure } = this.#parts;
    const { id, profileName, k, m, blockBytes } = this.#stripe;
    const shared = fleet.placeStripe({ id, k, m, holders: this.#good.map(({ providerId }) => providerId) });
    const returned: Provider[] = [];
    return lacking.flatMap((index) => {
      const placer = this.#openPlacer(shared, returned, index);
      let first = placer.take();
      if (first === undefined) return [];
      const takeNext = (): Provider | undefined => {
        const next = first ?? placer.take();
        first = undefined;
        return next;
      };
      const setting = {
        placer: { take: takeNext, giveBack: placer.giveBack, putBack: placer.giveBack },
        isSuspect: (provider: Provider) => fleet.isSuspect(provider.id),
        noteFailure: noteProviderFailure,
        suspectWaitMs: limits.suspectWaitMs,
        signal: this.#signal,
      };
      return [new ShardLane({ stripeId: id, profileName, k, m, index, blockBytes }, setting)];
    });
  }

  /** Sends all lacking shards on their way, row by row, and makes them durable. */
  async #rebuild(lanes: readonly ShardLane[]): Promise<void> {
    try {
      const rows = rowCount(this.#stripe);
      for (let row = 0; row < rows && lanes.some((lane) => !lane.isDead); row++) {
        await this.#copyRow(row, lanes, row === rows - 1);
      }
      this.#checkNames(lanes);
      await Promise.all(lanes.filter((lane) => !lane.isDead).map((lane) => lane.commit()));
    } catch (error) {
      await Promise.all(lanes.map((lane) => this.#takeBack(lane)));
      throw error;
    }
  }

  async #copyRow(row: number, lanes: readonly ShardLane[], isLast: boolean): Promise<void> {
    const { readBudget } = this.#parts;
    const stripe = this.#stripe;
    const wanted = lanes.map((lane) => lane.index).filter((index) => storedBlockBytes(stripe, index, row) > 0);
    const bytes = (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row);
    const lease = await readBudget.acquire(Math.min(bytes, readBudget.capacityBytes), this.#signal);
    try {
      const rebuilt = wanted.length > 0 ? await this.#readRow(row, wanted) : [];
      const end = isLast ? stripe : undefined;
      await Promise.all(lanes.map((lane) => lane.append(rebuilt[wanted.indexOf(lane.index)], end)));
    } finally {
      lease.release();
    }
  }

  /**
   * Where too few shards are good, those that are not are asked as well: one that is wrong in one row may be right in this, and a
   * provider that has been away for long may be back just now.
   */
  #readRow(row: number, wanted: readonly number[]): Promise<Uint8Array[]> {
    const { blocks, codec, metrics, limits } = this.#parts;
    const shards = [...this.#good, ...this.#doubled];
    const lostShards = this.#bad.filter(({ index }) => !shards.some((shard) => shard.index === index));
    const stripe = { ...this.#stripe, shards, lostShards };
    return readRow({ blocks, codec, metrics, hedgeMs: limits.hedgeMs }, { stripe, row, wanted }, this.#signal);
  }

  /** The same bytes have the same name. @throws Failure `shard-corrupt` where the codec computed others */
  #checkNames(lanes: readonly ShardLane[]): void {
    for (const { index, providerId, cid } of [...this.#bad, ...this.#doubled]) {
      const lane = lanes.find((each) => each.index === index);
      if (lane?.cid === undefined || lane.cid === cid) continue;
      const reason = `rebuilt as ${lane.cid} in stripe ${this.#stripe.id}`;
      throw new Failure('shard-corrupt', { providerId, cid, reason });
    }
  }

  async #recordAll(lanes: readonly ShardLane[]): Promise<PlacedShard[]> {
    const recorded = await Promise.all(
      lanes.map(async (lane) => {
        const { placed } = lane;
        if (placed === undefined || !(await this.#isKept(placed))) {
          await this.#takeBack(lane);
          return [];
        }
        await this.#record(lane, placed);
        return [placed];
      }),
    );
    return recorded.flat();
  }

  async #record(lane: ShardLane, placed: PlacedShard): Promise<void> {
    try {
      await this.#parts.metadata.recordShard(this.#stripe.id, placed);
    } catch (error) {
      // The stripe is gone, and nobody else will ever know of this shard.
      if (isFailure(error, 'stripe-missing')) await lane.abort();
      throw error;
    }
    this.#parts.metrics.shardsRepaired.inc();
  }

  /** Reads back what was written. A provider that acknowledges and loses is found out here. */
  async #isKept(placed: PlacedShard): Promise<boolean> {
    const place = this.#places.get(placed.providerId);
    if (place === undefined) return false;
    try {
      await checkShard(place, this.#stripe, placed, this.#signal);
      return true;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#unkept += 1;
      this.#setting.liars.note(placed.providerId, error);
      return false;
    }
  }

  /** Deletes what a lane wrote; but not what lay there before under that name, which may be good in part. */
  async #takeBack(lane: ShardLane): Promise<void> {
    const { placed } = lane;
    const isOld = this.#bad.some(({ providerId, cid }) => providerId === placed?.providerId && cid === placed.cid);
    if (!isOld) await lane.abort();
  }

  /**
   * What was wrong where it lay is of no use there once the shard lies elsewhere. What may be good at a provider that was given up is left
   * to the search for orphans, should it come back.
   */
  async #deleteReplaced(recorded: readonly PlacedShard[]): Promise<void> {
    const { fleet } = this.#parts;
    const known = [...(this.#stripe.lostShards ?? []), ...this.#miscoded];
    const replaced = known.filter(({ index, providerId, cid }) => {
      const placed = recorded.find((each) => each.index === index);
      const isThere = placed?.providerId === providerId && placed.cid === cid;
      return placed !== undefined && !isThere && fleet.standingOf(providerId) === 'up';
    });
    // What cannot be deleted now is an orphan there.
    await Promise.allSettled(
      replaced.map(({ providerId, cid }) => fleet.find(providerId)?.deleteShard(cid, this.#signal)),
    );
  }
}
