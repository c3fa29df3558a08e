import type { ProviderId, ProviderRecord } from '../../core/model.ts';
import type { ProviderChanges, ProviderSettings } from '../../core/provider-settings.ts';
import { DownTimes } from './down-times.ts';
import { inUse, refused } from './fleet-refusals.ts';
import { FleetRoll, type FleetRollParts, type KeptProvider } from './fleet-roll.ts';
import { measureFleet } from './measure-fleet.ts';
import { isToBeOpen, ProviderOpener, type ProviderOpenerParts } from './provider-opener.ts';
import { createLocation, createRecord } from './provider-record.ts';
import { type ProviderView, viewFleet } from './provider-view.ts';
import { takeSeeds } from './take-seeds.ts';

export interface FleetKeeperParts extends FleetRollParts, Omit<ProviderOpenerParts, 'roll' | 'signal'> {
  /** From one try to open a provider that does not open to the next; 5 s unless given. */
  readonly retryMs?: number;
  /** Makes ready for the removal of a provider that holds no shard of a stripe. Returns why it has to wait, where it does. */
  readonly settleRemoval?: ((id: ProviderId) => Promise<string | undefined>) | undefined;
  /** From one measurement of space to the next; 30 s unless given. */
  readonly measureMs?: number;
}

/** What came of adding a provider. */
export interface AddedProvider {
  readonly provider: ProviderView;
  /** What is not as it should be, but can be lived with. */
  readonly warnings: readonly string[];
}

const defaultRetryMs = 5_000;
const defaultMeasureMs = 30_000;
/** How long it may take to find out whether a provider can join. */
const probeTimeoutMs = 60_000;

/**
 * Keeps the fleet as the metadata store knows it: tries those providers again that do not open, measures their space, and
 * carries out what operators want. A change is durable before it takes effect.
 */
export class FleetKeeper {
  readonly #parts: FleetKeeperParts;
  readonly #roll: FleetRoll;
  readonly #opener: ProviderOpener;
  readonly #downTimes: DownTimes;
  readonly #controller = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  /** Changes happen one after the other. */
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(parts: FleetKeeperParts) {
    this.#parts = parts;
    this.#roll = new FleetRoll(parts);
    this.#downTimes = new DownTimes(parts);
    this.#opener = new ProviderOpener({ ...parts, roll: this.#roll, signal: this.#controller.signal });
  }

  /**
   * Loads the fleet and opens it, with those of `seeds` that the store does not know yet. A provider that was in use
   * before and does not open now is tried again later.
   *
   * @param seeds what the configuration names
   * @param options.isDefault whether nobody configured these: then they are for a store without any provider only
   * @throws what a seed throws that does not open, or is refused, when the store is new: a mistake should not go unnoticed
   */
  async open(seeds: readonly ProviderSettings[], options: { readonly isDefault: boolean }): Promise<void> {
    const { metadata, clock, log } = this.#parts;
    const roll = this.#roll;
    await roll.load(await this.#downTimes.load());
    const holders = new Set((await metadata.listPlacements()).flatMap(({ providers }) => providers));
    const isNew = roll.entries.length === 0 && holders.size === 0;
    await roll.admit(holders);
    await takeSeeds(seeds, { roll, holders, clock, log }, options.isDefault);
    await Promise.all(
      roll.entries.map(async (entry) => {
        await this.#opener.open(entry, { isNew });
        if (!isNew || entry.error === undefined) return;
        await metadata.forgetProvider(entry.record.id);
        throw entry.error;
      }),
    );
    roll.apply();
    // A member that hangs must not hold up the start.
    void this.measure();
  }

  /** Begins to look after the fleet in the background; never keeps the process alive. */
  start(): void {
    const { retryMs = defaultRetryMs, measureMs = defaultMeasureMs } = this.#parts;
    this.#repeat(retryMs, async () => {
      await this.retry();
      await this.noteDown(false);
    });
    this.#repeat(measureMs, async () => {
      await this.measure();
      await this.forgetGone();
    });
  }

  /** Ends what is under way and closes every provider. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#controller.abort(new DOMException('The fleet was closed', 'AbortError'));
    await this.#lastChange.catch(() => {});
    // The store may be what fails; then as much is lost as by a crash.
    await this.noteDown(true).catch(() => {});
    await this.#opener.closeAll();
  }

  /** All providers in order of id. */
  async list(): Promise<ProviderView[]> {
    const { metadata, fleet } = this.#parts;
    return viewFleet(this.#roll.entries, fleet, await metadata.listPlacements());
  }

  /**
   * Takes a provider into the fleet, once it was opened and tried.
   *
   * @throws Failure `provider-in-use` for an id that is known, `provider-refused`
   */
  add(settings: ProviderSettings): Promise<AddedProvider> {
    return this.#change(async () => {
      const record = createRecord(settings, 'joining', this.#parts.clock.now());
      if (this.#roll.has(record.id)) throw inUse(record.id, 'it is in the fleet already');
      this.#roll.refusePlaceOfOther(record);
      const entry = await this.#roll.enrol(record);
      const warnings = await this.#opener.open(entry, {
        isThorough: true,
        signal: AbortSignal.timeout(probeTimeoutMs),
      });
      if (entry.error !== undefined) {
        await this.#roll.dismiss(entry);
        throw refused(record.id, entry.error);
      }
      this.#roll.apply();
      await this.measure();
      return { provider: await this.#view(record.id), warnings };
    });
  }

  /** Changes what is known of a provider. @throws Failure `provider-unknown`, `provider-refused` (it is not where it is said to be now) */
  set(id: ProviderId, changes: ProviderChanges): Promise<ProviderView> {
    return this.#change(async () => {
      const entry = this.#roll.find(id);
      const { location, capacityBytes, ...others } = changes;
      const { capacityBytes: before, ...record } = { ...entry.record, ...withoutUndefined(others) };
      const bound = capacityBytes === undefined ? before : (capacityBytes ?? undefined);
      const changed: ProviderRecord = { ...record, ...(bound !== undefined && { capacityBytes: bound }) };
      // A bucket's bound is its provider's own, so that it is opened anew as well.
      const isBoundMoved = entry.record.location.kind === 'bucket' && bound !== before;
      if (location === undefined && !isBoundMoved) await this.#roll.put(entry, changed);
      else {
        const moved = location === undefined ? changed : { ...changed, location: createLocation(location) };
        await this.#opener.move(entry, moved, AbortSignal.timeout(probeTimeoutMs));
      }
      this.#roll.apply();
      await this.measure();
      return this.#view(id);
    });
  }

  /** No longer calls a provider, until `resume`. Its shards count as absent, and are not rebuilt. @throws Failure `provider-unknown`, `provider-in-use` */
  suspend(id: ProviderId): Promise<ProviderView> {
    return this.#change(async () => {
      const entry = this.#roll.find(id);
      await this.#roll.enter(entry, 'suspended');
      this.#roll.apply();
      this.#opener.close(entry);
      return this.#view(id);
    });
  }

  /** Gives a provider new shards again, after it was suspended, drained or given up. @throws Failure `provider-unknown`, `provider-in-use` */
  resume(id: ProviderId): Promise<ProviderView> {
    return this.#change(() => this.#serve(id, 'active'));
  }

  /** Gives a provider nothing new, and lets its shards be moved elsewhere. @throws Failure `provider-unknown`, `provider-in-use` */
  drain(id: ProviderId): Promise<ProviderView> {
    return this.#change(() => this.#serve(id, 'draining'));
  }

  /**
   * Takes a provider out of the fleet. One that is lost is gone at once: its shards are rebuilt elsewhere, and it is
   * forgotten when nothing names it any more.
   *
   * @param options.isLost whether what it holds is to be given up
   * @returns whether it is out of the fleet now
   * @throws Failure `provider-unknown`, `provider-in-use` (it holds shards, and is not lost)
   */
  remove(id: ProviderId, options: { readonly isLost: boolean }): Promise<boolean> {
    return this.#change(async () => {
      const entry = this.#roll.find(id);
      const before = entry.record;
      await this.#roll.put(entry, this.#roll.inState(before, options.isLost ? 'gone' : 'draining'));
      this.#roll.apply();
      if (options.isLost) this.#opener.close(entry);
      let isForgotten = false;
      let hindrance: string | undefined;
      try {
        if (!options.isLost) hindrance = await this.#parts.settleRemoval?.(id);
        if (hindrance === undefined) isForgotten = await this.#forget(entry);
      } finally {
        if (!isForgotten && !options.isLost) {
          await this.#roll.put(entry, before);
          this.#roll.apply();
        }
      }
      if (isForgotten || options.isLost) return isForgotten;
      throw inUse(id, hindrance ?? 'it holds shards, or may: drain it first, or remove it as lost');
    });
  }

  /** Tries providers again that are not open and should be. Never throws. */
  async retry(): Promise<void> {
    const closed = this.#roll.entries.filter(({ record, provider }) => isToBeOpen(record) && !provider);
    if (closed.length === 0) return;
    await this.#change(async () => {
      await Promise.all(closed.map((entry) => this.#retryEntry(entry)));
    }).catch(() => {});
  }

  /** Keeps note of who is down, for the next start. */
  async noteDown(isLast: boolean): Promise<void> {
    const { fleet } = this.#parts;
    const down = new Map<ProviderId, number>();
    for (const { record } of this.#roll.entries) {
      const sinceMs = fleet.downSinceMs(record.id);
      if (sinceMs !== undefined) down.set(record.id, sinceMs);
    }
    await this.#downTimes.note(down, isLast);
  }

  /** Measures the space of all providers. Never throws. */
  async measure(): Promise<void> {
    const { fleet, metadata, log } = this.#parts;
    try {
      fleet.setCapacities(await measureFleet(fleet.members, () => metadata.listPlacements(), this.#controller.signal));
    } catch (error) {
      if (!this.#controller.signal.aborted) log.warn({ err: error }, 'the space of providers cannot be measured');
    }
  }

  /** Forgets providers that are gone, when nothing names them any more. */
  async forgetGone(): Promise<void> {
    const gone = this.#roll.entries.filter(({ record }) => record.state === 'gone');
    if (gone.length === 0) return;
    await this.#change(async () => {
      for (const entry of gone) if (entry.record.state === 'gone') await this.#forget(entry);
    });
  }

  async #serve(id: ProviderId, state: 'active' | 'draining'): Promise<ProviderView> {
    const entry = this.#roll.find(id);
    await this.#roll.enter(entry, state);
    if (entry.provider === undefined) await this.#opener.open(entry);
    this.#roll.apply();
    return this.#view(id);
  }

  async #forget(entry: KeptProvider): Promise<boolean> {
    if (!(await this.#roll.strike(entry))) return false;
    this.#roll.apply();
    this.#opener.close(entry);
    return true;
  }

  async #retryEntry(entry: KeptProvider): Promise<void> {
    if (entry.provider !== undefined || !isToBeOpen(entry.record)) return;
    await this.#opener.open(entry);
    if (entry.provider === undefined) return;
    this.#parts.log.info({ provider: entry.record.id }, 'provider is open again');
    this.#roll.apply();
  }

  async #view(id: ProviderId): Promise<ProviderView> {
    const { metadata, fleet } = this.#parts;
    const [view] = viewFleet([this.#roll.find(id)], fleet, await metadata.listPlacements());
    return view!;
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const change = this.#lastChange
      .catch(() => {})
      .then(() => {
        this.#controller.signal.throwIfAborted();
        return work();
      });
    this.#lastChange = change;
    return change;
  }

  #repeat(intervalMs: number, work: () => Promise<void>): void {
    let isRunning = false;
    const timer = setInterval(() => {
      if (isRunning) return;
      isRunning = true;
      work()
        .catch((error: unknown) => {
          if (!this.#controller.signal.aborted)
            this.#parts.log.warn({ err: error }, 'the fleet cannot be looked after');
        })
        .finally(() => {
          isRunning = false;
        });
    }, intervalMs);
    timer.unref();
    this.#timers.push(timer);
  }
}

function withoutUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
