import assert from 'node:assert/strict';
import { type FailureDetails, type FailureKind, isFailure } from '../../core/failure.ts';
import { type Log, silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type {
  ObjectAttributes,
  ObjectVersion,
  Profile,
  ProviderId,
  SealedSpan,
  ShardCid,
  Stripe,
  StripeId,
} from '../../core/model.ts';
import type { DeclaredDigests, Payload } from '../../core/payload.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { createEngine } from '../../engine/create-engine.ts';
import type { Engine, OpenObject, PutObject } from '../../engine/engine.ts';
import type { EngineLimits } from '../../engine/engine-limits.ts';
import type { RowThreads } from '../../engine/row-work/row-threads.ts';
import type { Upkeep } from '../../engine/upkeep/upkeep.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { storedBlockBytes, storedBlockCount } from '../../erasure/geometry.ts';
import { openShardFooter, shardBlockOffset, shardBytes, shardFooterOffset } from '../../erasure/shard-format.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createFaultyProvider, type FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider, ShardWriter } from '../../placement/providers/provider.ts';
import { withDeadline } from '../../placement/providers/with-deadline.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { memberOf } from '../harness/member-of.ts';

export const bucketName = 'tests';
export const ownerId = 'a'.repeat(64);
export const hourMs = 3_600_000;

export const masterKey = new MasterKey(Buffer.alloc(32, 'tests'));

const wasmCodec = createWasmCodec();

/** An engine over providers in memory whose every call can be made to fail, and with a clock that tests move. */
export interface TestEngine {
  readonly engine: Engine;
  readonly upkeep: Upkeep;
  readonly metadata: MetadataStore;
  readonly metrics: Metrics;
  readonly clock: { nowMs: number; now(): number };
  readonly health: ProviderHealth;
  /** What the engine talks to, innermost but one: faults planned here reach it through deadline and health. */
  readonly providers: readonly FaultyProvider[];
  /** Calls that reached providers, such as `p0 readShard <cid> 64 100`. */
  readonly calls: string[];
  /** What the engine was made of, to make another one that goes on with the same. */
  readonly parts: Parameters<typeof createEngine>[0];
  close(): Promise<void>;
}

export interface TestEngineOptions {
  readonly profiles?: readonly Profile[];
  readonly providerCount?: number;
  readonly capacityBytes?: number;
  readonly limits?: Partial<EngineLimits>;
  /** How long a call to a provider may take. */
  readonly timeoutMs?: number;
  readonly codec?: ErasureCodec;
  /** The test closes them. */
  readonly rowThreads?: RowThreads;
  readonly log?: Log;
  /** In the place of one in memory. The test closes it. */
  readonly openProvider?: (id: ProviderId) => Promise<Provider>;
  /** Whether providers go by the clock that the test moves; by that of this process unless set. */
  readonly isClockShared?: boolean;
  readonly createFleet?: (parts: ConstructorParameters<typeof Fleet>[0]) => Fleet;
}

export async function createTestEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  const { timeoutMs = 200, providerCount = 6, capacityBytes, codec = wasmCodec, log = silentLog } = options;
  const profiles = options.profiles ?? [{ name: 'STANDARD', k: 4, m: 2 }];
  const startMs = Date.now();
  const clock = { nowMs: startMs, now: () => clock.nowMs };
  const metrics = new Metrics();
  const health = new ProviderHealth({ clock, suspectMs: 10_000 });
  const calls: string[] = [];
  const createMemory = async (id: ProviderId) =>
    createMemoryProvider({ id, ...(capacityBytes && { capacityBytes }), ...(options.isClockShared && { clock }) });
  const openProvider = options.openProvider ?? createMemory;
  const providers: FaultyProvider[] = [];
  for (let index = 0; index < providerCount; index++) {
    const provider = await openProvider(`p${index}` as ProviderId);
    providers.push(createFaultyProvider(new RecordingProvider(provider, calls)));
  }
  const members = providers.map((provider) =>
    memberOf(withObservation(withDeadline(provider, { timeoutMs }), { metrics, health })),
  );
  const fleet = options.createFleet?.({ members, health }) ?? new Fleet({ members, health });
  const metadata = await openMemoryStore({ clock, log: silentLog });
  // Compaction changes what lies where, which is for those tests to ask for that are about it.
  const compactAgeMs = Number.POSITIVE_INFINITY;
  const limits = {
    budgetWaitMs: 2_000,
    freedGraceMs: 0,
    suspectWaitMs: 50,
    compactAgeMs,
    rebalanceBytes: 0,
    ...options.limits,
  };
  const { rowThreads } = options;
  const parts = { metadata, fleet, codec, profiles, clock, log, metrics, masterKey, limits, rowThreads };
  const { engine, upkeep } = createEngine(parts);
  await engine.buckets.create({ name: bucketName, ownerId, region: 'us-east-1', createdAtMs: startMs });
  const close = async (): Promise<void> => {
    await upkeep.stop();
    await metadata.close();
  };
  return { engine, upkeep, metadata, metrics, clock, health, providers, calls, parts, close };
}

/** Notes the calls that move bytes. */
class RecordingProvider extends WrappedProvider {
  readonly #calls: string[];

  constructor(inner: Provider, calls: string[]) {
    super(inner);
    this.#calls = calls;
  }

  protected override run<T>(_: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return work(signal);
  }

  override putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    this.#calls.push(`${this.id} putShard ${cid}`);
    return super.putShard(cid, buffers, signal);
  }

  override createShard(signal?: AbortSignal): Promise<ShardWriter> {
    this.#calls.push(`${this.id} createShard`);
    return super.createShard(signal);
  }

  override readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    this.#calls.push(`${this.id} readShard ${cid} ${offset} ${length}`);
    return super.readShard(cid, offset, length, signal);
  }

  override deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    this.#calls.push(`${this.id} deleteShard ${cid}`);
    return super.deleteShard(cid, signal);
  }
}

export interface PayloadOptions {
  readonly chunkBytes?: number;
  /** Declare no length. */
  readonly isUnsized?: boolean;
  readonly declared?: DeclaredDigests;
  readonly checksumAlgorithm?: Payload['checksumAlgorithm'];
}

export function payloadOf(bytes: Uint8Array, options: PayloadOptions = {}): Payload {
  const { chunkBytes = 64 * 1024, declared = {} } = options;
  return {
    bytes: cutIntoChunks(bytes, chunkBytes),
    sizeBytes: options.isUnsized ? undefined : bytes.length,
    checksumAlgorithm: options.checksumAlgorithm ?? declared.checksum?.algorithm,
    declaredDigests: () => declared,
  };
}

/** Each chunk is wiped once the next one is asked for, as the contract allows. */
async function* cutIntoChunks(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    const chunk = Uint8Array.from(bytes.subarray(offset, offset + chunkBytes));
    yield chunk;
    chunk.fill(0xee);
  }
}

export const plainAttributes: ObjectAttributes = {
  headers: {},
  userMetadata: {},
  tags: {},
  storageClass: 'STANDARD',
};

export const never: AbortSignal = new AbortController().signal;

export function put(
  { engine }: Pick<TestEngine, 'engine'>,
  key: string,
  bytes: Uint8Array,
  options: PayloadOptions & Partial<Omit<PutObject, 'payload'>> & { signal?: AbortSignal } = {},
): Promise<ObjectVersion> {
  const { bucket = bucketName, attributes = plainAttributes, condition, signal = never } = options;
  const payload = payloadOf(bytes, options);
  const request = { bucket, key, ownerId, payload, attributes, ...(condition && { condition }) };
  return engine.objects.put(request, signal);
}

export async function get(
  { engine }: Pick<TestEngine, 'engine'>,
  key: string,
  options: Partial<OpenObject> & { signal?: AbortSignal } = {},
): Promise<Buffer> {
  const { signal = never, ...request } = options;
  const object = await engine.objects.open({ bucket: bucketName, key, ...request });
  const bytes = await collect(object.read(signal));
  assert.equal(bytes.length, object.length);
  return bytes;
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** For `assert.rejects`: a failure of this kind, with at least this detail. */
export function failure<K extends FailureKind>(kind: K, detail: Partial<FailureDetails[K]> = {}): (e: unknown) => true {
  return (error) => {
    assert.ok(isFailure(error, kind), `expected ${kind}, not ${error instanceof Error ? error.stack : error}`);
    assert.deepEqual({ ...error.detail, ...detail }, error.detail);
    return true;
  };
}

/** All shards that a provider keeps. */
export async function listCids(provider: Provider): Promise<ShardCid[]> {
  return (await provider.listShards(undefined, 10_000)).shards.map((shard) => shard.cid);
}

export async function countShards({ providers }: Pick<TestEngine, 'providers'>): Promise<number> {
  let count = 0;
  for (const provider of providers) count += (await listCids(provider)).length;
  return count;
}

export function stripeIdsOf(content: { readonly spans: readonly SealedSpan[] }): StripeId[] {
  return [...new Set(extentsOf(content).map((extent) => extent.stripeId))];
}

/** The stripes that an object lies in, in order. */
export async function stripesOf(
  { engine, metadata }: Pick<TestEngine, 'engine' | 'metadata'>,
  key: string,
): Promise<Stripe[]> {
  const { version } = await engine.objects.open({ bucket: bucketName, key });
  const ids = stripeIdsOf(version);
  const stripes = await metadata.findStripes(ids);
  return ids.map((id) => stripes.get(id)!);
}

/** What all providers keep, in bytes. */
export async function countStoredBytes({ providers }: Pick<TestEngine, 'providers'>): Promise<number> {
  let bytes = 0;
  for (const provider of providers) {
    const { totalBytes, freeBytes } = await provider.capacity();
    bytes += totalBytes - freeBytes;
  }
  return bytes;
}

/** Fails unless every shard of the object lies where the store says, whole. Returns how many they are. */
export async function verifyShards(test: TestEngine, key: string): Promise<number> {
  const { providers } = test;
  let count = 0;
  for (const stripe of await stripesOf(test, key)) {
    for (const { index, providerId, cid } of stripe.shards) {
      const provider = providers.find(({ id }) => id === providerId);
      assert.ok(provider, `no provider ${providerId}`);
      const bytes = await provider.readShard(cid, 0, shardBytes(stripe, index));
      const identity = { ...stripe, stripeId: stripe.id, index };
      const table = openShardFooter(identity, stripe, bytes.subarray(shardFooterOffset(stripe, index)), cid);
      assert.ok(table, `the footer of shard ${index}`);
      for (let row = 0; row < storedBlockCount(stripe, index); row++) {
        const start = shardBlockOffset(stripe, row);
        const block = bytes.subarray(start, start + storedBlockBytes(stripe, index, row));
        assert.ok(table.matches(row, block), `block ${row} of shard ${index}`);
      }
      count += 1;
    }
  }
  return count;
}

/** The value of a gauge or counter with these labels. */
export async function readMetric(
  metric: { get(): Promise<{ values: { value: number; labels: object }[] }> },
  labels: Record<string, string> = {},
): Promise<number> {
  const { values } = await metric.get();
  const match = values.find((each) =>
    Object.entries(labels).every(([name, value]) => Reflect.get(each.labels, name) === value),
  );
  return match?.value ?? 0;
}

/** Fails unless nobody holds memory of any budget. */
export async function assertBudgetsFree({ metrics }: Pick<TestEngine, 'metrics'>): Promise<void> {
  for (const budget of ['read', 'write', 'packs']) {
    assert.equal(await readMetric(metrics.budgetBytes, { budget }), 0, `memory of the ${budget} budget is still held`);
    assert.equal(await readMetric(metrics.budgetWaiting, { budget }), 0);
  }
}
