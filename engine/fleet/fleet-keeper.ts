import type { Clock } from '../../core/clock.ts';
import { Failure, isFailure } from '../../core/failure.ts';
import type { Log } from '../../core/log.ts';
import type { ProviderId, ProviderRecord, ProviderState } from '../../core/model.ts';
import type { ProviderChanges, ProviderSettings } from '../../core/provider-settings.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Fleet, FleetEntry } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { followDirectory } from './follow-directory.ts';
import { measureFleet } from './measure-fleet.ts';
import { checkMoved, checkOwner, explainFault, probeProvider } from './probe-provider.ts';
import { createLocation, createRecord, describePlace, listDifferences } from './provider-record.ts';
import { type ProviderView, viewFleet } from './provider-view.ts';

export type { ProviderView };

/** How a provider is opened: as one that joins and may be empty, or as one that was in use before and must be found so. */
export type OpeningMode = 'join' | 'return';

export interface FleetKeeperParts {
  readonly metadata: Pick<
    MetadataStore,
    'listProviders' | 'putProvider' | 'forgetProvider' | 'listPlacements' | 'findSetting' | 'putSetting'
  >;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly log: Log;
  readonly masterKey: MasterKey;
  /**
   * Opens what a record names, with all that belongs around it. `close` must wait for calls under way.
   *
   * @throws what says why it cannot be opened
   */
  openProvider(record: ProviderRecord, mode: OpeningMode, signal: AbortSignal): Promise<Provider>;
  /** Tries what only this kind of provider can be asked; returns warnings. @throws Failure `provider-refused` */
  probeLocation?(record: ProviderRecord, signal: AbortSignal): Promise<readonly string[]>;
  /** From one try to open a provider that does not open to the next; 5 s unless given. */
  readonly retryMs?: number;
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
/** The setting that lists providers that were removed, so that a configuration that still names them does not bring them back. */
const removedSetting = 'removed-providers';

/** In which states an operator may ask for which. */
const transitions: Readonly<Record<'suspended' | 'draining' | 'active', readonly ProviderState[]>> = {
  suspended: ['active', 'draining', 'suspended'],
  draining: ['active', 'suspended', 'draining'],
  // A provider that was given up and turns up after all still has whatever was not rebuilt yet.
  active: ['suspended', 'draining', 'gone', 'active'],
};

/**
 * Keeps the fleet as the metadata store knows it: opens its providers, tries those again that do not open, measures their
 * space, and carries out what operators want. A change is durable before it takes effect.
 */
export class FleetKeeper {
  readonly #parts: FleetKeeperParts;
  readonly #entries = new Map<ProviderId, KeptProvider>();
  readonly #closing = new Map<ProviderId, Promise<void>>();
  readonly #controller = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  /** Changes happen one after the other. */
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(parts: FleetKeeperParts) {
    this.#parts = parts;
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
    const records = await metadata.listProviders();
    const holders = new Set((await metadata.listPlacements()).flatMap(({ providers }) => providers));
    const isNew = records.length === 0 && holders.size === 0;
    const removed = await this.#readRemoved();
    for (const record of records) this.#entries.set(record.id, { record });
    for (const seed of seeds) {
      const known = this.#entries.get(seed.id as ProviderId);
      if (known !== undefined) await this.#compareSeed(known, seed, options.isDefault);
      else if (removed.has(seed.id)) {
        log.warn(
          { provider: seed.id },
          'a provider that the configuration names was removed from the fleet, and stays out',
        );
      } else if (!options.isDefault || records.length === 0) {
        // What holds shards was in use before the store knew of providers.
        const state = holders.has(seed.id as ProviderId) ? 'active' : 'joining';
        const record = createRecord(seed, state, clock.now());
        await metadata.putProvider(record);
        this.#entries.set(record.id, { record });
      }
    }
    await Promise.all(
      Array.from(this.#entries.values(), async (entry) => {
        await this.#openEntry(entry, { isNew, isThorough: false, signal: this.#controller.signal });
        if (!isNew || entry.error === undefined) return;
        await metadata.forgetProvider(entry.record.id);
        throw entry.error;
      }),
    );
    this.#apply();
    // A member that hangs must not hold up the start.
    void this.measure();
  }

  /** Begins to look after the fleet in the background; never keeps the process alive. */
  start(): void {
    const { retryMs = defaultRetryMs, measureMs = defaultMeasureMs } = this.#parts;
    this.#repeat(retryMs, () => this.retry());
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
    for (const entry of this.#entries.values()) this.#closeEntry(entry);
    await Promise.all(this.#closing.values());
  }

  /** All providers in order of id. */
  async list(): Promise<ProviderView[]> {
    const { metadata, fleet } = this.#parts;
    return viewFleet([...this.#entries.values()], fleet, await metadata.listPlacements());
  }

  /**
   * Takes a provider into the fleet, once it was opened and tried.
   *
   * @throws Failure `provider-in-use` for an id that is known, `provider-refused`
   */
  add(settings: ProviderSettings): Promise<AddedProvider> {
    return this.#change(async () => {
      const { metadata, clock } = this.#parts;
      const record = createRecord(settings, 'joining', clock.now());
      if (this.#entries.has(record.id)) throw inUse(record.id, 'it is in the fleet already');
      this.#refusePlaceOfOther(record);
      await metadata.putProvider(record);
      const entry: KeptProvider = { record };
      this.#entries.set(record.id, entry);
      const warnings = await this.#openEntry(entry, { isThorough: true, signal: AbortSignal.timeout(probeTimeoutMs) });
      if (entry.error !== undefined) {
        this.#entries.delete(record.id);
        await metadata.forgetProvider(record.id);
        throw refused(record.id, entry.error);
      }
      await this.#noteRemoved(record.id, false);
      this.#apply();
      await this.measure();
      return { provider: await this.#view(record.id), warnings };
    });
  }

  /** Changes what is known of a provider. @throws Failure `provider-unknown`, `provider-refused` (it is not where it is said to be now) */
  set(id: ProviderId, changes: ProviderChanges): Promise<ProviderView> {
    return this.#change(async () => {
      const entry = this.#find(id);
      const { location, capacityBytes, ...others } = changes;
      const { capacityBytes: before, ...record } = { ...entry.record, ...withoutUndefined(others) };
      const bound = capacityBytes === undefined ? before : (capacityBytes ?? undefined);
      const changed: ProviderRecord = { ...record, ...(bound !== undefined && { capacityBytes: bound }) };
      // A bucket's bound is its provider's own, so that it is opened anew as well.
      const isBoundMoved = entry.record.location.kind === 'bucket' && bound !== before;
      if (location === undefined && !isBoundMoved) await this.#put(entry, changed);
      else {
        const moved = location === undefined ? changed : { ...changed, location: createLocation(location) };
        await this.#move(entry, moved);
      }
      this.#apply();
      await this.measure();
      return this.#view(id);
    });
  }

  /** No longer calls a provider, until `resume`. Its shards count as absent, and are not rebuilt. @throws Failure `provider-unknown`, `provider-in-use` */
  suspend(id: ProviderId): Promise<ProviderView> {
    return this.#change(async () => {
      const entry = this.#find(id);
      await this.#enter(entry, 'suspended');
      this.#apply();
      this.#closeEntry(entry);
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
      const entry = this.#find(id);
      const before = entry.record;
      await this.#put(entry, this.#inState(before, options.isLost ? 'gone' : 'draining'));
      this.#apply();
      if (options.isLost) this.#closeEntry(entry);
      if (await this.#forget(entry)) return true;
      if (options.isLost) return false;
      await this.#put(entry, before);
      this.#apply();
      throw inUse(id, 'it holds shards, or may: drain it first, or remove it as lost');
    });
  }

  /** Tries providers again that are not open and should be. Never throws. */
  async retry(): Promise<void> {
    const closed = [...this.#entries.values()].filter(({ record, provider }) => isToBeOpen(record) && !provider);
    if (closed.length === 0) return;
    await this.#change(async () => {
      await Promise.all(closed.map((entry) => this.#retryEntry(entry)));
    }).catch(() => {});
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
    const gone = [...this.#entries.values()].filter(({ record }) => record.state === 'gone');
    if (gone.length === 0) return;
    await this.#change(async () => {
      for (const entry of gone) if (entry.record.state === 'gone') await this.#forget(entry);
    });
  }

  async #serve(id: ProviderId, state: 'active' | 'draining'): Promise<ProviderView> {
    const entry = this.#find(id);
    await this.#enter(entry, state);
    if (entry.provider === undefined) await this.#openEntry(entry);
    this.#apply();
    return this.#view(id);
  }

  async #enter(entry: KeptProvider, state: keyof typeof transitions): Promise<void> {
    const { id, state: from } = entry.record;
    if (!transitions[state].includes(from)) throw inUse(id, `it is ${from}, and cannot become ${state}`);
    if (from !== state) await this.#put(entry, this.#inState(entry.record, state));
  }

  #inState(record: ProviderRecord, state: ProviderState): ProviderRecord {
    return { ...record, state, stateSinceMs: this.#parts.clock.now() };
  }

  /** Persists what is known of a provider, and then goes by it. */
  async #put(entry: KeptProvider, record: ProviderRecord): Promise<void> {
    await this.#parts.metadata.putProvider(record);
    entry.record = record;
  }

  /** Opens a provider at another place or in another way. It is as before when that fails. */
  async #move(entry: KeptProvider, record: ProviderRecord): Promise<void> {
    const { masterKey } = this.#parts;
    const before = entry.record;
    this.#refusePlaceOfOther(record);
    if (entry.provider !== undefined) {
      const provider = entry.provider;
      entry.provider = undefined;
      entry.downSinceMs = this.#parts.clock.now();
      this.#apply();
      this.#close(before.id, provider);
    }
    const signal = AbortSignal.timeout(probeTimeoutMs);
    let provider: Provider | undefined;
    try {
      if (isToBeOpen(record)) {
        provider = await this.#openProvider(record, 'return', signal);
        if (await this.#holdsShards(record.id)) await checkMoved(provider, masterKey, signal);
      }
      await this.#put(entry, record);
      entry.provider = provider;
      entry.downSinceMs = undefined;
    } catch (error) {
      if (provider !== undefined) this.#close(record.id, provider);
      await this.#openEntry(entry);
      this.#apply();
      throw refused(record.id, error);
    }
  }

  async #holdsShards(id: ProviderId): Promise<boolean> {
    return (await this.#parts.metadata.listPlacements()).some(({ providers }) => providers.includes(id));
  }

  async #forget(entry: KeptProvider): Promise<boolean> {
    const { id } = entry.record;
    try {
      await this.#parts.metadata.forgetProvider(id);
    } catch (error) {
      if (isFailure(error, 'provider-in-use')) return false;
      throw error;
    }
    await this.#noteRemoved(id, true);
    this.#entries.delete(id);
    this.#apply();
    this.#closeEntry(entry);
    return true;
  }

  /** Opens the provider, if it should be open; one that joins is tried as well. What fails is noted in the entry. Returns warnings. */
  async #openEntry(entry: KeptProvider, options: OpeningOptions = {}): Promise<readonly string[]> {
    const { isNew = false, isThorough = false, signal = this.#controller.signal } = options;
    const { clock, log, masterKey, probeLocation } = this.#parts;
    const { record } = entry;
    if (!isToBeOpen(record)) return [];
    let provider: Provider | undefined;
    try {
      const isJoining = record.state === 'joining';
      const warnings = isJoining && isThorough ? await probeLocation?.(record, signal) : undefined;
      provider = await this.#openProvider(record, isJoining ? 'join' : 'return', signal);
      if (isJoining) {
        await checkOwner(provider, { masterKey, isNew }, signal);
        if (isThorough) await probeProvider(provider, this.#openOthers(record.id), signal);
        await this.#put(entry, this.#inState(record, 'active'));
      }
      entry.provider = provider;
      entry.downSinceMs = undefined;
      entry.error = undefined;
      return warnings ?? [];
    } catch (error) {
      if (provider !== undefined) this.#close(record.id, provider);
      entry.downSinceMs ??= clock.now();
      entry.error = error;
      if (!this.#controller.signal.aborted) {
        log.warn({ provider: record.id, err: error }, 'provider does not open, and is tried again later');
      }
      return [];
    }
  }

  async #retryEntry(entry: KeptProvider): Promise<void> {
    if (entry.provider !== undefined || !isToBeOpen(entry.record)) return;
    await this.#openEntry(entry);
    if (entry.provider === undefined) return;
    this.#parts.log.info({ provider: entry.record.id }, 'provider is open again');
    this.#apply();
  }

  async #openProvider(record: ProviderRecord, mode: OpeningMode, signal: AbortSignal): Promise<Provider> {
    // A directory belongs to one at a time, also within the process.
    await this.#closing.get(record.id);
    return this.#parts.openProvider(record, mode, signal);
  }

  #openOthers(id: ProviderId): Provider[] {
    return Array.from(this.#entries.values()).flatMap(({ record, provider }) =>
      provider !== undefined && record.id !== id ? [provider] : [],
    );
  }

  /** Says where the configuration is not as the store; follows a directory that was moved and bears the provider's id there. */
  async #compareSeed(entry: KeptProvider, seed: ProviderSettings, isDefault: boolean): Promise<void> {
    const { log, metadata } = this.#parts;
    const { record } = entry;
    const configured = createRecord(seed, record.state, record.stateSinceMs);
    const moved = await followDirectory(record, configured);
    if (moved !== record) {
      await metadata.putProvider(moved);
      entry.record = moved;
      log.info({ provider: record.id, location: moved.location }, 'a directory was moved, and is used where it is now');
    }
    // Nobody said what the defaults are, so nobody needs to be told.
    const differences = isDefault ? [] : listDifferences(entry.record, configured);
    if (differences.length > 0) {
      log.warn(
        { provider: record.id, differences },
        'the configuration is not what the fleet goes by: change it with holdfast admin provider set, or change the file',
      );
    }
  }

  #refusePlaceOfOther(record: ProviderRecord): void {
    const place = describePlace(record.location);
    for (const { record: other } of this.#entries.values()) {
      if (other.id !== record.id && describePlace(other.location) === place) {
        throw refused(record.id, new Error(`the ${place} is the provider ${other.id} already`));
      }
    }
  }

  async #readRemoved(): Promise<Set<string>> {
    const text = await this.#parts.metadata.findSetting(removedSetting);
    return new Set(text === undefined ? [] : (JSON.parse(text) as string[]));
  }

  async #noteRemoved(id: ProviderId, isRemoved: boolean): Promise<void> {
    const removed = await this.#readRemoved();
    if (removed.has(id) === isRemoved) return;
    if (isRemoved) removed.add(id);
    else removed.delete(id);
    await this.#parts.metadata.putSetting(removedSetting, JSON.stringify([...removed].sort()));
  }

  #find(id: ProviderId): KeptProvider {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Failure('provider-unknown', { providerId: id });
    return entry;
  }

  async #view(id: ProviderId): Promise<ProviderView> {
    const { metadata, fleet } = this.#parts;
    const [view] = viewFleet([this.#find(id)], fleet, await metadata.listPlacements());
    return view!;
  }

  #apply(): void {
    const entries = [...this.#entries.values()].sort((a, b) => (a.record.id < b.record.id ? -1 : 1));
    this.#parts.fleet.apply(entries.map(({ record, provider, downSinceMs }) => ({ record, provider, downSinceMs })));
  }

  #closeEntry(entry: KeptProvider): void {
    if (entry.provider === undefined) return;
    this.#close(entry.record.id, entry.provider);
    entry.provider = undefined;
  }

  #close(id: ProviderId, provider: Provider): void {
    const before = this.#closing.get(id);
    const closing = Promise.allSettled([before, provider.close()]).then(() => {
      if (this.#closing.get(id) === closing) this.#closing.delete(id);
    });
    this.#closing.set(id, closing);
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

interface OpeningOptions {
  /** Whether the metadata store is new. */
  readonly isNew?: boolean;
  /** Whether one that joins is tried as an operator wants it who adds it, and waits. */
  readonly isThorough?: boolean;
  readonly signal?: AbortSignal;
}

/** A provider as the keeper has it. */
export interface KeptProvider extends FleetEntry {
  record: ProviderRecord;
  provider?: Provider | undefined;
  downSinceMs?: number | undefined;
  /** Why it is not open. */
  error?: unknown;
}

/** Whether a provider in this state is called, or is to be once it can be. */
function isToBeOpen({ state }: ProviderRecord): boolean {
  return state === 'active' || state === 'draining' || state === 'joining';
}

function inUse(providerId: ProviderId, reason: string): Failure {
  return new Failure('provider-in-use', { providerId, reason });
}

function refused(providerId: ProviderId, cause: unknown): Failure {
  return new Failure('provider-refused', { providerId, reason: explainFault(cause) }, { cause });
}

function withoutUndefined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
