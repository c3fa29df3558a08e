import type { ShardCid } from '../../core/model.ts';
import type { Provider, ShardWriter } from '../../placement/providers/provider.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import type { UpkeepLocks } from './upkeep-locks.ts';

/**
 * A provider for shards whose names may lie there already: each is locked before it is put, and stays so until `release`, once it is
 * recorded (see `UpkeepLocks.lockShard`).
 */
export class LockedProvider extends WrappedProvider {
  readonly #locks: UpkeepLocks;
  readonly #releases: (() => void)[] = [];

  constructor(inner: Provider, locks: UpkeepLocks) {
    super(inner);
    this.#locks = locks;
  }

  release(): void {
    for (const release of this.#releases.splice(0)) release();
  }

  protected override run<T>(_: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return work(signal);
  }

  override async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    await this.#lock(cid);
    await super.putShard(cid, buffers, signal);
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await super.createShard(signal);
    return {
      append: (buffers) => writer.append(buffers),
      commit: async (cid) => {
        await this.#lock(cid);
        await writer.commit(cid);
      },
      abort: () => writer.abort(),
    };
  }

  async #lock(cid: ShardCid): Promise<void> {
    this.#releases.push(await this.#locks.lockShard(this.id, cid));
  }
}
