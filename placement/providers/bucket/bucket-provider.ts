import type { ByteBudget } from '../../../core/byte-budget.ts';
import { digestOfCid } from '../../../core/cid-digest.ts';
import { type Clock, systemClock } from '../../../core/clock.ts';
import { Failure, isFailure } from '../../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../../core/model.ts';
import {
  type Capacity,
  maxRootBytes,
  type Provider,
  type ShardPage,
  type ShardStat,
  type ShardWriter,
} from '../provider.ts';
import type { ProviderCall } from '../wrapped-provider.ts';
import { type BucketAddress, type BucketClient, openBucketClient } from './bucket-client.ts';
import { BucketError, hasFault } from './bucket-error.ts';
import { claimBucket } from './bucket-marker.ts';
import { BucketReclaimer } from './bucket-reclaimer.ts';
import { BucketShardWriter, type ShardBucket } from './bucket-shard-writer.ts';
import { BucketUsage } from './bucket-usage.ts';

/** The shortest part of an upload that S3 allows, but for the last one. R2 wants all others to be of one length. */
const defaultPartBytes = 5 * 2 ** 20;
const shardsFolder = 'shards/';
const rootKey = 'root';
/** How long the marker may take to be read, and what is left behind to be cleaned up. */
const ownTimeoutMs = 30_000;
/** How long `close` waits for what is left behind. */
const closeGraceMs = 2_000;

export interface BucketProviderOptions extends BucketAddress {
  readonly id: ProviderId;
  /** How much the provider may store, as far as it knows; without it the bucket counts as one of 1 PiB that is never full. */
  readonly capacityBytes?: number | undefined;
  /** Memory for shards of several rows on their way, of all bucket providers together: each takes one part or two. */
  readonly writeBudget: ByteBudget;
  /** Length of a part; 5 MiB unless given, which is the least. */
  readonly partBytes?: number | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Opens a provider that keeps shards in a bucket at an S3 endpoint: `<prefix>shards/<cid>`, and the root as
 * `<prefix>root`. Nothing is sent, so that a gateway starts while an endpoint is down: whether the prefix is this
 * provider's is asked before the first call, and until an answer came every call fails. `probeBucket` says what is wrong.
 *
 * @throws Failure `provider-error` for options that cannot be used
 */
export async function openBucketProvider(options: BucketProviderOptions): Promise<Provider> {
  try {
    return new BucketProvider(options, await openBucketClient(options));
  } catch (cause) {
    throw new Failure('provider-error', { providerId: options.id, call: 'open' }, { cause });
  }
}

class BucketProvider implements Provider, ShardBucket {
  readonly id: ProviderId;
  readonly client: BucketClient;
  readonly budget: ByteBudget;
  readonly partBytes: number;
  readonly #usage: BucketUsage;
  readonly #reclaimer: BucketReclaimer;
  readonly #incoming = new Set<string>();
  readonly #leftBehind = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #writingRoot: Promise<unknown> = Promise.resolve();
  #isClaimed = false;
  #claiming: Promise<void> | undefined;

  constructor(options: BucketProviderOptions, client: BucketClient) {
    const { id, capacityBytes, partBytes = defaultPartBytes, writeBudget, clock = systemClock } = options;
    if (partBytes < defaultPartBytes) throw new RangeError(`parts of ${partBytes} bytes; S3 wants ${defaultPartBytes}`);
    this.id = id;
    this.client = client;
    this.budget = writeBudget;
    this.partBytes = partBytes;
    this.#usage = new BucketUsage({ providerId: id, client, capacityBytes, clock });
    this.#reclaimer = new BucketReclaimer({ client, clock, active: this.#incoming });
  }

  putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#run('putShard', signal, async () => {
      const [first] = buffers;
      const body = buffers.length === 1 && first !== undefined ? first : Buffer.concat(buffers);
      this.#usage.take(body.length);
      try {
        await this.client.put(this.keyOf(cid), body, signal);
      } catch (error) {
        this.#usage.giveBack(body.length);
        throw error;
      }
    });
  }

  createShard(signal?: AbortSignal): Promise<ShardWriter> {
    return this.#run('createShard', signal, async () => {
      this.#usage.take(0);
      const lease = await this.budget.acquire(this.partBytes, signal);
      return new BucketShardWriter({ bucket: this, lease, signal });
    });
  }

  readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#run('readShard', signal, async () => {
      if (length > 0) return this.#ofShard(cid, this.client.getRange(this.keyOf(cid), offset, length, signal));
      // HTTP has no range without bytes.
      const { bytes } = await this.#ofShard(cid, this.client.head(this.keyOf(cid), signal));
      if (offset > bytes) throw new RangeError(`no byte ${offset} in a shard of ${bytes}`);
      return new Uint8Array(0);
    });
  }

  statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    return this.#run('statShard', signal, async () => {
      const { bytes, modifiedAtMs } = await this.#ofShard(cid, this.client.head(this.keyOf(cid), signal));
      return { bytes, modifiedAtMs };
    });
  }

  deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    return this.#run('deleteShard', signal, async () => {
      await this.client.delete(this.keyOf(cid), signal);
    });
  }

  listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    return this.#run('listShards', signal, async () => {
      const after = cursor === undefined ? undefined : `${shardsFolder}${cursor}`;
      const { entries, isCut } = await this.client.list(shardsFolder, { after, limit }, signal);
      const shards = entries.flatMap(({ key, bytes, modifiedAtMs }) => {
        const cid = key.slice(shardsFolder.length);
        return digestOfCid(cid) === undefined ? [] : [{ cid: cid as ShardCid, bytes, modifiedAtMs }];
      });
      const last = entries.at(-1);
      return last !== undefined && isCut ? { shards, cursor: last.key.slice(shardsFolder.length) } : { shards };
    });
  }

  readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#run('readRoot', signal, async () => {
      try {
        return await this.client.get(rootKey, maxRootBytes, signal);
      } catch (error) {
        if (hasFault(error, 'object-missing')) return undefined;
        throw error;
      }
    });
  }

  async writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (bytes.length > maxRootBytes)
      throw new RangeError(`a root of ${bytes.length} bytes, the most is ${maxRootBytes}`);
    // One after the other, as in a directory: of two that are under way at once a bucket may keep either.
    const put = (): Promise<unknown> => this.#run('writeRoot', signal, () => this.client.put(rootKey, bytes, signal));
    this.#writingRoot = this.#writingRoot.catch(() => {}).then(put);
    await this.#writingRoot;
  }

  reclaim(signal?: AbortSignal): Promise<boolean> {
    return this.#run('reclaim', signal, () => this.#reclaimer.reclaim(signal));
  }

  capacity(signal?: AbortSignal): Promise<Capacity> {
    return this.#run('capacity', signal, async () => this.#usage.measure());
  }

  async close(): Promise<void> {
    await this.#usage.close();
    const timer = setTimeout(() => this.#closing.abort(), closeGraceMs);
    await Promise.all(this.#leftBehind);
    clearTimeout(timer);
    this.client.close();
  }

  takeSpace(bytes: number): void {
    this.#usage.take(bytes);
  }

  giveSpaceBack(bytes: number): void {
    this.#usage.giveBack(bytes);
  }

  keyOf(cid: ShardCid): string {
    if (digestOfCid(cid) === undefined) throw new RangeError(`${JSON.stringify(cid)} is not a shard's name`);
    return `${shardsFolder}${cid}`;
  }

  holdIncoming(key: string): void {
    this.#incoming.add(key);
  }

  releaseIncoming(key: string): void {
    this.#incoming.delete(key);
  }

  leaveBehind(work: (signal: AbortSignal) => Promise<void>): void {
    // What fails is found by `reclaim` when it is a day old.
    const leaving = work(AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ownTimeoutMs)]))
      .catch(() => {})
      .finally(() => this.#leftBehind.delete(leaving));
    this.#leftBehind.add(leaving);
  }

  explain(call: ProviderCall, error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (isFailure(error)) return error;
    if (hasFault(error, 'full')) {
      this.#usage.noteRefusal();
      return new Failure('provider-full', { providerId: this.id }, { cause: error });
    }
    return new Failure('provider-error', { providerId: this.id, call }, { cause: error });
  }

  async #run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      if (!this.#isClaimed) await this.#claim(signal);
      return await work();
    } catch (error) {
      throw this.explain(call, error, signal);
    }
  }

  async #ofShard<T>(cid: ShardCid, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (hasFault(error, 'object-missing')) throw new Failure('shard-missing', { providerId: this.id, cid });
      throw error;
    }
  }

  /** Asks once whose the prefix is, on behalf of all calls that wait for the answer; a caller that gives up does not end it. */
  async #claim(signal: AbortSignal | undefined): Promise<void> {
    this.#claiming ??= claimBucket(this.client, this.id, AbortSignal.timeout(ownTimeoutMs))
      .then(() => {
        this.#isClaimed = true;
      })
      .catch((error: unknown) => {
        throw error instanceof BucketError ? error : new BucketError('unreachable', 'no answer in time');
      })
      .finally(() => {
        this.#claiming = undefined;
      });
    await untilAborted(this.#claiming, signal);
  }
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it is aborted. */
async function untilAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
