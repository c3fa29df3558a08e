import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { Profile, ProviderId } from '../../core/model.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { createEngine } from '../../engine/create-engine.ts';
import type { Engine } from '../../engine/engine.ts';
import { type EngineLimits, maxPackObjectBytes } from '../../engine/engine-limits.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth, type ProviderVitals } from '../../placement/provider-health.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { memberOf } from '../harness/member-of.ts';
import { memoryFolder } from './memory-folder.ts';
import { Gate, Place } from './place.ts';

const startMs = Date.UTC(2030, 0);
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

export const bucketName = 'model';
export const ownerId = 'a'.repeat(64);
export const minPartBytes = 5_000;

/** Nothing waits for a real clock, so that a history goes the same way each time. */
const limits: Partial<EngineLimits> = {
  budgetWaitMs: 60_000,
  hedgeMs: 60_000,
  suspectWaitMs: 60_000,
  lateWriteMs: 60_000,
  minPartBytes,
  freedGraceMs: 1_000,
  orphanAgeMs: hourMs,
  completionAgeMs: 10_000 * dayMs,
  compactAgeMs: 1_000,
};

const codec = createWasmCodec();
const masterKey = new MasterKey(Buffer.alloc(32, 'model'));

export const providerKinds = ['memory', 'directory'] as const;

export interface WorldSetting {
  readonly k: number;
  readonly m: number;
  readonly providerCount: number;
  readonly providerKind: (typeof providerKinds)[number];
  /** The longest object that shares a stripe; the engine's own limit where nothing is said. */
  readonly packObjectBytes?: number;
}

/**
 * Knows which providers fail, but not how fast they are: that depends on how busy the machine is, and would let a call that a history
 * acts in the middle of be outrun by others.
 */
class TimelessHealth extends ProviderHealth {
  override of(id: ProviderId): ProviderVitals {
    const vitals = super.of(id);
    vitals.finish = () => {};
    return vitals;
  }
}

/** An engine over a metadata file and providers that outlive it. */
export class World {
  readonly profile: Profile;
  readonly clock: { nowMs: number; now(): number };
  readonly places: Place[] = [];
  readonly #setting: WorldSetting;
  readonly #folder: string;
  #metadata: MetadataStore | undefined;
  #gate = new Gate();
  #engine: Engine | undefined;
  #upkeep: Upkeep | undefined;
  #draws = 0;

  private constructor(setting: WorldSetting, folder: string) {
    this.clock = { nowMs: startMs, now: () => this.clock.nowMs };
    this.profile = { name: 'STANDARD', k: setting.k, m: setting.m };
    this.#setting = setting;
    this.#folder = folder;
  }

  static async create(setting: WorldSetting): Promise<World> {
    const world = new World(setting, await mkdtemp(join(memoryFolder, 'holdfast-model-')));
    await world.#open();
    const createdAtMs = world.clock.now();
    await world.engine.buckets.create({ name: bucketName, ownerId, region: 'us-east-1', createdAtMs });
    return world;
  }

  get engine(): Engine {
    return this.#engine!;
  }

  get upkeep(): Upkeep {
    return this.#upkeep!;
  }

  get metadata(): MetadataStore {
    return this.#metadata!;
  }

  get packObjectBytes(): number {
    return this.#setting.packObjectBytes ?? maxPackObjectBytes;
  }

  get gate(): Gate {
    return this.#gate;
  }

  tick(ms: number): void {
    this.clock.nowMs += ms;
  }

  /** The process dies at this moment: nothing that it does from now on has any effect. */
  async die(): Promise<void> {
    this.#gate.shut();
    await this.metadata.close();
  }

  /** A new process takes over what the old one left. */
  async reopen(): Promise<void> {
    if (!this.#gate.isShut) {
      await this.upkeep.stop();
      await this.die();
    }
    await this.#open();
  }

  async close(): Promise<void> {
    if (!this.#gate.isShut) await this.die();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #open(): Promise<void> {
    const { clock } = this;
    await this.#openPlaces();
    this.#gate = new Gate();
    const metrics = new Metrics();
    const health = new TimelessHealth({ clock, suspectMs: 10_000, random: () => (this.#draws++ % 7) / 7 });
    const members = this.places.map((place) => memberOf(withObservation(this.#gate.wrap(place), { metrics, health })));
    this.#metadata = await openSqliteStore({ path: join(this.#folder, 'metadata.sqlite'), clock, log: silentLog });
    const { engine, upkeep } = createEngine({
      metadata: this.#gate.wrapStore(this.#metadata),
      fleet: new Fleet({ members, health, clock, lostAfterMs: hourMs / 2 }),
      codec,
      profiles: [this.profile],
      clock,
      log: silentLog,
      metrics,
      masterKey,
      limits: { ...limits, packObjectBytes: this.packObjectBytes },
    });
    this.#engine = engine;
    this.#upkeep = upkeep;
  }

  /** Memory lasts; a directory is opened anew, by the provider that a new process would have. */
  async #openPlaces(): Promise<void> {
    for (let index = 0; index < this.#setting.providerCount; index++) {
      const place = this.places[index];
      if (place === undefined) this.places.push(new Place(await this.#openProvider(index), this.clock));
      else if (this.#setting.providerKind === 'directory')
        this.places[index] = place.reopenAs(await this.#openProvider(index));
    }
  }

  async #openProvider(index: number): Promise<Provider> {
    const id = `p${index}` as ProviderId;
    if (this.#setting.providerKind === 'memory') return createMemoryProvider({ id });
    return openDirectoryProvider({ id, path: join(this.#folder, id) });
  }
}
