import type { Lease } from '../../../core/byte-budget.ts';
import { isFailure } from '../../../core/failure.ts';
import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import { findWrongParity } from '../../../erasure/check-row.ts';
import { rowCount, storedBlockBytes } from '../../../erasure/geometry.ts';
import { shardBytes } from '../../../erasure/shard-format.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { checkCost, checkShard } from '../check-shard.ts';
import { Throttle } from '../throttle.ts';
import { RowSample } from './row-sample.ts';
import { type Backlog, ScrubState } from './scrub-state.ts';

/** Stripes between two notes of how far it has come, at most; and bytes, beyond which no stripe is begun: little is to be read at once where there is little. */
const pageStripes = 64;
const pageBytes = 64 * 2 ** 20;
/** Stripes that are read at once. */
const width = 4;
/** A round is planned to take this part of the period, which leaves time for what holds it up. */
const plannedPart = 0.8;
/** A round that was quick, since there is little, rests until so much of the period is over. */
const restPart = 1 - plannedPart;
/** What is left of a round that is late is read at least so fast: in this part of the period. */
const hurryPart = 0.05;
const maxRestMs = 3_600_000;
/** A shard that a provider fails to read so often, over so long, while it reads others, is as good as lost: its disk is damaged there. */
const maxFailures = 3;
const minFailingMs = 600_000;
/** Shards whose failures are remembered. */
const maxFailing = 10_000;

/** What of the engine scrub works with. */
export type ScrubParts = Pick<
  EngineParts,
  | 'metadata'
  | 'fleet'
  | 'clock'
  | 'limits'
  | 'metrics'
  | 'log'
  | 'pins'
  | 'clientLoad'
  | 'kickRepair'
  | 'noteMiscoded'
  | 'codec'
  | 'readBudget'
>;

/** What scrub found of a shard. */
export type ScrubOutcome = 'good' | 'missing' | 'corrupt' | 'unreadable';

/** Which shards of a page are to be read, and what is known of them. */
interface Pass {
  readonly isThrottled: boolean;
  /** The only provider whose shards are read, where there is one. */
  readonly providerId?: ProviderId;
  /** When the stripe's shards were read last. */
  lastReadMs(id: StripeId): number;
}

export interface ScrubProgress {
  readonly roundStartedAtMs: number;
  /** How much of what is stored the round has read: 0 to 1. */
  readonly roundPart: number;
  /** When the shard was read that was not read for longest; absent where nothing is stored. */
  readonly oldestUnscrubbedMs?: number;
  /** Providers whose shards are still to be read since they could not be when the round came by. */
  readonly behind: readonly ProviderId[];
  /** Shards by what was found, since this process started. */
  readonly shards: Readonly<Record<ScrubOutcome, number>>;
}

/**
 * Reads every shard whole within `scrubPeriodMs`, in order of stripes, as evenly as can be, and records what is gone or wrong as lost, so
 * that repair replaces it. Shards of a provider that does not answer are read when it is back. (Shards that no stripe has are found
 * and deleted by the search for orphans.)
 */
export class Scrubber {
  readonly #parts: ScrubParts;
  readonly #state: ScrubState;
  readonly #throttle: Throttle;
  readonly #shards: Record<ScrubOutcome, number> = { good: 0, missing: 0, corrupt: 0, unreadable: 0 };
  /** How often shards could not be read although their provider is well, and since when. */
  readonly #failing = new Map<string, { readonly sinceMs: number; count: number }>();
  /** What the last page came to. */
  #pageBytes = 0;

  constructor(parts: ScrubParts) {
    this.#parts = parts;
    this.#state = new ScrubState(parts.metadata);
    this.#throttle = new Throttle({
      bytesPerS: parts.limits.scrubBytesPerS,
      operationsPerS: Number.POSITIVE_INFINITY,
      load: parts.clientLoad,
    });
  }

  /** Reads the next stripes of the round. Returns in how many milliseconds it is time for more. */
  async scrubPage(signal: AbortSignal): Promise<number> {
    const { clock, limits, metadata, metrics } = this.#parts;
    await this.#state.load(clock.now());
    await this.#catchUp(true, signal);
    const isRoundOver = await this.#readPage(true, signal);
    const { storedBytes } = await metadata.countUsage();
    metrics.scrubRoundPart.set(this.#roundPart(storedBytes));
    metrics.scrubOldestSeconds.set(((await this.oldestUnscrubbedMs()) ?? 0) / 1000);
    if (!isRoundOver) return this.#soonerForBacklog(this.#restMs(storedBytes));
    const overMs = clock.now() - this.#state.startedAtMs;
    const restMs = Math.max(limits.scrubPeriodMs * restPart - overMs, 0);
    if (restMs > maxRestMs) return this.#soonerForBacklog(maxRestMs);
    this.#state.beginRound(clock.now());
    await this.#state.save();
    return this.#soonerForBacklog(restMs);
  }

  /** Reads everything there is, now and as fast as it can. */
  async scrubAll(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    await this.#state.load(clock.now());
    this.#state.beginRound(clock.now());
    while (!(await this.#readPage(false, signal)));
    await this.#catchUp(false, signal);
  }

  async oldestUnscrubbedMs(): Promise<number | undefined> {
    const { metadata, clock } = this.#parts;
    await this.#state.load(clock.now());
    const [next] = await metadata.listStripes(this.#state.cursor, 1);
    const [beyond] = await metadata.listStripes(this.#state.endBefore, 1);
    return this.#state.oldestMs(next?.id, beyond?.id);
  }

  async readProgress(): Promise<ScrubProgress> {
    const oldestUnscrubbedMs = await this.oldestUnscrubbedMs();
    const { storedBytes } = await this.#parts.metadata.countUsage();
    return {
      roundStartedAtMs: this.#state.startedAtMs,
      roundPart: this.#roundPart(storedBytes),
      ...(oldestUnscrubbedMs !== undefined && { oldestUnscrubbedMs }),
      behind: [...this.#state.backlogs.keys()],
      shards: { ...this.#shards },
    };
  }

  #roundPart(storedBytes: number): number {
    return storedBytes === 0 ? 1 : Math.min(this.#state.doneBytes / storedBytes, 1);
  }

  /** What was put off is long due, and only the rate holds it up. */
  #soonerForBacklog(restMs: number): number {
    const { fleet, limits } = this.#parts;
    const isDue = [...this.#state.backlogs.keys()].some((id) => fleet.standingOf(id) === 'up');
    return isDue ? Math.min(restMs, limits.upkeepIntervalMs) : restMs;
  }

  /** So that what is left is read evenly in the time that is left. */
  #restMs(storedBytes: number): number {
    const { clock, limits } = this.#parts;
    const { startedAtMs, doneBytes } = this.#state;
    const leftMs = startedAtMs + limits.scrubPeriodMs * plannedPart - clock.now();
    const leftBytes = Math.max(storedBytes - doneBytes, 1);
    const pages = Math.max(leftBytes / Math.max(this.#pageBytes, 1), 1);
    return Math.min(Math.max(leftMs, limits.scrubPeriodMs * hurryPart) / pages, maxRestMs);
  }

  /** Returns whether that was the end of the round. */
  async #readPage(isThrottled: boolean, signal: AbortSignal): Promise<boolean> {
    const { metadata, clock } = this.#parts;
    const listed = await metadata.listStripes(this.#state.cursor, pageStripes);
    const { stripes, bytes } = cutPage(listed);
    const last = stripes.at(-1);
    if (last === undefined) return true;
    const pass = { isThrottled, lastReadMs: (id: StripeId) => this.#state.lastReadMs(id) };
    await forEachBounded(stripes, width, ({ id }) => this.#readStripe(id, pass, signal));
    this.#pageBytes = bytes;
    this.#state.advance(last.id, bytes, clock.now());
    await this.#state.save();
    return stripes.length === listed.length && listed.length < pageStripes;
  }

  /** Reads what could not be read before, at providers that are back: a page of each, or all. */
  async #catchUp(isThrottled: boolean, signal: AbortSignal): Promise<void> {
    const { fleet } = this.#parts;
    for (const providerId of [...this.#state.backlogs.keys()]) {
      const standing = fleet.standingOf(providerId);
      // What is lost is rebuilt elsewhere.
      if (standing === 'down') continue;
      let backlog = this.#state.takeBacklog(providerId);
      if (standing === 'lost' || backlog === undefined) continue;
      try {
        do backlog = await this.#catchUpPage(providerId, backlog, isThrottled, signal);
        while (backlog !== undefined && !isThrottled);
      } finally {
        if (backlog !== undefined) this.#state.restore(providerId, backlog);
      }
      await this.#state.save();
    }
  }

  /** Returns what is left of it. What could not be read again is put off once more. */
  async #catchUpPage(
    providerId: ProviderId,
    backlog: Backlog,
    isThrottled: boolean,
    signal: AbortSignal,
  ): Promise<Backlog | undefined> {
    const { metadata } = this.#parts;
    const first = await metadata.findStripes([backlog.fromId]);
    const others = await metadata.listStripes(backlog.fromId, pageStripes);
    const stripes = [...first.values(), ...others].filter(({ id }) => id <= backlog.toId);
    const pass = { isThrottled, providerId, lastReadMs: () => backlog.sinceMs };
    await forEachBounded(stripes, width, ({ id }) => this.#readStripe(id, pass, signal));
    const last = others.at(-1);
    const isMore = others.length === pageStripes && last !== undefined && last.id < backlog.toId;
    return isMore ? { ...backlog, fromId: last.id } : undefined;
  }

  async #readStripe(id: StripeId, pass: Pass, signal: AbortSignal): Promise<void> {
    const { pins, metadata } = this.#parts;
    // Nobody collects what is being read, nor what was left where it was moved from.
    pins.pin([id]);
    try {
      // As it is now: since the page was listed it may have been moved, or have gone.
      const stripe = (await metadata.findStripes([id])).get(id);
      if (stripe !== undefined) await this.#readShards(stripe, pass, signal);
    } finally {
      pins.unpin([id]);
    }
  }

  /** A row of it is kept meanwhile, another one each time, and looked at whether its blocks go together. */
  async #readShards(stripe: Stripe, pass: Pass, signal: AbortSignal): Promise<void> {
    const { fleet, codec, noteMiscoded } = this.#parts;
    const { id } = stripe;
    const sample = new RowSample(stripe, Math.floor(Math.random() * rowCount(stripe)));
    const lease = await this.#leaseSample(stripe, sample.row, signal);
    try {
      for (const shard of stripe.shards) {
        signal.throwIfAborted();
        if (pass.providerId !== undefined && shard.providerId !== pass.providerId) continue;
        const standing = fleet.standingOf(shard.providerId);
        // What is lost is for repair.
        if (standing === 'up') await this.#readShard(stripe, shard, { pass, sample: lease && sample }, signal);
        else if (standing === 'down') this.#state.postpone(shard.providerId, id, pass.lastReadMs(id));
      }
      const blocks = sample.blocks();
      if (blocks !== undefined && findWrongParity(codec, blocks, stripe).length > 0) noteMiscoded(id);
    } finally {
      sample.release();
      lease?.release();
    }
  }

  /** Memory for a row; none where clients need all of it: then this stripe is only read. */
  async #leaseSample(stripe: Stripe, row: number, signal: AbortSignal): Promise<Lease | undefined> {
    const { readBudget } = this.#parts;
    const bytes = (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row);
    try {
      return await readBudget.acquire(Math.min(bytes, readBudget.capacityBytes), signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isFailure(error, 'overloaded')) return undefined;
      throw error;
    }
  }

  async #readShard(
    stripe: Stripe,
    shard: PlacedShard,
    { pass, sample }: { readonly pass: Pass; readonly sample: RowSample | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { metrics } = this.#parts;
    const cost = checkCost(stripe, shard.index);
    if (pass.isThrottled) await this.#throttle.take(cost, signal);
    const outcome = await this.#check(stripe, shard, sample, signal);
    if (outcome === 'missing' || outcome === 'corrupt') {
      // It may have been moved, or its stripe may be gone, while it was read.
      if (!(await this.#lose(stripe.id, shard, outcome))) return;
    } else if (outcome === 'unreadable') this.#state.postpone(shard.providerId, stripe.id, pass.lastReadMs(stripe.id));
    this.#shards[outcome] += 1;
    metrics.scrubbedShards.inc({ outcome });
    metrics.scrubbedBytes.inc(cost.bytes);
  }

  async #check(
    stripe: Stripe,
    shard: PlacedShard,
    sample: RowSample | undefined,
    signal: AbortSignal,
  ): Promise<ScrubOutcome> {
    const provider = this.#parts.fleet.find(shard.providerId);
    if (provider === undefined) return 'unreadable';
    const name = `${shard.providerId} ${shard.cid}`;
    try {
      await checkShard(provider, stripe, shard, signal, (row, block) => sample?.take(shard.index, row, block));
      this.#failing.delete(name);
      return 'good';
    } catch (error) {
      signal.throwIfAborted();
      if (isFailure(error, 'shard-missing')) return 'missing';
      if (isFailure(error, 'shard-corrupt')) return 'corrupt';
      this.#parts.log.debug({ provider: shard.providerId, cid: shard.cid, err: error }, 'shard cannot be scrubbed now');
      return isFailure(error, 'provider-error') && this.#isBeyondHope(name, shard.providerId)
        ? 'corrupt'
        : 'unreadable';
    }
  }

  /** Whether a shard that failed once more is to be given up, since it is the only thing that its provider does not read. */
  #isBeyondHope(name: string, providerId: ProviderId): boolean {
    const { fleet, clock } = this.#parts;
    if (fleet.standingOf(providerId) !== 'up') return false;
    const failing = this.#failing.get(name) ?? { sinceMs: clock.now(), count: 0 };
    failing.count += 1;
    if (this.#failing.size < maxFailing) this.#failing.set(name, failing);
    if (failing.count < maxFailures || clock.now() - failing.sinceMs < minFailingMs) return false;
    this.#failing.delete(name);
    return true;
  }

  /** Returns whether it was recorded there. */
  async #lose(id: StripeId, shard: PlacedShard, outcome: ScrubOutcome): Promise<boolean> {
    const { metadata, log, kickRepair } = this.#parts;
    const stripe = (await metadata.findStripes([id])).get(id);
    const isThere = stripe?.shards.some(
      ({ index, providerId, cid }) => index === shard.index && providerId === shard.providerId && cid === shard.cid,
    );
    if (!isThere) return false;
    log.warn(
      { stripe: id, shard: shard.index, provider: shard.providerId, cid: shard.cid, outcome },
      'scrub found damage',
    );
    await metadata.loseShard(id, shard);
    kickRepair();
    return true;
  }
}

/** The first stripes, until they are a page, and how long their shards are together. */
function cutPage(listed: readonly Stripe[]): { readonly stripes: readonly Stripe[]; readonly bytes: number } {
  let bytes = 0;
  const next = listed.findIndex((stripe) => {
    if (bytes >= pageBytes) return true;
    bytes += stripe.shards.reduce((sum, { index }) => sum + shardBytes(stripe, index), 0);
    return false;
  });
  return { stripes: next === -1 ? listed : listed.slice(0, next), bytes };
}
