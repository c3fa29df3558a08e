import { Failure } from '../core/failure.ts';
import type { PlacedShard, ShardCid, Stripe } from '../core/model.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  type ShardIdentity,
  shardCid,
} from '../erasure/shard-format.ts';
import type { Placer } from '../placement/fleet.ts';
import type { Provider, ShardWriter } from '../placement/providers/provider.ts';

/** What the lanes of one stripe share. */
export interface LaneSetting {
  /** Shared by all lanes of the stripe, so that no two try the same provider. */
  readonly placer: Placer;
  isSuspect(provider: Provider): boolean;
  noteFailure(provider: Provider, error: unknown): void;
  /** How long a call to a provider under suspicion may take. */
  readonly suspectWaitMs: number;
  readonly signal: AbortSignal;
}

/** What is known of a stripe when its last row comes. */
export type StripeEnd = Pick<Stripe, 'dataBytes' | 'manifestBytes'>;

/**
 * One shard on its way to a provider. A provider that fails is replaced by the next one as long as all that was written
 * to it is at hand; after that the lane is dead, which is for the stripe to judge. Only an abort makes calls throw.
 *
 * The shard of a stripe of one row is whole when its first block comes, and goes to the provider in one call at `commit`;
 * others are sent row by row.
 */
export class ShardLane {
  readonly index: number;
  readonly #identity: ShardIdentity;
  readonly #header: Uint8Array;
  readonly #digests: Uint8Array[] = [];
  readonly #setting: LaneSetting;
  #cid: ShardCid | undefined;
  #provider: Provider | undefined;
  #writer: ShardWriter | undefined;
  /** All bytes of the shard so far, while they came in one piece. The block belongs to the stripe's first row. */
  #whole: readonly Uint8Array[] | undefined;
  #placed: PlacedShard | undefined;
  #isDead = false;
  #isAborted = false;

  constructor(identity: ShardIdentity, setting: LaneSetting) {
    this.index = identity.index;
    this.#identity = identity;
    this.#header = encodeShardHeader(identity);
    this.#setting = setting;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Where the shard lies once it was committed. */
  get placed(): PlacedShard | undefined {
    return this.#placed;
  }

  /** The shard's name, once its end is known. */
  get cid(): ShardCid | undefined {
    return this.#cid;
  }

  /**
   * Adds the next block, or none where the last row stores nothing here; with the end of the stripe the footer too. The
   * block must stay as it is until this settles, and that of the only row until `commit` does.
   */
  async append(block: Uint8Array | undefined, end: StripeEnd | undefined): Promise<void> {
    if (this.#isDead) return;
    const isFirst = this.#digests.length === 0;
    const buffers: Uint8Array[] = isFirst ? [this.#header] : [];
    if (block !== undefined) {
      this.#digests.push(digestBlock(block));
      buffers.push(block);
    }
    if (end !== undefined) {
      const footer = encodeShardFooter(this.#identity, end, this.#digests);
      this.#cid = shardCid(this.#header, footer);
      buffers.push(footer);
    }
    if (isFirst) {
      this.#whole = buffers;
      if (end === undefined) await this.#open(buffers);
    } else {
      this.#whole = undefined;
      await this.#extend(buffers);
    }
  }

  /** Makes the shard durable, after its footer. */
  async commit(): Promise<void> {
    const cid = this.#cid;
    if (cid === undefined) throw new Error('a shard is committed after its footer');
    if (this.#writer === undefined && this.#whole !== undefined) return this.#put(cid, this.#whole);
    while (!this.#isDead && this.#writer !== undefined && this.#provider !== undefined) {
      try {
        await this.#bound('commit', this.#writer.commit(cid));
        this.#placed = { index: this.index, providerId: this.#provider.id, cid };
        if (this.#isAborted) await this.abort();
        return;
      } catch (error) {
        await this.#drop(error);
        if (this.#whole === undefined) this.#isDead = true;
        else await this.#open(this.#whole);
      }
    }
  }

  /** Takes back what was written, committed or not. Never throws; a shard that cannot be deleted becomes an orphan. */
  async abort(): Promise<void> {
    this.#isAborted = true;
    await this.#writer?.abort();
    const placed = this.#placed;
    this.#placed = undefined;
    if (placed !== undefined) await this.#provider?.deleteShard(placed.cid).catch(() => {});
  }

  /** Finds a provider that takes the whole shard. */
  async #put(cid: ShardCid, whole: readonly Uint8Array[]): Promise<void> {
    const { placer, signal } = this.#setting;
    for (let provider = placer.take(); provider !== undefined && !this.#isDead; provider = placer.take()) {
      this.#provider = provider;
      try {
        await this.#bound('putShard', provider.putShard(cid, whole, signal));
        this.#placed = { index: this.index, providerId: provider.id, cid };
        if (this.#isAborted) await this.abort();
        return;
      } catch (error) {
        await this.#drop(error);
      }
    }
    this.#isDead = true;
  }

  /** Finds a provider that takes `buffers`, the first of a shard of many rows. */
  async #open(buffers: readonly Uint8Array[]): Promise<void> {
    const { placer, signal } = this.#setting;
    for (let provider = placer.take(); provider !== undefined; provider = placer.take()) {
      this.#provider = provider;
      try {
        this.#writer = await this.#bound('createShard', provider.createShard(signal), (late) => void late.abort());
        if (this.#isAborted) throw new DOMException('The stripe was given up', 'AbortError');
        await this.#bound('append', this.#writer.append(buffers));
        return;
      } catch (error) {
        await this.#drop(error);
      }
    }
    this.#isDead = true;
  }

  async #extend(buffers: readonly Uint8Array[]): Promise<void> {
    if (this.#writer === undefined) return;
    try {
      await this.#bound('append', this.#writer.append(buffers));
    } catch (error) {
      await this.#drop(error);
      this.#isDead = true;
    }
  }

  async #drop(error: unknown): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer !== undefined) await writer.abort();
    this.#setting.signal.throwIfAborted();
    if (this.#isAborted) throw error;
    if (this.#provider === undefined) return;
    this.#setting.placer.giveBack(this.#provider);
    this.#setting.noteFailure(this.#provider, error);
  }

  /** A provider that failed or hung lately gets its chance, but not the patience that a good one has. */
  #bound<T>(call: string, work: Promise<T>, discard?: (late: T) => void): Promise<T> {
    const provider = this.#provider;
    if (provider === undefined || !this.#setting.isSuspect(provider)) return work;
    const timeoutMs = this.#setting.suspectWaitMs;
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        reject(new Failure('provider-timeout', { providerId: provider.id, call, timeoutMs }));
      }, timeoutMs);
      work.then((result) => (isLate ? discard?.(result) : resolve(result)), reject).finally(() => clearTimeout(timer));
    });
  }
}
