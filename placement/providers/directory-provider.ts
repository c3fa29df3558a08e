import { access } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOfCid } from '../../core/cid-digest.ts';
import type { Clock } from '../../core/clock.ts';
import { Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { defaultSegmentShardBytes } from '../../core/provider-settings.ts';
import { checkMarker, claimDirectory, markerName } from './directory-marker.ts';
import { DirectoryRoot } from './directory-root.ts';
import { DirectoryShardWriter, type ShardFolder } from './directory-shard-writer.ts';
import { hasErrorCode } from './durable-files.ts';
import { explainDirectoryError } from './explain-directory-error.ts';
import { FreeSpace } from './free-space.ts';
import {
  type Capacity,
  maxRootBytes,
  type Provider,
  type ShardPage,
  type ShardStat,
  type ShardWriter,
} from './provider.ts';
import { openSegmentStore } from './segments/open-segments.ts';
import { DirectAppender, type SegmentAppenders } from './segments/segment-appender.ts';
import type { SegmentKey, SegmentStore } from './segments/segment-store.ts';
import { ShardFiles } from './shard-files.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/** What a cursor of `listShards` begins with: files come first, then segments. */
const filesCursor = 'f:';
const segmentsCursor = 's:';

/** Asked for often: the callback form costs half of what the promise form does. */
const checkAccess = promisify(access);

interface DirectoryProviderOptions {
  readonly id: ProviderId;
  readonly path: string;
  /** Space on the file system that shards may not take; 0 unless given. */
  readonly reserveBytes?: number;
  /**
   * Shards below this many bytes that come whole are put into segments; 256 KiB unless given. With 0 every new shard is a
   * file of its own.
   */
  readonly segmentShardBytes?: number;
  /** Length of a segment; 64 MiB unless given. */
  readonly segmentBytes?: number;
  /** The time of commit of shards in segments; the system's unless given. */
  readonly clock?: Clock;
  /** What writes to segments; libuv's threads unless given. */
  readonly appenders?: SegmentAppenders;
}

/**
 * Opens a provider that keeps shards below `path`: small ones in segments (docs/segment-format.md), others as files. The
 * directory belongs to one process at a time.
 *
 * `path` is created here if it does not exist, and never later: when it disappears (a disk that fell out), calls
 * fail until it is back, and nothing is written to what lies beneath.
 *
 * @throws Failure `provider-error` when the directory cannot be used or belongs to another provider
 */
export async function openDirectoryProvider(options: DirectoryProviderOptions): Promise<Provider> {
  const { id, path, clock, segmentBytes } = options;
  const checkDirectory = () => checkMarker(path, id);
  const markerPath = join(path, markerName);
  try {
    await claimDirectory(path, id);
    const files = await ShardFiles.open({ path, checkDirectory });
    // Whether the marker is there: enough where it is asked often, since it was right when the directory was opened.
    const checkPresence = () => checkAccess(markerPath);
    const segments = await openSegmentStore({
      providerId: id,
      path,
      checkDirectory,
      appender: options.appenders?.appenderFor(markerPath) ?? new DirectAppender({ checkPresence }),
      clock,
      segmentBytes,
    });
    return new DirectoryProvider({ options, files, segments, checkDirectory, checkPresence });
  } catch (cause) {
    throw new Failure('provider-error', { providerId: id, call: 'open' }, { cause });
  }
}

/** Decides between files and segments, counts space, and turns errors into failures. */
class DirectoryProvider implements Provider, ShardFolder {
  readonly id: ProviderId;
  readonly #files: ShardFiles;
  readonly #segments: SegmentStore;
  readonly #root: DirectoryRoot;
  readonly #space: FreeSpace;
  readonly #segmentShardBytes: number;
  readonly #checkDirectory: () => Promise<void>;
  readonly #checkPresence: () => Promise<void>;

  constructor(parts: {
    options: DirectoryProviderOptions;
    files: ShardFiles;
    segments: SegmentStore;
    checkDirectory: () => Promise<void>;
    checkPresence: () => Promise<void>;
  }) {
    const { id, path, reserveBytes = 0, segmentShardBytes = defaultSegmentShardBytes } = parts.options;
    this.id = id;
    this.#files = parts.files;
    this.#segments = parts.segments;
    this.#root = new DirectoryRoot({ path, checkDirectory: parts.checkDirectory });
    this.#space = new FreeSpace({ providerId: id, path, reserveBytes });
    this.#segmentShardBytes = segmentShardBytes;
    this.#checkDirectory = parts.checkDirectory;
    this.#checkPresence = parts.checkPresence;
  }

  async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    let bytes = 0;
    for (const buffer of buffers) bytes += buffer.length;
    const digest = bytes < this.#segmentShardBytes ? digestOfCid(cid) : undefined;
    if (digest === undefined) return this.#putFile(cid, buffers, bytes, signal);
    try {
      const measuring = this.#space.take(bytes);
      if (measuring !== undefined) await measuring;
      await this.#segments.put({ cid, digest }, buffers, bytes, signal);
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.explain('putShard', error);
    }
  }

  async #putFile(
    cid: ShardCid,
    buffers: readonly Uint8Array[],
    bytes: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (await this.#holdsFile(cid, buffers, bytes)) return;
    const writer = await this.createShard(signal);
    try {
      await writer.append(buffers);
      await writer.commit(cid);
    } finally {
      await writer.abort();
    }
  }

  /** Whether the shard's file is there, and is as it should be: one that has rotted is replaced. */
  async #holdsFile(cid: ShardCid, buffers: readonly Uint8Array[], bytes: number): Promise<boolean> {
    if (!this.#files.mayHave(cid)) return false;
    try {
      if ((await this.#files.stat(cid)).bytes !== bytes) return false;
      return Buffer.concat(buffers, bytes).equals(await this.#files.read(cid, 0, bytes, undefined));
    } catch {
      return false;
    }
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    signal?.throwIfAborted();
    try {
      await this.#space.take(0);
      const { fd, path } = await this.#files.createTemporary();
      const writer = new DirectoryShardWriter({ folder: this, fd, path, signal });
      if (!signal?.aborted) return writer;
      await writer.abort();
    } catch (error) {
      throw this.explain('createShard', error);
    }
    throw signal.reason;
  }

  async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const digest = digestOfCid(cid);
    try {
      const found = digest && (await this.#segments.read({ cid, digest }, offset, length, signal));
      return found ?? (await this.#files.read(cid, offset, length, signal));
    } catch (error) {
      throw signal?.aborted ? signal.reason : await this.#explainShard('readShard', cid, error);
    }
  }

  async statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    signal?.throwIfAborted();
    const key = keyOf(cid);
    try {
      const found = key && this.#segments.find(key);
      if (found === undefined) return await this.#files.stat(cid);
      await this.#checkPresence();
      return found;
    } catch (error) {
      throw await this.#explainShard('statShard', cid, error);
    }
  }

  async deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const key = keyOf(cid);
    try {
      const isInSegment = key !== undefined && this.#segments.has(key);
      if (!isInSegment) return await this.#files.delete(cid);
      await this.#segments.delete(key);
      // As a rule it is in one place, but a file may have been there before.
      if (this.#files.mayHave(cid)) await this.#files.delete(cid).catch(ignoreMissing);
    } catch (error) {
      const failure = await this.#explainShard('deleteShard', cid, error);
      if (!isFailure(failure, 'shard-missing')) throw failure;
    }
  }

  async listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    try {
      signal?.throwIfAborted();
      if (cursor?.startsWith(segmentsCursor)) return await this.#listSegments(cursor, limit);
      const page = await this.#files.list(cursor?.slice(filesCursor.length), limit, signal);
      // What is in a segment too is listed there.
      const shards = page.shards.filter(({ cid }) => {
        const key = keyOf(cid);
        return key === undefined || !this.#segments.has(key);
      });
      if (page.cursor !== undefined) return { shards, cursor: `${filesCursor}${page.cursor}` };
      if (shards.length === limit) return { shards, cursor: segmentsCursor };
      const rest = await this.#listSegments(segmentsCursor, limit - shards.length);
      return { ...rest, shards: [...shards, ...rest.shards] };
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.explain('listShards', error);
    }
  }

  async #listSegments(cursor: string, limit: number): Promise<ShardPage> {
    await this.#checkDirectory();
    const page = await this.#segments.list(cursor.slice(segmentsCursor.length), limit);
    return page.cursor === undefined ? page : { ...page, cursor: `${segmentsCursor}${page.cursor}` };
  }

  async readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted();
    try {
      const root = await this.#root.read();
      if (root === undefined) await this.#checkDirectory();
      return root;
    } catch (error) {
      throw this.explain('readRoot', error);
    }
  }

  async writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (bytes.length > maxRootBytes)
      throw new RangeError(`a root of ${bytes.length} bytes, the most is ${maxRootBytes}`);
    try {
      await this.#root.write(bytes);
    } catch (error) {
      throw this.explain('writeRoot', error);
    }
  }

  async reclaim(signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    try {
      return await this.#segments.reclaim(signal);
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.explain('reclaim', error);
    }
  }

  async capacity(signal?: AbortSignal): Promise<Capacity> {
    signal?.throwIfAborted();
    try {
      // An empty mount point has a capacity too: that of another disk.
      await this.#checkDirectory();
      return await this.#space.measure();
    } catch (error) {
      throw this.explain('capacity', error);
    }
  }

  close(): Promise<void> {
    return this.#segments.close();
  }

  async takeSpace(bytes: number): Promise<void> {
    await this.#space.take(bytes);
  }

  async nameShard(temporaryPath: string, cid: ShardCid): Promise<void> {
    await this.#files.name(temporaryPath, cid);
    // The file counts from now on, which is what repair wants where the one in a segment has rotted.
    const key = keyOf(cid);
    if (key !== undefined && this.#segments.has(key)) await this.#segments.delete(key);
  }

  explain(call: ProviderCall, error: unknown): unknown {
    return explainDirectoryError(this.id, call, error);
  }

  /** No file means that the shard is missing, unless the whole directory is. */
  async #explainShard(call: ProviderCall, cid: ShardCid, error: unknown): Promise<unknown> {
    if (!hasErrorCode(error, 'ENOENT')) return this.explain(call, error);
    try {
      await this.#checkDirectory();
    } catch (markerError) {
      return this.explain(call, markerError);
    }
    return new Failure('shard-missing', { providerId: this.id, cid });
  }
}

function keyOf(cid: ShardCid): SegmentKey | undefined {
  const digest = digestOfCid(cid);
  return digest && { cid, digest };
}

function ignoreMissing(error: unknown): void {
  if (!hasErrorCode(error, 'ENOENT')) throw error;
}
