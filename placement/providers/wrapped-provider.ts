import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { Capacity, Provider, ShardPage, ShardStat, ShardWriter } from './provider.ts';

/** The calls that wrappers can tell apart; also the names of calls in failures and metrics. */
export const providerCalls = [
  'putShard',
  'createShard',
  'append',
  'commit',
  'readShard',
  'statShard',
  'deleteShard',
  'listShards',
  'readRoot',
  'writeRoot',
  'reclaim',
  'capacity',
] as const;
export type ProviderCall = (typeof providerCalls)[number];

/** One call on its way to the provider within; `signal` is the one that it must obey. */
export type CallWork<T> = (signal: AbortSignal | undefined) => Promise<T>;

/**
 * A provider around another: every call passes through `run`, so that a wrapper says once what it does to a call.
 * `abort` of a writer and `close` pass straight through, since neither may fail.
 */
export abstract class WrappedProvider implements Provider {
  readonly id: ProviderId;
  protected readonly inner: Provider;

  constructor(inner: Provider) {
    this.id = inner.id;
    this.inner = inner;
  }

  /** Does `work`, once, and what the wrapper is for. */
  protected abstract run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T>;

  putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.run('putShard', signal, (inner) => this.inner.putShard(cid, buffers, inner));
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await this.run('createShard', signal, (inner) => this.inner.createShard(inner));
    return {
      append: (buffers) => this.run('append', signal, () => writer.append(buffers)),
      commit: (cid) => this.run('commit', signal, () => writer.commit(cid)),
      abort: () => writer.abort(),
    };
  }

  readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.run('readShard', signal, (inner) => this.inner.readShard(cid, offset, length, inner));
  }

  statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    return this.run('statShard', signal, (inner) => this.inner.statShard(cid, inner));
  }

  deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    return this.run('deleteShard', signal, (inner) => this.inner.deleteShard(cid, inner));
  }

  listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    return this.run('listShards', signal, (inner) => this.inner.listShards(cursor, limit, inner));
  }

  readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.run('readRoot', signal, (inner) => this.inner.readRoot(inner));
  }

  writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.run('writeRoot', signal, (inner) => this.inner.writeRoot(bytes, inner));
  }

  reclaim(signal?: AbortSignal): Promise<boolean> {
    return this.run('reclaim', signal, (inner) => this.inner.reclaim(inner));
  }

  capacity(signal?: AbortSignal): Promise<Capacity> {
    return this.run('capacity', signal, (inner) => this.inner.capacity(inner));
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
