import type { ProviderId, ShardCid } from '../../core/model.ts';

/**
 * A place that keeps shards and that nobody trusts: what it returns is verified by whoever asked.
 *
 * Duties of every implementation:
 * - When `commit` resolves, the shard is durable (it survives a power cut) and visible under its name, whole. Before that,
 *   and after `abort` or a crash, nothing is visible under the name.
 * - A shard's name says what it holds, so to commit a name that exists already is a success. It changes nothing, unless what is
 *   there is damaged: that is replaced, and there is no moment without a shard of the name.
 * - All calls may run at the same time. They fail with a `Failure`: `shard-missing`, `provider-full` (refused for want of
 *   space, or because it takes no data at all, such as a disk that is mounted read-only; nothing of it is kept), `overloaded`
 *   (this process has no memory for it now, which is no fault of the provider's), else `provider-error` with the cause
 *   attached. Callers retry; providers do not.
 * - An aborted `signal` ends the call soon, with the signal's reason.
 */
export interface Provider {
  readonly id: ProviderId;
  /**
   * Stores a whole shard that is in memory. When it resolves the shard is durable and visible, as after
   * `ShardWriter.commit`. Calls that come together may share a flush, so this is the way for small shards. The buffers
   * must stay as they are until it settles. They may be of memory that threads share, here and in `append`.
   */
  putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void>;
  /**
   * Starts a shard whose name is known only once its bytes are: see `ShardWriter.commit`. The signal ends the writer's
   * calls too.
   */
  createShard(signal?: AbortSignal): Promise<ShardWriter>;
  /**
   * Reads exactly `length` bytes from `offset`; a shard too short for that is a `provider-error`.
   * The buffer belongs to the caller, with all of the memory beneath it: never a piece of a pool.
   */
  readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** @throws Failure `shard-missing` */
  statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat>;
  /** Deleting what is not there succeeds. */
  deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void>;
  /** Shards in an order of the provider's choosing, from where `cursor` of the page before left off. Shards that come or go meanwhile may or may not appear; all others appear once. */
  listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage>;
  /**
   * The root: one small record beside the shards, which says where the newest snapshot of the metadata lies. Undefined
   * where none was ever written. The buffer belongs to the caller.
   */
  readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Replaces the root, atomically and durably. At most `maxRootBytes`. */
  writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /**
   * Gives back space that deleted shards still take, a bounded piece at a time. Shards can be read and written
   * meanwhile. Resolves to whether there is more to do now.
   */
  reclaim(signal?: AbortSignal): Promise<boolean>;
  capacity(signal?: AbortSignal): Promise<Capacity>;
  /** Releases what is held open. */
  close(): Promise<void>;
}

/** A shard being written. Calls come one at a time, in order. */
export interface ShardWriter {
  /** Adds bytes at the end. The buffers may be reused by the caller once the promise settles. */
  append(buffers: readonly Uint8Array[]): Promise<void>;
  /** Makes the shard durable and visible as `cid`. The writer is finished, also when this throws. */
  commit(cid: ShardCid): Promise<void>;
  /** Drops what was written. Never throws; may be called at any time, also after a failed call or twice. */
  abort(): Promise<void>;
}

/** The longest root. */
export const maxRootBytes = 64 * 1024;

export interface ShardStat {
  readonly bytes: number;
  /** When it was committed, by the provider's clock. */
  readonly modifiedAtMs: number;
}

export interface ShardPage {
  readonly shards: readonly (ShardStat & { readonly cid: ShardCid })[];
  /** Absent at the end. */
  readonly cursor?: string;
}

/** What a provider that knows no bound says that it can hold in all, such as a bucket: 1 PiB. */
export const unboundedBytes = 2 ** 50;

export interface Capacity {
  readonly totalBytes: number;
  readonly freeBytes: number;
}
