import { cidOfDigest } from '../../../core/cid-digest.ts';
import type { Clock } from '../../../core/clock.ts';
import { Failure } from '../../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../../core/model.ts';
import { hasErrorCode, readFully } from '../durable-files.ts';
import type { ShardPage, ShardStat } from '../provider.ts';
import type { SegmentFiles } from './segment-files.ts';
import { isSamePlace, recordHeaderBytes } from './segment-format.ts';
import type { SegmentIndex } from './segment-index.ts';
import type { SegmentReclaimer } from './segment-reclaimer.ts';
import type { SegmentEntry } from './segment-tally.ts';
import { positionAfter, type SegmentWriter } from './segment-writer.ts';

/** A shard's name, and the digest in it. */
export interface SegmentKey {
  readonly cid: ShardCid;
  readonly digest: Buffer;
}

/** The small shards of one provider: appended to segments, found by an index. Opened by `openSegmentStore`. */
export class SegmentStore {
  readonly #providerId: ProviderId;
  readonly #clock: Clock;
  readonly #index: SegmentIndex;
  readonly #files: SegmentFiles;
  readonly #writer: SegmentWriter;
  readonly #reclaimer: SegmentReclaimer;
  readonly #checkFolder: () => Promise<void>;
  /** Shards that are just being stored. */
  readonly #storing = new Map<ShardCid, Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(parts: {
    providerId: ProviderId;
    clock: Clock;
    index: SegmentIndex;
    files: SegmentFiles;
    writer: SegmentWriter;
    reclaimer: SegmentReclaimer;
    checkFolder: () => Promise<void>;
  }) {
    this.#providerId = parts.providerId;
    this.#clock = parts.clock;
    this.#index = parts.index;
    this.#files = parts.files;
    this.#writer = parts.writer;
    this.#reclaimer = parts.reclaimer;
    this.#checkFolder = parts.checkFolder;
  }

  /** Whether the shard is in a segment, as far as the index knows. */
  has({ cid, digest }: SegmentKey): boolean {
    return this.#index.find(cid, digest) !== undefined;
  }

  find({ cid, digest }: SegmentKey): ShardStat | undefined {
    const entry = this.#index.find(cid, digest);
    return entry && { bytes: entry.length, modifiedAtMs: entry.committedAtMs };
  }

  /** Stores a shard of `length` bytes durably. As `Provider.putShard`, but for the wrapping of errors. */
  async put(
    key: SegmentKey,
    buffers: readonly Uint8Array[],
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    // The same shard twice at once: the second waits, and as a rule finds that there is nothing left to do.
    for (let other = this.#storing.get(key.cid); other !== undefined; other = this.#storing.get(key.cid)) {
      await other.catch(() => {});
      signal?.throwIfAborted();
    }
    const storing = this.#append(key, buffers, length, signal);
    this.#storing.set(key.cid, storing);
    try {
      await storing;
    } finally {
      this.#storing.delete(key.cid);
    }
  }

  async #append(
    key: SegmentKey,
    buffers: readonly Uint8Array[],
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const existing = this.#index.find(key.cid, key.digest);
    if (existing !== undefined && (await this.#holds(existing, buffers, length))) return;
    const { cid, digest } = key;
    const committedAtMs = this.#clock.now();
    await this.#writer.append({
      kind: 'shard',
      digest,
      buffers,
      length,
      committedAtMs,
      signal,
      onWritten: (place) => {
        const { segment, offset } = place;
        // Only this call could have stored it meanwhile, so what was missing is missing still.
        const previous = existing && this.#index.find(cid, digest);
        const entry = { segment, offset, length, committedAtMs };
        this.#index.record({ cid, digest, tally: { kind: 'store', entry, previous }, end: positionAfter(place) });
      },
    });
  }

  /**
   * Whether what is stored is what should be. It nearly always is; but a shard that has rotted is put again by repair, under
   * the name that it has always had.
   */
  async #holds(entry: SegmentEntry, buffers: readonly Uint8Array[], length: number): Promise<boolean> {
    if (entry.length !== length) return false;
    try {
      const stored = await this.#readEntry(entry, 0, length);
      return Buffer.concat(buffers, length).equals(stored);
    } catch {
      return false;
    }
  }

  /** @returns undefined when no segment has it. @throws RangeError for bytes beyond the shard's end */
  async read(
    { cid, digest }: SegmentKey,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    for (let entry = this.#index.find(cid, digest); entry !== undefined; ) {
      if (offset + length > entry.length) {
        throw new RangeError(`no ${length} bytes at ${offset} in a shard of ${entry.length}`);
      }
      try {
        const bytes = await this.#readEntry(entry, offset, length);
        signal?.throwIfAborted();
        return bytes;
      } catch (error) {
        if (!hasErrorCode(error, 'ENOENT')) throw error;
        const newest = this.#index.find(cid, digest);
        // Reclaim moved it in this very moment, or its segment is lost.
        if (newest !== undefined && isSamePlace(newest, entry)) return this.#lose({ cid, digest }, newest);
        entry = newest;
      }
    }
    return undefined;
  }

  #readEntry(entry: SegmentEntry, offset: number, length: number): Promise<Uint8Array> {
    return this.#files.use(entry.segment, (fd) => readFully(fd, entry.offset + recordHeaderBytes + offset, length));
  }

  /** The segment's file is gone: so is the shard, unless the whole directory is. */
  async #lose({ cid, digest }: SegmentKey, previous: SegmentEntry): Promise<undefined> {
    await this.#checkFolder();
    this.#index.record({ cid, digest, tally: { kind: 'lose', previous } });
    return undefined;
  }

  /** Deletes the shard where a segment has it; the tombstone is not flushed. */
  async delete({ cid, digest }: SegmentKey): Promise<void> {
    const target = this.#index.find(cid, digest);
    if (target === undefined) return;
    await this.#writer.append({
      kind: 'tombstone',
      digest,
      target,
      committedAtMs: this.#clock.now(),
      onWritten: (place) => {
        const current = this.#index.find(cid, digest);
        const end = positionAfter(place);
        if (current === undefined || !isSamePlace(current, target)) {
          this.#index.record({ cid, digest, tally: { kind: 'carry', place, target }, end });
        } else {
          this.#index.record({ cid, digest, tally: { kind: 'delete', place, previous: current }, end });
        }
      },
    });
    // Reclaim has moved the shard while the tombstone was under way.
    if (this.#index.find(cid, digest) !== undefined) await this.delete({ cid, digest });
  }

  /** Shards after the one of `cursor`, in order of their digests. */
  async list(cursor: string | undefined, limit: number): Promise<ShardPage> {
    const after = Buffer.from(cursor ?? '', 'hex');
    const page = await this.#index.page(after, limit);
    const shards = page.map(({ digest, entry }) => {
      return { cid: cidOfDigest(digest), bytes: entry.length, modifiedAtMs: entry.committedAtMs };
    });
    const last = page.at(-1);
    return page.length === limit && last !== undefined ? { shards, cursor: last.digest.toString('hex') } : { shards };
  }

  /** As `Provider.reclaim`. */
  reclaim(signal: AbortSignal | undefined): Promise<boolean> {
    return this.#reclaimer.reclaim(signal);
  }

  /** Waits for what is under way, saves the index and cuts the last segment at its end. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#reclaimer.close();
    await this.#writer.close();
    this.#files.close();
    try {
      await this.#index.close();
    } catch (cause) {
      throw new Failure('provider-error', { providerId: this.#providerId, call: 'close' }, { cause });
    }
  }
}
