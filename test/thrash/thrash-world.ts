import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { Profile, ProviderId } from '../../core/model.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { createMd5Lanes } from '../../crypto/md5/create-md5-lanes.ts';
import { BlockReader } from '../../engine/block-reader.ts';
import { type CreatedEngine, createEngine } from '../../engine/create-engine.ts';
import type { Engine } from '../../engine/engine.ts';
import type { EngineLimits } from '../../engine/engine-limits.ts';
import { FleetKeeper } from '../../engine/fleet/fleet-keeper.ts';
import { createRecord } from '../../engine/fleet/provider-record.ts';
import type { Journal } from '../../engine/recovery/journal.ts';
import { keepFleet } from '../../engine/recovery/keep-fleet.ts';
import { recoverStore } from '../../engine/recovery/recover-store.ts';
import type { RecoveryReport } from '../../engine/recovery/recovery-report.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { bucketName, never, ownerId } from '../engine/engine-harness.ts';
import { memberOf } from '../harness/member-of.ts';
import { type Life, Place } from './place.ts';

export const minuteMs = 60_000;
export const lostAfterMs = 10 * minuteMs;

/** The first one is what metadata are coded by, too. Either can bear the loss of two providers. */
export const profiles: readonly Profile[] = [
  { name: 'STANDARD', k: 4, m: 2 },
  { name: 'DEEP', k: 3, m: 3 },
];

const unbounded = Number.MAX_SAFE_INTEGER;
const hedgeMs = 15;
const suspectMs = 10_000;
const limits: Partial<EngineLimits> = {
  suspectWaitMs: 20,
  hedgeMs,
  // What is late is late on purpose: a busy machine must not leave out a good provider, since that counts against m.
  lateWriteMs: 60_000,
  minPartBytes: 1,
  packObjectBytes: 24 * 1024,
  // Or few reads would reach a provider.
  pieceCacheBytes: 0,
  digestCacheBytes: 16 * 1024,
  orphanAgeMs: 0,
  freedGraceMs: 0,
  upkeepIntervalMs: 500,
  orphanIntervalMs: 5_000,
  compactAgeMs: 60_000,
  scrubPeriodMs: 10_000,
  scrubBytesPerS: unbounded,
  repairBytesPerS: unbounded,
  repairOpsPerS: unbounded,
  moveBytesPerS: unbounded,
  compactBytesPerS: unbounded,
  rebalanceBytes: 256 * 1024,
  readBudgetBytes: 64 * 2 ** 20,
  budgetWaitMs: 60_000,
  journalIntervalMs: 300,
  snapshotBatches: 100,
};
const keeperTimes = { retryMs: 200, measureMs: 1_000 };

const codec = createWasmCodec();

/** A gateway's parts, from one start to its end. */
export interface Gateway {
  readonly life: Life;
  readonly fleet: Fleet;
  readonly keeper: FleetKeeper;
  readonly engine: Engine;
  readonly upkeep: Upkeep;
  readonly journal: Journal;
  readonly metadata: MetadataStore;
}

/**
 * Places that keep shards, and one gateway at a time over them: with journal, fleet and upkeep as they are outside of tests, but a store in
 * memory and a clock that tests move. It may be stopped, die, and lose its disk.
 */
export class ThrashWorld {
  readonly clock = { nowMs: Date.UTC(2030, 0), now: (): number => this.clock.nowMs };
  readonly metrics = new Metrics();
  readonly #masterKey = new MasterKey(Buffer.alloc(32, 'thrash'));
  readonly #places = new Map<ProviderId, Place>();
  #placesMade = 0;
  #gateway: Gateway | undefined;
  /** Stripes that were recorded with fewer shards than make a write safe, and by which verb. */
  readonly unsafeWrites: string[] = [];
  /** Of places that are gone. */
  readonly #pastFaults = new Map<string, number>();

  static async start(providerCount: number): Promise<ThrashWorld> {
    const world = new ThrashWorld();
    for (let count = 0; count < providerCount; count++) world.makePlace();
    const metadata = await openMemoryStore({ clock: world.clock, log: silentLog });
    await world.#open(metadata);
    const { engine } = world.gateway;
    await engine.buckets.create({ name: bucketName, ownerId, region: 'us-east-1', createdAtMs: world.clock.now() });
    return world;
  }

  get gateway(): Gateway {
    if (this.#gateway === undefined) throw new Error('there is no gateway now');
    return this.#gateway;
  }

  get places(): readonly Place[] {
    return [...this.#places.values()];
  }

  place(id: ProviderId): Place {
    const place = this.#places.get(id);
    if (place === undefined) throw new Error(`there is no place of ${id}`);
    return place;
  }

  /** One more place, which the fleet does not know yet. */
  makePlace(): Place {
    const place = new Place(`p${this.#placesMade++}` as ProviderId, this.clock);
    this.#places.set(place.id, place);
    return place;
  }

  /** It is gone for good. */
  dropPlace(id: ProviderId): void {
    for (const [kind, count] of this.place(id).faults.counts) addTo(this.#pastFaults, kind, count);
    this.#places.delete(id);
  }

  /** How many calls met each kind of fault so far. */
  countFaults(): Map<string, number> {
    const faults = new Map(this.#pastFaults);
    for (const { faults: plan } of this.places) {
      for (const [kind, count] of plan.counts) addTo(faults, kind, count);
    }
    return faults;
  }

  /** The gateway is stopped as it should be, and started again. @param isIdle whether it does nothing in the background */
  async restart({ isIdle = false }: { readonly isIdle?: boolean } = {}): Promise<void> {
    const { journal, metadata } = this.gateway;
    await this.gateway.upkeep.stop();
    await journal.stop();
    await this.#close();
    await this.#open(metadata, isIdle);
  }

  /** In this moment nothing that it does reaches a provider any more. Whoever asked it for something gets any error or answer. */
  die(): void {
    this.gateway.life.isOver = true;
  }

  /** Starts it again after it died, when nobody is waiting for it any more. */
  async revive(): Promise<void> {
    const { metadata } = this.gateway;
    await this.#close();
    await this.#open(metadata);
  }

  /** Its disk is lost as well: it goes on with what can be recovered from these places. */
  async recover(places: readonly Place[]): Promise<RecoveryReport> {
    const { metadata: lost } = this.gateway;
    await this.#close();
    await lost.close();
    const metadata = await openMemoryStore({ clock: this.clock, log: silentLog });
    const life = { isOver: false };
    const health = new ProviderHealth({ clock: this.clock, suspectMs });
    const { metrics } = this;
    const members = places.map((place) => memberOf(place.open({ life, metrics, health })));
    const fleet = new Fleet({ members, health, clock: this.clock });
    const blocks = new BlockReader({ fleet, metrics, log: silentLog, cacheBytes: 2 ** 20, onDamage: () => {} });
    const parts = { fleet, blocks, codec, metrics, hedgeMs, masterKey: this.#masterKey, metadata, log: silentLog };
    const report = await recoverStore(parts, { isFullScan: false, onProgress: () => {} }, never);
    await Promise.all(members.map(({ provider }) => provider.close()));
    const asked = places.map(({ settings }) => createRecord(settings, 'active', this.clock.now()));
    await keepFleet(metadata, asked);
    await this.#open(metadata);
    return report;
  }

  async close(): Promise<void> {
    const { metadata } = this.gateway;
    await this.#close();
    await metadata.close();
  }

  async #open(metadata: MetadataStore, isIdle = false): Promise<void> {
    const { clock, metrics } = this;
    const life = { isOver: false };
    const health = new ProviderHealth({ clock, suspectMs });
    const fleet = new Fleet({ members: [], health, lostAfterMs, clock, metrics });
    const masterKey = this.#masterKey;
    const store = livingStore(metadata, life, (verb, stripes) => this.#noteUnsafe(verb, stripes));
    const keeper = new FleetKeeper({
      metadata: store,
      fleet,
      clock,
      log: silentLog,
      masterKey,
      openProvider: async ({ id }) => this.place(id).open({ life, metrics, health }),
      ...keeperTimes,
    });
    const isNew = (await metadata.listProviders()).length === 0;
    await keeper.open(isNew ? this.places.map(({ settings }) => settings) : [], { isDefault: false });
    keeper.start();
    const md5 = createMd5Lanes({ log: silentLog, onHashed: metrics.noteMd5 });
    const parts = { metadata: store, fleet, codec, md5, profiles, clock, log: silentLog, metrics, masterKey, limits };
    const { engine, upkeep, journal } = createEngine({ ...parts, isJournaling: true });
    const gateway = { life, fleet, keeper, engine, upkeep, metadata };
    this.#gateway = { ...gateway, journal: journal as NonNullable<CreatedEngine['journal']> };
    if (isIdle) return;
    this.gateway.journal.start();
    upkeep.start();
  }

  /** Before a write is answered, k + ceil(m/2) shards of each of its stripes are durable; of a short one as many may be lacking. */
  #noteUnsafe(verb: string, stripes: readonly NewStripe[]): void {
    for (const { id, shards, m, shardCount } of stripes) {
      if (shards.length >= shardCount - Math.floor(m / 2)) continue;
      this.unsafeWrites.push(`${verb}: ${shards.length} of ${shardCount} shards of ${id}`);
    }
  }

  /** Ends its process without a word to the providers. */
  async #close(): Promise<void> {
    const { life, upkeep, journal, keeper } = this.gateway;
    life.isOver = true;
    await upkeep.stop();
    await journal.stop();
    await keeper.close();
  }
}

/** Verbs that record stripes. */
const writes = ['putVersion', 'putPart', 'putSystemObject', 'moveExtents'];

/**
 * A store as one process sees it, for as long as that lives. A write of which the providers have only what they had in the moment of death must
 * not be committed after it: what it lacks would count against those that may be bad.
 *
 * @param onWrite is told of the stripes that a verb is about to record
 */
function livingStore(
  store: MetadataStore,
  life: Life,
  onWrite: (verb: string, stripes: readonly NewStripe[]) => void,
): MetadataStore {
  return new Proxy(store, {
    get: (target, name) => {
      const verb: unknown = Reflect.get(target, name, target);
      if (typeof verb !== 'function') return verb;
      const isWrite = typeof name === 'string' && writes.includes(name);
      return (...values: unknown[]) => {
        // The only one that is no call to anybody.
        if (name === 'drawNumber') return verb.apply(target, values);
        if (life.isOver) return Promise.reject(new Error('the process that asks has died'));
        if (isWrite) onWrite(name, (values[0] as { readonly stripes: readonly NewStripe[] }).stripes);
        return verb.apply(target, values);
      };
    },
  });
}

export function addTo(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count);
}
