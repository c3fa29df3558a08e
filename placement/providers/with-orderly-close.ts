import { Failure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { Capacity, Provider, ShardPage, ShardStat, ShardWriter } from './provider.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/**
 * Lets a provider be closed while it is in use: `close` refuses new calls, waits for those under way and for writers that
 * were neither committed nor aborted, at most `waitMs`, and then closes the provider within. Put it outermost.
 */
export function withOrderlyClose(provider: Provider, options: { waitMs: number }): Provider {
  return new OrderlyProvider(provider, options.waitMs);
}

/** Written out rather than as a `WrappedProvider`: it is around every call, and this way costs no further promise. */
class OrderlyProvider implements Provider {
  readonly id: ProviderId;
  readonly #inner: Provider;
  readonly #waitMs: number;
  #underWay = 0;
  #closing: Promise<void> | undefined;
  #onIdle: () => void = () => {};

  constructor(inner: Provider, waitMs: number) {
    this.id = inner.id;
    this.#inner = inner;
    this.#waitMs = waitMs;
  }

  putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#closing ? this.#refuse('putShard') : this.#count(this.#inner.putShard(cid, buffers, signal));
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    if (this.#closing) return this.#refuse('createShard');
    const writer = await this.#count(this.#inner.createShard(signal));
    let isOpen = true;
    this.#underWay += 1;
    const end = (): void => {
      if (isOpen) this.#end();
      isOpen = false;
    };
    return {
      append: (buffers) => writer.append(buffers),
      commit: (cid) => writer.commit(cid).finally(end),
      abort: () => writer.abort().finally(end),
    };
  }

  readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#closing ? this.#refuse('readShard') : this.#count(this.#inner.readShard(cid, offset, length, signal));
  }

  statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    return this.#closing ? this.#refuse('statShard') : this.#count(this.#inner.statShard(cid, signal));
  }

  deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    return this.#closing ? this.#refuse('deleteShard') : this.#count(this.#inner.deleteShard(cid, signal));
  }

  listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    return this.#closing ? this.#refuse('listShards') : this.#count(this.#inner.listShards(cursor, limit, signal));
  }

  readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#closing ? this.#refuse('readRoot') : this.#count(this.#inner.readRoot(signal));
  }

  writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.#closing ? this.#refuse('writeRoot') : this.#count(this.#inner.writeRoot(bytes, signal));
  }

  reclaim(signal?: AbortSignal): Promise<boolean> {
    return this.#closing ? this.#refuse('reclaim') : this.#count(this.#inner.reclaim(signal));
  }

  capacity(signal?: AbortSignal): Promise<Capacity> {
    return this.#closing ? this.#refuse('capacity') : this.#count(this.#inner.capacity(signal));
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#underWay > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onIdle = resolve;
      const limit = setTimeout(resolve, this.#waitMs);
      await promise;
      clearTimeout(limit);
    }
    await this.#inner.close();
  }

  #count<T>(call: Promise<T>): Promise<T> {
    this.#underWay += 1;
    call.then(this.#end, this.#end);
    return call;
  }

  readonly #end = (): void => {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#onIdle();
  };

  #refuse(call: ProviderCall): Promise<never> {
    const cause = new Error('the provider was closed');
    return Promise.reject(new Failure('provider-error', { providerId: this.id, call }, { cause }));
  }
}
