import { randomBytes } from 'node:crypto';
import { Failure } from '../../core/failure.ts';
import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ObjectAttributes, ObjectVersion, Profile, ProviderId, ProviderState } from '../../core/model.ts';
import type { Payload } from '../../core/payload.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { BlockReader } from '../../engine/block-reader.ts';
import { type CreatedEngine, createEngine } from '../../engine/create-engine.ts';
import type { Engine } from '../../engine/engine.ts';
import { defaultLimits, type EngineLimits } from '../../engine/engine-limits.ts';
import type { Journal } from '../../engine/recovery/journal.ts';
import { type RecoveryOptions, recoverStore } from '../../engine/recovery/recover-store.ts';
import type { RecoveryReport } from '../../engine/recovery/recovery-report.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createFaultyProvider, type FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { memberOf } from '../harness/member-of.ts';

export const ownerId = 'a'.repeat(64);
export const profile: Profile = { name: 'STANDARD', k: 4, m: 2 };
export const never = new AbortController().signal;

const codec = createWasmCodec();

/** A gateway's engine in memory, whose metadata store can be lost. */
export interface LiveEngine {
  readonly engine: Engine;
  readonly upkeep: Upkeep;
  readonly journal: Journal;
  readonly metadata: MetadataStore;
  readonly metrics: Metrics;
  readonly verify: CreatedEngine['verify'];
}

/** Providers that outlive the engines over them. */
export class RecoveryWorld {
  readonly masterKey = new MasterKey(randomBytes(32));
  readonly providers: readonly FaultyProvider[];
  /** Moves by a millisecond whenever anybody looks, so that no two moments are the same. */
  readonly clock = {
    nowMs: Date.UTC(2025, 0, 1),
    now: (): number => {
      this.clock.nowMs += 1;
      return this.clock.nowMs;
    },
  };
  readonly #opened: LiveEngine[] = [];
  #isFrozen = false;
  #gate: Promise<void> | undefined;
  /** Writes that waited for a gate so far. */
  heldWrites = 0;

  constructor({ providerCount = 6 }: { providerCount?: number } = {}) {
    this.providers = Array.from({ length: providerCount }, (_, index) => {
      const id = `p${index}` as ProviderId;
      return createFaultyProvider(
        new FreezableProvider(createMemoryProvider({ id, clock: this.clock }), () => this.#admitWrite()),
      );
    });
  }

  /** From now on nothing changes at the providers: as if the gateway's machine had died in this moment. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Writes that begin from now on wait for this; those that wait already stay with theirs. */
  holdWrites(gate: Promise<void> | undefined): void {
    this.#gate = gate;
  }

  /** Another gateway takes over. */
  thaw(): void {
    this.#isFrozen = false;
  }

  /** An engine over a store: an empty one unless it is given. Providers are active unless it says otherwise. */
  async start(
    metadata?: MetadataStore,
    limits: Partial<EngineLimits> = {},
    states: Readonly<Record<string, ProviderState>> = {},
  ): Promise<LiveEngine> {
    const metrics = new Metrics();
    const store = metadata ?? (await openMemoryStore({ clock: this.clock, log: silentLog }));
    const { engine, upkeep, journal, verify } = createEngine({
      metadata: store,
      fleet: this.#fleet(this.providers, metrics, states),
      codec,
      profiles: [profile],
      clock: this.clock,
      log: silentLog,
      metrics,
      masterKey: this.masterKey,
      limits: { freedGraceMs: 0, compactAgeMs: 0, ...limits },
      isJournaling: true,
    });
    if (journal === undefined) throw new Error('the engine does not journal');
    const live = { engine, upkeep, journal, metadata: store, metrics, verify };
    this.#opened.push(live);
    return live;
  }

  /** The engine is gone in this moment, and its store with it: nothing more is written. */
  async lose({ upkeep, metadata }: LiveEngine): Promise<void> {
    await upkeep.stop();
    await metadata.close();
  }

  /** A store that was rebuilt from these providers alone. */
  async recover(
    options: Partial<RecoveryOptions> & { providers?: readonly Provider[]; masterKey?: MasterKey } = {},
  ): Promise<{ metadata: MetadataStore; report: RecoveryReport }> {
    const { providers = this.providers, masterKey = this.masterKey, isFullScan = false, onProgress = noop } = options;
    const metadata = await openMemoryStore({ clock: this.clock, log: silentLog });
    const metrics = new Metrics();
    const fleet = this.#fleet(providers, metrics);
    const blocks = new BlockReader({ fleet, metrics, log: silentLog, cacheBytes: 2 ** 20, onDamage: noop });
    const { hedgeMs } = defaultLimits;
    const parts = { fleet, blocks, codec, metrics, hedgeMs, masterKey, metadata, log: silentLog };
    const report = await recoverStore(parts, { isFullScan, onProgress }, never);
    return { metadata, report };
  }

  async close(): Promise<void> {
    for (const { upkeep } of this.#opened) await upkeep.stop();
  }

  /** Returns whether a write may be done. */
  async #admitWrite(): Promise<boolean> {
    if (this.#gate !== undefined) {
      this.heldWrites += 1;
      await this.#gate;
    }
    return !this.#isFrozen;
  }

  #fleet(
    providers: readonly Provider[],
    metrics: Metrics,
    states: Readonly<Record<string, ProviderState>> = {},
  ): Fleet {
    const health = new ProviderHealth({ clock: this.clock, suspectMs: 1_000 });
    const members = providers.map((provider) =>
      memberOf(withObservation(provider, { metrics, health }), { state: states[provider.id] ?? 'active' }),
    );
    return new Fleet({ members, health });
  }
}

function noop(): void {}

const writes: readonly ProviderCall[] = ['putShard', 'createShard', 'append', 'commit', 'deleteShard', 'writeRoot'];

/** A provider to which only those writes get through that `admitWrite` admits. */
class FreezableProvider extends WrappedProvider {
  readonly #admitWrite: () => Promise<boolean>;

  constructor(provider: Provider, admitWrite: () => Promise<boolean>) {
    super(provider);
    this.#admitWrite = admitWrite;
  }

  protected async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    if (writes.includes(call) && !(await this.#admitWrite())) {
      throw new Failure('provider-error', { providerId: this.id, call });
    }
    return work(signal);
  }
}

export const plainAttributes: ObjectAttributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };

export function payloadOf(bytes: Uint8Array): Payload {
  return {
    bytes: (async function* () {
      yield bytes;
    })(),
    sizeBytes: bytes.length,
    checksumAlgorithm: undefined,
    declaredDigests: () => ({}),
  };
}

export function createBucket({ engine }: LiveEngine, name: string): Promise<unknown> {
  return engine.buckets.create({ name, ownerId, region: 'us-east-1', createdAtMs: 1_000 });
}

export function put(
  { engine }: LiveEngine,
  bucket: string,
  key: string,
  bytes: Uint8Array | string,
  attributes: Partial<ObjectAttributes> = {},
): Promise<ObjectVersion> {
  const payload = payloadOf(Buffer.from(bytes));
  return engine.objects.put(
    { bucket, key, ownerId, payload, attributes: { ...plainAttributes, ...attributes } },
    never,
  );
}

/** The bytes of an object, as text. */
export async function get({ engine }: LiveEngine, bucket: string, key: string, versionId?: string): Promise<string> {
  const object = await engine.objects.open({ bucket, key, ...(versionId !== undefined && { versionId }) });
  const chunks: Uint8Array[] = [];
  for await (const chunk of object.read(never)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

export interface SeenVersion {
  readonly kind: string;
  readonly key: string;
  readonly versionId: string;
  readonly isLatest: boolean;
  readonly bytes?: string;
}

export interface SeenUpload {
  readonly parts: readonly unknown[];
  readonly key: string;
  readonly uploadId: string;
}

export interface SeenBucket {
  readonly versions: readonly SeenVersion[];
  readonly uploads: readonly SeenUpload[];
}

/** All that clients can see: buckets, versions with their bytes, uploads and parts. */
export async function readEverything(live: LiveEngine): Promise<Record<string, SeenBucket>> {
  const { engine } = live;
  const { buckets } = await engine.buckets.list({ ownerId, limit: 1_000 });
  const everything: Record<string, SeenBucket> = {};
  for (const { name, id: _, ...bucket } of buckets) {
    const { versions } = await engine.objects.listVersions({ bucket: name, limit: 100_000 });
    const seen: SeenVersion[] = [];
    for (const listed of versions) {
      const { key, versionId, kind } = listed;
      if (kind === 'delete-marker') seen.push(listed);
      else {
        const { version } = await engine.objects.open({ bucket: name, key, versionId });
        const { spans: __, ...described } = version;
        seen.push({ ...described, bytes: await get(live, name, key, versionId) });
      }
    }
    const uploads: SeenUpload[] = [];
    for (const upload of (await engine.uploads.list({ bucket: name, limit: 1_000 })).uploads) {
      const { parts } = await engine.uploads.listParts({ ...upload }, 0, 1_000);
      uploads.push({ ...upload, parts: parts.map(({ spans: ___, ...part }) => part) });
    }
    everything[name] = { ...bucket, versions: seen, uploads };
  }
  return everything;
}
