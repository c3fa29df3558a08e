import { type Clock, systemClock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import {
  type Capacity,
  maxRootBytes,
  type Provider,
  type ShardPage,
  type ShardStat,
  type ShardWriter,
} from './provider.ts';

interface StoredShard {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

/** Keeps shards in this process. `capacityBytes` bounds what is stored and being written together; default 1 GiB. */
export function createMemoryProvider(options: { id: ProviderId; capacityBytes?: number; clock?: Clock }): Provider {
  return new MemoryProvider({ capacityBytes: 2 ** 30, clock: systemClock, ...options });
}

class MemoryProvider implements Provider {
  readonly id: ProviderId;
  readonly #capacityBytes: number;
  readonly #clock: Clock;
  readonly #shards = new Map<ShardCid, StoredShard>();
  #usedBytes = 0;
  #root: Uint8Array | undefined;

  constructor(options: { id: ProviderId; capacityBytes: number; clock: Clock }) {
    this.id = options.id;
    this.#capacityBytes = options.capacityBytes;
    this.#clock = options.clock;
  }

  async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const bytes = Buffer.concat(buffers);
    this.#reserve(bytes.length);
    this.#store(cid, bytes);
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    signal?.throwIfAborted();
    return new MemoryShardWriter({
      signal,
      reserve: (bytes) => this.#reserve(bytes),
      release: (bytes) => this.#release(bytes),
      store: (cid, bytes) => this.#store(cid, bytes),
    });
  }

  async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const { bytes } = this.#find(cid);
    if (offset + length > bytes.length) {
      const cause = new RangeError(`no ${length} bytes at ${offset} in a shard of ${bytes.length}`);
      throw new Failure('provider-error', { providerId: this.id, call: 'readShard' }, { cause });
    }
    return new Uint8Array(bytes.subarray(offset, offset + length));
  }

  async statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    signal?.throwIfAborted();
    const { bytes, modifiedAtMs } = this.#find(cid);
    return { bytes: bytes.length, modifiedAtMs };
  }

  async deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const shard = this.#shards.get(cid);
    if (shard === undefined) return;
    this.#shards.delete(cid);
    this.#release(shard.bytes.length);
  }

  async listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    signal?.throwIfAborted();
    const cids = [...this.#shards.keys()].filter((cid) => cursor === undefined || cid > cursor).sort();
    const shards = cids.slice(0, limit).map((cid) => {
      const { bytes, modifiedAtMs } = this.#find(cid);
      return { cid, bytes: bytes.length, modifiedAtMs };
    });
    const last = shards.at(-1);
    return last !== undefined && cids.length > limit ? { shards, cursor: last.cid } : { shards };
  }

  async readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted();
    return this.#root && new Uint8Array(this.#root);
  }

  async writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (bytes.length > maxRootBytes)
      throw new RangeError(`a root of ${bytes.length} bytes, the most is ${maxRootBytes}`);
    this.#root = new Uint8Array(bytes);
  }

  /** Deleted shards take no space here. */
  async reclaim(signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    return false;
  }

  async capacity(signal?: AbortSignal): Promise<Capacity> {
    signal?.throwIfAborted();
    return { totalBytes: this.#capacityBytes, freeBytes: this.#capacityBytes - this.#usedBytes };
  }

  async close(): Promise<void> {
    this.#shards.clear();
    this.#root = undefined;
    this.#usedBytes = 0;
  }

  #find(cid: ShardCid): StoredShard {
    const shard = this.#shards.get(cid);
    if (shard === undefined) throw new Failure('shard-missing', { providerId: this.id, cid });
    return shard;
  }

  #reserve(bytes: number): void {
    if (this.#usedBytes + bytes > this.#capacityBytes) throw new Failure('provider-full', { providerId: this.id });
    this.#usedBytes += bytes;
  }

  #release(bytes: number): void {
    this.#usedBytes -= bytes;
  }

  #store(cid: ShardCid, bytes: Uint8Array): void {
    const existing = this.#shards.get(cid);
    if (existing !== undefined && Buffer.compare(existing.bytes, bytes) === 0) {
      this.#release(bytes.length);
      return;
    }
    if (existing !== undefined) this.#release(existing.bytes.length);
    this.#shards.set(cid, { bytes, modifiedAtMs: this.#clock.now() });
  }
}

/** What a writer may do to the provider that made it. */
interface MemoryShardSink {
  readonly signal: AbortSignal | undefined;
  /** @throws Failure `provider-full` */
  reserve(bytes: number): void;
  release(bytes: number): void;
  /** Takes over bytes that were reserved. */
  store(cid: ShardCid, bytes: Uint8Array): void;
}

class MemoryShardWriter implements ShardWriter {
  readonly #sink: MemoryShardSink;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #finished = false;

  constructor(sink: MemoryShardSink) {
    this.#sink = sink;
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#check();
    for (const buffer of buffers) {
      this.#sink.reserve(buffer.length);
      this.#bytes += buffer.length;
      this.#chunks.push(Buffer.from(buffer));
    }
  }

  async commit(cid: ShardCid): Promise<void> {
    try {
      this.#check();
    } catch (error) {
      await this.abort();
      throw error;
    }
    this.#finished = true;
    this.#sink.store(cid, Buffer.concat(this.#chunks));
    this.#chunks = [];
  }

  async abort(): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    this.#chunks = [];
    this.#sink.release(this.#bytes);
  }

  #check(): void {
    this.#sink.signal?.throwIfAborted();
    if (this.#finished) throw new Error('this shard was already committed or aborted');
  }
}
