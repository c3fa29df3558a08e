import { isFailure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../core/model.ts';
import type { EngineParts } from '../engine-parts.ts';
import { FreedCollector } from './collect-freed.ts';
import { OrphanCollector } from './collect-orphans.ts';
import { Compactor } from './compact.ts';
import { type DurabilityQuestion, type DurabilityReport, reportDurability } from './durability-report.ts';
import { Liars } from './liars.ts';
import { type MoveProgress, ShardMover } from './move/mover.ts';
import { type AtRiskPage, type AtRiskQuery, type OwnersBelow, RedundancyCounter } from './redundancy-counter.ts';
import { Repairer } from './repair.ts';
import { Scrubber, type ScrubProgress } from './scrub/scrub.ts';
import { TaskRunner } from './task-runner.ts';
import { Throttle } from './throttle.ts';
import { readStatus, type UpkeepStatus } from './upkeep-status.ts';
import type { UpkeepTask } from './upkeep-task.ts';

const maxBackoff = 64;
const maxFreedStayed = 10_000;
/** The search for orphans rests at least so long between two pages, and as long as a page took. */
const minOrphanRestMs = 200;
/** Between two pieces of reclaiming. */
const reclaimRestMs = 200;
const completionIntervalMs = 3_600_000;
/** Between two counts of who lives below the full margin. */
const minCountRestMs = 10_000;
/** The part of the time that the gauges of margins may take. */
const maxCountPart = 0.05;

export interface UpkeepReport {
  readonly stripesForgotten: number;
  readonly shardsRepaired: number;
  readonly bytesCompacted: number;
}

/**
 * The work in the background: repairs stripes that lack shards, scrubs those that have them, collects what nothing refers to, and keeps the gauges
 * of the store up to date. What cannot be done now is tried again later and later.
 */
export class Upkeep {
  readonly #parts: EngineParts;
  readonly #freed: FreedCollector;
  readonly #orphans: OrphanCollector;
  readonly #repairer: Repairer;
  readonly #compactor: Compactor;
  readonly #counter: RedundancyCounter;
  readonly #scrubber: Scrubber;
  readonly #mover: ShardMover;
  readonly #runner: TaskRunner;
  readonly #compactThrottle: Throttle;
  /** How many stripes stayed in the last pass over freed ones, and how often in a row nothing else happened. */
  #freedStayed = 0;
  #freedBackoff = 1;
  /** Whether repair has just found that nothing can be done. */
  #isRepairStuck = false;
  /** When the gauges of margins are due again. */
  #countMarginsAtMs = 0;

  constructor(parts: EngineParts) {
    const { upkeepIntervalMs, orphanIntervalMs, compactBytesPerS } = parts.limits;
    this.#parts = parts;
    this.#freed = new FreedCollector(parts);
    this.#orphans = new OrphanCollector(parts);
    const liars = new Liars(parts);
    this.#repairer = new Repairer(parts, { liars });
    this.#counter = new RedundancyCounter(parts);
    this.#compactor = new Compactor(parts);
    this.#scrubber = new Scrubber(parts);
    this.#mover = new ShardMover(parts, liars);
    this.#compactThrottle = new Throttle({
      bytesPerS: compactBytesPerS,
      operationsPerS: Number.POSITIVE_INFINITY,
      load: parts.clientLoad,
    });
    const task = (name: string, firstDelayMs: number, run: UpkeepTask['run']): UpkeepTask => ({
      name,
      firstDelayMs,
      run,
    });
    const tasks = [
      task('repair', 0, (signal) => this.#repair(signal)),
      task('collect freed stripes', upkeepIntervalMs, (signal) => this.#collectFreed(signal)),
      task('compact stripes', upkeepIntervalMs, (signal) => this.#compact(signal)),
      task('reclaim space', upkeepIntervalMs, (signal) => this.#reclaim(signal)),
      task('collect orphans', orphanIntervalMs, (signal) => this.#searchOrphans(signal)),
      task('watch the fleet', upkeepIntervalMs, () => this.#watchFleet()),
      task('forget completions', completionIntervalMs, () => this.#forgetCompletions()),
      task('count usage', 0, () => this.#countUsage()),
      task('move shards', upkeepIntervalMs, (signal) => this.#mover.movePage(signal)),
      task('scrub', upkeepIntervalMs, (signal) => this.#scrubber.scrubPage(signal)),
      task('count owners', 0, (signal) => this.#countOwners(signal)),
    ];
    this.#runner = new TaskRunner({
      tasks,
      log: parts.log,
      failureDelayMs: upkeepIntervalMs,
    });
  }

  /** Begins to work; never keeps the process alive. */
  start(): void {
    this.#runner.start();
  }

  /** Says that a stripe lacks shards. Repair begins at once, unless it has just found that nothing can be done. */
  kick(): void {
    if (!this.#isRepairStuck) this.#runner.kick('repair');
  }

  /** Says that a shard was found to be gone or wrong beyond doubt. */
  noteDamage(stripe: Stripe, shard: PlacedShard): void {
    if (this.#repairer.noteDamage(stripe, shard)) this.#runner.kick('repair');
  }

  /** Says that the shards of a stripe may not go together, though each has its digests. */
  noteMiscoded(id: StripeId): void {
    if (this.#repairer.noteMiscoded(id)) this.#runner.kick('repair');
  }

  /** Does all that can be done now, once and as fast as it can: for tests and for operators. */
  async runOnce(): Promise<UpkeepReport> {
    const runner = this.#runner;
    const { signal } = runner;
    const shardsRepaired = await runner.exclusively('repair', () => this.#repairAll(signal));
    const bytesCompacted = await runner.exclusively('compact stripes', () => this.#compactAll(signal));
    await this.#flushJournal();
    const stripesForgotten = await runner.exclusively('collect freed stripes', () => this.#collectAllFreed(signal));
    await this.collectOrphans(signal);
    await runner.exclusively('reclaim space', async () => {
      while (await this.#reclaimPieces(signal));
    });
    await this.#forgetCompletions();
    this.#countMarginsAtMs = 0;
    await this.#countUsage();
    await this.countOwners(signal);
    return { stripesForgotten, shardsRepaired, bytesCompacted };
  }

  /** Searches all providers for orphans now. */
  collectOrphans(signal: AbortSignal): Promise<void> {
    return this.#runner.exclusively('collect orphans', () => this.#orphans.collectAll(signal));
  }

  /** Counts now, and as fast as it can, who lives below the full margin. */
  countOwners(signal: AbortSignal): Promise<OwnersBelow> {
    return this.#runner.exclusively('count owners', () => this.#counter.countOwners(true, signal));
  }

  /** Reads every shard there is, now and as fast as it can, and records which are gone or wrong. */
  scrub(signal: AbortSignal): Promise<void> {
    return this.#runner.exclusively('scrub', () => this.#scrubber.scrubAll(signal));
  }

  /** Empties what drains and evens out, as far as that can be done now and as fast as it can. Returns how many shards were moved. */
  moveShards(signal: AbortSignal): Promise<number> {
    return this.#runner.exclusively('move shards', () => this.#mover.moveAll(signal));
  }

  /**
   * Makes sure that nobody needs a provider any more that holds no shard of a stripe: what was moved from it is journaled, and its old copies are
   * deleted.
   *
   * @returns why it should wait, in words; undefined where it need not
   */
  async settleRemoval(id: ProviderId): Promise<string | undefined> {
    const { journal } = this.#parts;
    try {
      await journal.flush();
    } catch (error) {
      return `the journal cannot tell where its shards are now: ${(error as Error).message}`;
    }
    const copies = await this.#mover.clearOldCopies(id, this.#runner.signal);
    if (copies === 0) return undefined;
    return `${copies} shards that were moved from it are still kept there, until nobody reads them: try again in a minute`;
  }

  readMoveProgress(): Promise<MoveProgress> {
    return this.#mover.readProgress();
  }

  readScrubProgress(): Promise<ScrubProgress> {
    return this.#scrubber.readProgress();
  }

  /** What redundancy there is at this moment. */
  async readStatus(): Promise<UpkeepStatus> {
    return readStatus({
      parts: this.#parts,
      counter: this.#counter,
      repairBytesPerS: this.#repairer.pace.bytesPerS(),
      oldestUnscrubbedMs: await this.#scrubber.oldestUnscrubbedMs(),
    });
  }

  /** How likely loss is, for the fleet at hand. */
  readDurability(question: DurabilityQuestion): Promise<DurabilityReport> {
    return reportDurability(this.#parts, question, this.#repairer.pace.bytesPerS());
  }

  /** Whose data can bear no further loss, cannot be read now, or is lost. */
  listAtRisk(query: AtRiskQuery, signal: AbortSignal): Promise<AtRiskPage> {
    return this.#counter.listAtRisk(query, signal);
  }

  /** Ends the work under way and waits for it. */
  stop(): Promise<void> {
    return this.#runner.stop();
  }

  async #repairAll(signal: AbortSignal): Promise<number> {
    let shards = 0;
    for (let isCut = true; isCut; ) {
      const pass = await this.#repairer.repairRound(false, signal);
      shards += pass.repaired;
      isCut = pass.isCut;
    }
    return shards;
  }

  async #compactAll(signal: AbortSignal): Promise<number> {
    let bytes = 0;
    for (;;) {
      const movedBytes = await this.#compactPiece(signal);
      if (movedBytes === 0) return bytes;
      bytes += movedBytes;
    }
  }

  async #collectAllFreed(signal: AbortSignal): Promise<number> {
    let stripes = 0;
    for (let isCut = true, stayed = 0; isCut; ) {
      const pass = await this.#freed.collect(stayed, signal);
      stripes += pass.forgotten;
      isCut = pass.isCut;
      stayed = pass.stayed;
    }
    return stripes;
  }

  /** Freed stripes stay until the journal says that they were freed. */
  async #flushJournal(): Promise<void> {
    const { journal, log } = this.#parts;
    await journal.flush().catch((error: unknown) => log.warn({ err: error }, 'stripes stay since the journal failed'));
  }

  async #repair(signal: AbortSignal): Promise<number> {
    const { repaired, failed, isCut } = await this.#repairer.repairRound(true, signal);
    this.#isRepairStuck = repaired === 0 && failed > 0;
    return isCut ? 0 : this.#parts.limits.upkeepIntervalMs;
  }

  async #collectFreed(signal: AbortSignal): Promise<number> {
    const { forgotten, stayed, isCut } = await this.#freed.collect(this.#freedStayed, signal);
    this.#freedStayed = Math.min(stayed, maxFreedStayed);
    this.#freedBackoff = forgotten === 0 && stayed > 0 ? Math.min(this.#freedBackoff * 2, maxBackoff) : 1;
    return isCut && forgotten > 0 ? 0 : this.#parts.limits.upkeepIntervalMs * this.#freedBackoff;
  }

  /** Rests after each pack, so that no more is read a second than allowed. */
  async #compact(signal: AbortSignal): Promise<number> {
    const movedBytes = await this.#compactPiece(signal);
    if (movedBytes === 0) return this.#parts.limits.upkeepIntervalMs;
    await this.#compactThrottle.take({ bytes: movedBytes, operations: 1 }, signal);
    return 0;
  }

  /** Returns how many bytes were moved: none where it cannot be done now. */
  async #compactPiece(signal: AbortSignal): Promise<number> {
    try {
      return (await this.#compactor.compactOnce(signal)).movedBytes;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      this.#parts.log.warn({ err: error }, 'stripes cannot be compacted now');
      return 0;
    }
  }

  async #reclaim(signal: AbortSignal): Promise<number> {
    return (await this.#reclaimPieces(signal)) ? reclaimRestMs : this.#parts.limits.upkeepIntervalMs;
  }

  /** A piece of work at each provider; one that fails does not keep the others from it. Returns whether there is more. */
  async #reclaimPieces(signal: AbortSignal): Promise<boolean> {
    const { fleet, log } = this.#parts;
    let isMore = false;
    for (const { provider } of fleet.members) {
      if (fleet.isSuspect(provider.id)) continue;
      try {
        if (await provider.reclaim(signal)) isMore = true;
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ provider: provider.id, err: error }, 'space cannot be reclaimed now');
      }
    }
    return isMore;
  }

  /** A provider that is back has orphans, and may make repairs possible that were not. */
  async #watchFleet(): Promise<number> {
    this.#counter.noteStandings();
    if (this.#orphans.noteReturns()) {
      this.#runner.kick('collect orphans');
      this.#runner.kick('repair');
    }
    return this.#parts.limits.upkeepIntervalMs;
  }

  async #searchOrphans(signal: AbortSignal): Promise<number> {
    const startedAtMs = performance.now();
    const delayMs = await this.#orphans.collectPage(signal);
    return delayMs > 0 ? delayMs : Math.max(performance.now() - startedAtMs, minOrphanRestMs);
  }

  async #forgetCompletions(): Promise<number> {
    const { metadata, clock, limits } = this.#parts;
    await metadata.forgetCompletions(clock.now() - limits.completionAgeMs);
    return completionIntervalMs;
  }

  async #countUsage(): Promise<number> {
    const { metadata, metrics, limits } = this.#parts;
    const usage = await metadata.countUsage();
    metrics.stripes.set({ state: 'live' }, usage.liveStripes);
    metrics.stripes.set({ state: 'degraded' }, usage.degradedStripes);
    metrics.stripes.set({ state: 'freed' }, usage.freedStripes);
    metrics.storageBytes.set({ kind: 'stored' }, usage.storedBytes);
    metrics.storageBytes.set({ kind: 'needed' }, usage.neededBytes);
    if (performance.now() >= this.#countMarginsAtMs) await this.#countMargins();
    metrics.upkeepRateFactor.set(this.#parts.clientLoad.lastFactor);
    await this.#repairer.pace.load(metadata);
    await this.#repairer.pace.save(metadata);
    return limits.upkeepIntervalMs;
  }

  /** All placements are looked at for it, which takes at most so much of the time. */
  async #countMargins(): Promise<void> {
    const { metrics } = this.#parts;
    const startedAtMs = performance.now();
    const { margins, backlog } = await this.#counter.countStripes();
    for (const { margin, stripes, storedBytes } of margins) {
      metrics.stripesAtMargin.set({ margin }, stripes);
      metrics.bytesAtMargin.set({ margin }, storedBytes);
    }
    metrics.repairQueueStripes.set(backlog.stripes);
    metrics.repairOldestSeconds.set((backlog.oldestMs ?? 0) / 1000);
    const endedAtMs = performance.now();
    this.#countMarginsAtMs = endedAtMs + (endedAtMs - startedAtMs) / maxCountPart;
  }

  /** Rests four times as long as it took. */
  async #countOwners(signal: AbortSignal): Promise<number> {
    const startedAtMs = performance.now();
    const { counts } = await this.#counter.countOwners(false, signal);
    const { objectsAtMargin } = this.#parts.metrics;
    objectsAtMargin.reset();
    for (const { margin, objects } of counts) objectsAtMargin.set({ margin }, objects);
    return Math.max(4 * (performance.now() - startedAtMs), minCountRestMs);
  }
}
