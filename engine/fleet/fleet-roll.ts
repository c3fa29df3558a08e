import type { Clock } from '../../core/clock.ts';
import { Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId, ProviderRecord, ProviderState } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Fleet, FleetEntry } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { inUse, refused } from './fleet-refusals.ts';
import { describePlace } from './provider-record.ts';

export interface FleetRollParts {
  readonly metadata: Pick<
    MetadataStore,
    'listProviders' | 'putProvider' | 'forgetProvider' | 'listPlacements' | 'findSetting' | 'putSetting'
  >;
  readonly fleet: Fleet;
  readonly clock: Clock;
}

/** A provider as the keeper has it. */
export interface KeptProvider extends FleetEntry {
  record: ProviderRecord;
  provider?: Provider | undefined;
  downSinceMs?: number | undefined;
  /** Why it is not open. */
  error?: unknown;
}

/**
 * The setting that lists providers that were removed, so that a configuration that still names them does not bring them back. It says
 * nothing of one that is in the fleet: that one was added again, or could not be removed.
 */
const removedSetting = 'removed-providers';

/** In which states an operator may ask for which. */
const transitions: Readonly<Record<'suspended' | 'draining' | 'active', readonly ProviderState[]>> = {
  suspended: ['active', 'draining', 'suspended'],
  draining: ['active', 'suspended', 'draining'],
  // A provider that was given up and turns up after all still has whatever was not rebuilt yet.
  active: ['suspended', 'draining', 'gone', 'active'],
};

/**
 * Who belongs to the fleet, as the metadata store has it. A change is durable before anything goes by it; all others see it
 * after `apply`.
 */
export class FleetRoll {
  readonly #parts: FleetRollParts;
  readonly #entries = new Map<ProviderId, KeptProvider>();

  constructor(parts: FleetRollParts) {
    this.#parts = parts;
  }

  get entries(): readonly KeptProvider[] {
    return [...this.#entries.values()];
  }

  /** Takes over what the store knows. @param downSinceMs who was down before this process started */
  async load(downSinceMs: ReadonlyMap<ProviderId, number>): Promise<void> {
    const { metadata, fleet } = this.#parts;
    for (const record of await metadata.listProviders()) {
      const sinceMs = downSinceMs.get(record.id);
      this.#entries.set(record.id, { record, downSinceMs: sinceMs });
      if (sinceMs !== undefined) fleet.health.resumeDown(record.id, sinceMs);
    }
  }

  has(id: ProviderId): boolean {
    return this.#entries.has(id);
  }

  /** @throws Failure `provider-unknown` */
  find(id: ProviderId): KeptProvider {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new Failure('provider-unknown', { providerId: id });
    return entry;
  }

  /** Takes in a provider that is not known. */
  async enrol(record: ProviderRecord): Promise<KeptProvider> {
    await this.#parts.metadata.putProvider(record);
    const entry: KeptProvider = { record };
    this.#entries.set(record.id, entry);
    return entry;
  }

  /** Those that are joining and hold shards have joined: a recovered store may not have been told, since it lags behind by a few changes. */
  async admit(holders: ReadonlySet<ProviderId>): Promise<void> {
    for (const entry of this.#entries.values()) {
      const { record } = entry;
      if (record.state === 'joining' && holders.has(record.id)) await this.put(entry, this.inState(record, 'active'));
    }
  }

  /** Persists what is known of a provider, and then goes by it. */
  async put(entry: KeptProvider, record: ProviderRecord): Promise<void> {
    await this.#parts.metadata.putProvider(record);
    entry.record = record;
  }

  /** Puts a provider into a state that an operator asks for. @throws Failure `provider-in-use` where it cannot be had from its present one */
  async enter(entry: KeptProvider, state: keyof typeof transitions): Promise<void> {
    const { id, state: from } = entry.record;
    if (!transitions[state].includes(from)) throw inUse(id, `it is ${from}, and cannot become ${state}`);
    if (from !== state) await this.put(entry, this.inState(entry.record, state));
  }

  inState(record: ProviderRecord, state: ProviderState): ProviderRecord {
    return { ...record, state, stateSinceMs: this.#parts.clock.now() };
  }

  /** Takes one out that did not come to be a provider of the fleet. */
  async dismiss({ record }: KeptProvider): Promise<void> {
    this.#entries.delete(record.id);
    await this.#parts.metadata.forgetProvider(record.id);
  }

  /** Takes one out for good. Returns whether it is: not while anything names it. */
  async strike({ record: { id } }: KeptProvider): Promise<boolean> {
    // First, since a crash in between must not let the configuration bring it back.
    await this.#noteRemoved(id);
    try {
      await this.#parts.metadata.forgetProvider(id);
    } catch (error) {
      if (isFailure(error, 'provider-in-use')) return false;
      throw error;
    }
    this.#entries.delete(id);
    return true;
  }

  /** Whether anything of a live stripe lies there. */
  async holdsShards(id: ProviderId): Promise<boolean> {
    return (await this.#parts.metadata.listPlacements()).some(({ providers }) => providers.includes(id));
  }

  /** @throws Failure `provider-refused` where another provider is at this place */
  refusePlaceOfOther(record: ProviderRecord): void {
    const place = describePlace(record.location);
    for (const { record: other } of this.#entries.values()) {
      if (other.id !== record.id && describePlace(other.location) === place) {
        throw refused(record.id, new Error(`the ${place} is the provider ${other.id} already`));
      }
    }
  }

  /** Those that an operator took out, and that the configuration must not bring back. */
  async readRemoved(): Promise<Set<string>> {
    const text = await this.#parts.metadata.findSetting(removedSetting);
    return new Set(text === undefined ? [] : (JSON.parse(text) as string[]));
  }

  /** Shows everybody the fleet as it is now. */
  apply(): void {
    const entries = this.entries.toSorted((a, b) => (a.record.id < b.record.id ? -1 : 1));
    this.#parts.fleet.apply(entries.map(({ record, provider, downSinceMs }) => ({ record, provider, downSinceMs })));
  }

  async #noteRemoved(id: ProviderId): Promise<void> {
    const removed = await this.readRemoved();
    if (removed.has(id)) return;
    await this.#parts.metadata.putSetting(removedSetting, JSON.stringify([...removed, id].sort()));
  }
}
