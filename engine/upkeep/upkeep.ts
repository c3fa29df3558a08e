import { isFailure } from '../../core/failure.ts';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import type { EngineParts } from '../engine-parts.ts';
import { Collector } from './collect.ts';
import { Compactor } from './compact.ts';
import { Repairer } from './repair.ts';

const maxBackoff = 64;
const maxFreedStayed = 10_000;
/** The search for orphans rests at least so long between two pages, and as long as a page took. */
const minOrphanRestMs = 200;
/** Between two pieces of reclaiming. */
const reclaimRestMs = 200;
const completionIntervalMs = 3_600_000;

/** One kind of work: does a bounded piece of it and says in how many milliseconds it wants its next turn. */
interface Task {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<number>;
  dueAtMs: number;
}

export interface UpkeepReport {
  readonly stripesForgotten: number;
  readonly shardsRepaired: number;
  readonly bytesCompacted: number;
}

/**
 * The work in the background: repairs stripes that lack shards, collects what nothing refers to, and keeps the gauges
 * of the store up to date. Pieces of work run one after the other; what cannot be done now is tried again later and
 * later.
 */
export class Upkeep {
  readonly #parts: EngineParts;
  readonly #collector: Collector;
  readonly #repairer: Repairer;
  readonly #compactor: Compactor;
  readonly #tasks: readonly Task[];
  readonly #repairTask: Task;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** The work under way; whoever comes next waits for it. */
  #running: Promise<unknown> = Promise.resolve();
  #isStarted = false;
  /** How many stripes stayed in the last pass over freed ones, and how often in a row nothing else happened. */
  #freedStayed = 0;
  #freedBackoff = 1;
  #repairBackoff = 1;

  constructor(parts: EngineParts) {
    const { upkeepIntervalMs, orphanIntervalMs } = parts.limits;
    this.#parts = parts;
    this.#collector = new Collector(parts);
    this.#repairer = new Repairer(parts);
    this.#compactor = new Compactor(parts);
    const task = (name: string, delayMs: number, run: (signal: AbortSignal) => Promise<number>): Task => ({
      name,
      run,
      dueAtMs: performance.now() + delayMs,
    });
    this.#repairTask = task('repair', 0, (signal) => this.#repair(signal));
    this.#tasks = [
      this.#repairTask,
      task('collect freed stripes', upkeepIntervalMs, (signal) => this.#collectFreed(signal)),
      task('compact stripes', upkeepIntervalMs, (signal) => this.#compact(signal)),
      task('reclaim space', upkeepIntervalMs, (signal) => this.#reclaim(signal)),
      task('collect orphans', orphanIntervalMs, (signal) => this.#collectOrphans(signal)),
      task('forget completions', completionIntervalMs, () => this.#forgetCompletions()),
      task('count usage', 0, () => this.#countUsage()),
    ];
  }

  /** Begins to work; never keeps the process alive. */
  start(): void {
    this.#isStarted = true;
    this.#schedule();
  }

  /** Says that a stripe lacks shards. Repair begins at once, unless it has just found that nothing can be done. */
  kick(): void {
    if (this.#repairBackoff > 1) return;
    this.#repairTask.dueAtMs = 0;
    this.#schedule();
  }

  /** Says that a shard was found to be gone or wrong beyond doubt. */
  noteDamage(stripe: Stripe, shard: PlacedShard): void {
    if (this.#repairer.noteDamage(stripe, shard)) this.kick();
  }

  /** Does all that can be done now, once: for tests and for operators. */
  async runOnce(): Promise<UpkeepReport> {
    return this.#exclusively(async () => {
      const { signal } = this.#controller;
      let shardsRepaired = await this.#repairer.repairDamages(signal);
      for (let isCut = true; isCut; ) {
        const pass = await this.#repairer.repairDegraded(signal);
        shardsRepaired += pass.repaired;
        isCut = pass.isCut;
      }
      let bytesCompacted = 0;
      for (let isDone = false; !isDone; ) {
        const movedBytes = await this.#compactPiece(signal);
        bytesCompacted += movedBytes;
        isDone = movedBytes === 0;
      }
      await this.#flushJournal();
      let stripesForgotten = 0;
      for (let isCut = true, stayed = 0; isCut; ) {
        const pass = await this.#collector.collectFreed(stayed, signal);
        stripesForgotten += pass.forgotten;
        isCut = pass.isCut;
        stayed = pass.stayed;
      }
      while (!(await this.#collector.collectOrphans(signal))) signal.throwIfAborted();
      while (await this.#reclaimPieces(signal));
      await this.#forgetCompletions();
      await this.#countUsage();
      return { stripesForgotten, shardsRepaired, bytesCompacted };
    });
  }

  /** Ends the work under way and waits for it. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    clearTimeout(this.#timer);
    this.#controller.abort(new DOMException('Upkeep was stopped', 'AbortError'));
    await this.#running.catch(() => {});
  }

  /** Freed stripes stay until the journal says that they were freed. */
  async #flushJournal(): Promise<void> {
    const { journal, log } = this.#parts;
    await journal.flush().catch((error: unknown) => log.warn({ err: error }, 'stripes stay since the journal failed'));
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#running.catch(() => {}).then(work);
    this.#running = result;
    return result;
  }

  #schedule(): void {
    if (!this.#isStarted) return;
    clearTimeout(this.#timer);
    const dueAtMs = Math.min(...this.#tasks.map((task) => task.dueAtMs));
    const delayMs = Math.max(dueAtMs - performance.now(), 0);
    this.#timer = setTimeout(() => void this.#turn(), delayMs);
    this.#timer.unref();
  }

  async #turn(): Promise<void> {
    await this.#exclusively(async () => {
      for (const task of this.#tasks) {
        if (task.dueAtMs <= performance.now() && !this.#controller.signal.aborted) await this.#runTask(task);
      }
    });
    this.#schedule();
  }

  async #runTask(task: Task): Promise<void> {
    const { limits, log } = this.#parts;
    // A kick that comes while the task runs must not be lost.
    task.dueAtMs = Number.POSITIVE_INFINITY;
    let delayMs = limits.upkeepIntervalMs;
    try {
      delayMs = await task.run(this.#controller.signal);
    } catch (error) {
      if (!this.#controller.signal.aborted) log.error({ task: task.name, err: error }, 'upkeep failed');
    }
    task.dueAtMs = Math.min(task.dueAtMs, performance.now() + delayMs);
  }

  async #repair(signal: AbortSignal): Promise<number> {
    await this.#repairer.repairDamages(signal);
    const { repaired, waiting, isCut } = await this.#repairer.repairDegraded(signal);
    this.#repairBackoff = repaired === 0 && waiting > 0 ? Math.min(this.#repairBackoff * 2, maxBackoff) : 1;
    return isCut ? 0 : this.#parts.limits.upkeepIntervalMs * this.#repairBackoff;
  }

  async #collectFreed(signal: AbortSignal): Promise<number> {
    const { forgotten, stayed, isCut } = await this.#collector.collectFreed(this.#freedStayed, signal);
    this.#freedStayed = Math.min(stayed, maxFreedStayed);
    this.#freedBackoff = forgotten === 0 && stayed > 0 ? Math.min(this.#freedBackoff * 2, maxBackoff) : 1;
    return isCut && forgotten > 0 ? 0 : this.#parts.limits.upkeepIntervalMs * this.#freedBackoff;
  }

  /** Rests after each pack, so that no more is read a second than allowed. */
  async #compact(signal: AbortSignal): Promise<number> {
    const { upkeepIntervalMs, compactBytesPerS } = this.#parts.limits;
    const movedBytes = await this.#compactPiece(signal);
    return movedBytes === 0 ? upkeepIntervalMs : (1000 * movedBytes) / compactBytesPerS;
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

  async #collectOrphans(signal: AbortSignal): Promise<number> {
    const startedAtMs = performance.now();
    const isDone = await this.#collector.collectOrphans(signal);
    if (isDone) return this.#parts.limits.orphanIntervalMs;
    return Math.max(performance.now() - startedAtMs, minOrphanRestMs);
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
    return limits.upkeepIntervalMs;
  }
}
