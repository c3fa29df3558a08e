import type { Clock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Provider, ShardPage, ShardWriter } from '../../placement/providers/provider.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';

/** What can befall a shard that lies at a provider. */
export const damageKinds = ['flip', 'truncate', 'swap', 'gone'] as const;
export type DamageKind = (typeof damageKinds)[number];

/** Calls that may fail once without a stripe losing a shard that it had. */
export const flakyCalls = ['putShard', 'createShard', 'append', 'commit', 'deleteShard', 'listShards'] as const;
export type FlakyCall = (typeof flakyCalls)[number];

/** A provider that can be lost and come back, and whose shards can rot. It outlives the engines that use it. */
export class Place extends WrappedProvider {
  isLost = false;
  #damage = new Map<ShardCid, DamageKind>();
  #flaky = new Map<ProviderCall, 'before' | 'after'>();
  #committedAtMs = new Map<ShardCid, number>();
  readonly #clock: Clock;

  constructor(inner: Provider, clock: Clock) {
    super(inner);
    this.#clock = clock;
  }

  /** The same place as a new process opens it. */
  reopenAs(provider: Provider): Place {
    const place = new Place(provider, this.#clock);
    place.isLost = this.isLost;
    place.#damage = this.#damage;
    place.#flaky = this.#flaky;
    place.#committedAtMs = this.#committedAtMs;
    return place;
  }

  get hasFaultsToCome(): boolean {
    return this.#flaky.size > 0;
  }

  isDamaged(cid: ShardCid): boolean {
    return this.#damage.has(cid);
  }

  /** The shard is there, but worth nothing; or it is gone. */
  async spoil(cid: ShardCid, kind: DamageKind): Promise<void> {
    this.#damage.set(cid, kind);
    if (kind === 'gone') await this.inner.deleteShard(cid);
  }

  /** The next call of this kind fails, before or after it took effect. */
  failNext(call: FlakyCall, when: 'before' | 'after'): void {
    this.#flaky.set(call, when);
  }

  forgetFaultsToCome(): void {
    this.#flaky.clear();
  }

  protected async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    if (this.isLost) throw this.#failure(call);
    const fault = this.#flaky.get(call);
    this.#flaky.delete(call);
    if (fault === 'before') throw this.#failure(call);
    const result = await work(signal);
    if (fault === 'after') throw this.#failure(call);
    return result;
  }

  /** What is damaged is replaced. */
  override async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    this.#noteCommit(cid);
    await super.putShard(cid, buffers, signal);
    this.#damage.delete(cid);
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await super.createShard(signal);
    return {
      ...writer,
      commit: async (cid) => {
        this.#noteCommit(cid);
        await writer.commit(cid);
        this.#damage.delete(cid);
      },
    };
  }

  /** Dates shards by the clock of the history, which moves faster than that of the disk. */
  override async listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    const page = await super.listShards(cursor, limit, signal);
    const shards = page.shards.map((shard) => {
      const modifiedAtMs = this.#committedAtMs.get(shard.cid);
      if (modifiedAtMs === undefined) throw new Error(`${shard.cid} is there but was never committed`);
      return { ...shard, modifiedAtMs };
    });
    return { ...page, shards };
  }

  override async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const damage = this.#damage.get(cid);
    if (damage === 'truncate' && !this.isLost) throw this.#failure('readShard');
    const source = damage === 'swap' ? await this.#otherThan(cid) : cid;
    const bytes = await super.readShard(source, offset, length, signal);
    const middle = bytes.length >> 1;
    if (damage === 'flip') bytes[middle] = bytes[middle]! ^ 1;
    return bytes;
  }

  override async deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    await super.deleteShard(cid, signal);
    this.#damage.delete(cid);
    this.#committedAtMs.delete(cid);
  }

  #noteCommit(cid: ShardCid): void {
    if (!this.#committedAtMs.has(cid)) this.#committedAtMs.set(cid, this.#clock.now());
  }

  async #otherThan(cid: ShardCid): Promise<ShardCid> {
    const { shards } = await this.inner.listShards(undefined, 1000);
    const other = shards.find((shard) => shard.cid !== cid);
    if (other === undefined) throw this.#failure('readShard');
    return other.cid;
  }

  #failure(call: ProviderCall): Failure {
    return new Failure('provider-error', { providerId: this.id, call }, { cause: new Error('a fault on purpose') });
  }
}

/** Whose calls a history acts in the middle of. */
export type Callee = 'providers' | 'store';

/**
 * What an engine sees of providers and metadata store for as long as its process lives; counts calls, so that a history can act in
 * the middle of one.
 */
export class Gate {
  #isShut = false;
  #armed: { left: number; readonly when: 'before' | 'after'; readonly act: () => Promise<void> } | undefined;
  #armedAt: Callee = 'providers';

  /** Whether the process that goes through here has died. */
  get isShut(): boolean {
    return this.#isShut;
  }

  /** No call comes through any more, and none that is under way tells what came of it. */
  shut(): void {
    this.#isShut = true;
  }

  /** Lets `act` run once, before or after the call that comes after `skip` others; that call waits for it. */
  arm(skip: number, when: 'before' | 'after', act: () => Promise<void>, at: Callee = 'providers'): void {
    this.#armed = { left: skip, when, act };
    this.#armedAt = at;
  }

  disarm(): void {
    this.#armed = undefined;
  }

  wrap(provider: Provider): Provider {
    return new GatedProvider(provider, this);
  }

  wrapStore(store: MetadataStore): MetadataStore {
    return new Proxy(store, {
      get: (target, name) => {
        const verb: unknown = Reflect.get(target, name, target);
        if (typeof verb !== 'function') return verb;
        // The only one that is no call to anybody.
        if (name === 'drawNumber') return verb.bind(target);
        return (...values: unknown[]) => this.pass(() => verb.apply(target, values), 'store');
      },
    });
  }

  async pass<T>(work: () => Promise<T>, to: Callee = 'providers'): Promise<T> {
    this.check();
    const act = to === this.#armedAt ? this.#takeTurn() : undefined;
    if (act?.when === 'before') await act.act();
    this.check();
    const result = await work();
    if (act?.when === 'after') await act.act();
    this.check();
    return result;
  }

  check(): void {
    if (this.#isShut) throw new Error('the process has died');
  }

  #takeTurn(): { when: 'before' | 'after'; act: () => Promise<void> } | undefined {
    const armed = this.#armed;
    if (armed === undefined || armed.left-- > 0) return undefined;
    this.#armed = undefined;
    return armed;
  }
}

class GatedProvider extends WrappedProvider {
  readonly #gate: Gate;

  constructor(inner: Provider, gate: Gate) {
    super(inner);
    this.#gate = gate;
  }

  protected run<T>(_call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return this.#gate.pass(() => work(signal));
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await super.createShard(signal);
    return { ...writer, abort: async () => (this.#gate.isShut ? undefined : writer.abort()) };
  }
}
