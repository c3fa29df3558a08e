import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { checkMarker, claimDirectory } from './directory-marker.ts';
import { DirectoryShardWriter, type ShardFolder } from './directory-shard-writer.ts';
import { closeFile, hasErrorCode, openFile, readFully, syncFolder } from './durable-files.ts';
import type { Capacity, Provider, ShardPage, ShardStat, ShardWriter } from './provider.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/** How long a measurement of free space is believed, less what was written since. */
const spaceMeasureMs = 1000;
/** How many files a listing looks at in parallel: more would keep reads and writes from their turn. */
const statBatch = 32;
/** A CID in base32, and nothing that could lead out of the folder. */
const cidPattern = /^b[a-z2-7]{8,127}$/;

interface DirectoryProviderOptions {
  readonly id: ProviderId;
  readonly path: string;
  /** Space on the file system that shards may not take; 0 unless given. */
  readonly reserveBytes?: number;
}

/**
 * Opens a provider that keeps shards as files below `path`: `shards/<last two characters of the CID>/<CID>`, and
 * `tmp/` for what is being written. The directory belongs to one process at a time.
 *
 * `path` is created here if it does not exist, and never later: when it disappears (a disk that fell out), every call
 * fails until it is back, and nothing is written to what lies beneath.
 *
 * @throws Failure `provider-error` when the directory cannot be used or belongs to another provider
 */
export async function openDirectoryProvider(options: DirectoryProviderOptions): Promise<Provider> {
  const { id, path } = options;
  const shardsPath = join(path, 'shards');
  const temporaryPath = join(path, 'tmp');
  try {
    await claimDirectory(path, id);
    // What a crash left behind was never acknowledged.
    await rm(temporaryPath, { recursive: true, force: true });
    await mkdir(temporaryPath);
    await ensureFolder(shardsPath);
    await syncFolder(path);
    const folders = await readdir(shardsPath);
    await syncFolder(shardsPath);
    return new DirectoryProvider({ ...options, shardsPath, temporaryPath, folders });
  } catch (cause) {
    throw new Failure('provider-error', { providerId: id, call: 'open' }, { cause });
  }
}

class DirectoryProvider implements Provider, ShardFolder {
  readonly id: ProviderId;
  readonly #path: string;
  readonly #shardsPath: string;
  readonly #temporaryPath: string;
  readonly #reserveBytes: number;
  readonly #temporaryPrefix = randomBytes(6).toString('hex');
  #temporaryCount = 0;
  /** Folders of shards that exist durably, or are just being made. */
  readonly #folders: Map<string, Promise<void>>;
  #freeBytes = 0;
  #measuredAtMs = Number.NEGATIVE_INFINITY;
  /** The folder that a listing is in the middle of: a page more must not read and sort it again. */
  #listed: { readonly folder: string; readonly cids: readonly ShardCid[] } | undefined;

  constructor(
    parts: DirectoryProviderOptions & { shardsPath: string; temporaryPath: string; folders: readonly string[] },
  ) {
    this.id = parts.id;
    this.#path = parts.path;
    this.#reserveBytes = parts.reserveBytes ?? 0;
    this.#shardsPath = parts.shardsPath;
    this.#temporaryPath = parts.temporaryPath;
    this.#folders = new Map(parts.folders.map((folder) => [folder, Promise.resolve()]));
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    signal?.throwIfAborted();
    try {
      await this.takeSpace(0);
      const path = join(this.#temporaryPath, `${this.#temporaryPrefix}-${this.#temporaryCount++}`);
      const fd = await this.#openTemporary(path);
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
    let fd: number;
    try {
      fd = await openFile(this.#shardPath(cid), 'r');
    } catch (error) {
      throw await this.#explainShard('readShard', cid, error);
    }
    try {
      signal?.throwIfAborted();
      return await readFully(fd, offset, length);
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.explain('readShard', error);
    } finally {
      closeFile(fd);
    }
  }

  async statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    signal?.throwIfAborted();
    try {
      return await this.#statFile(cid);
    } catch (error) {
      throw await this.#explainShard('statShard', cid, error);
    }
  }

  /** The removal is not synced: a shard that a power cut brings back is an orphan, which `collect` removes. */
  async deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    try {
      await unlink(this.#shardPath(cid));
    } catch (error) {
      const failure = await this.#explainShard('deleteShard', cid, error);
      if (!isFailure(failure, 'shard-missing')) throw failure;
    }
  }

  async listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    try {
      signal?.throwIfAborted();
      const shards: (ShardStat & { cid: ShardCid })[] = [];
      const start = cursor === undefined ? '' : folderOf(cursor);
      for (const folder of await this.#listFolders()) {
        if (folder < start) continue;
        const cids = await this.#listFolder(folder, cursor !== undefined);
        let next = folder === start && cursor !== undefined ? indexAfter(cids, cursor) : 0;
        while (next < cids.length) {
          signal?.throwIfAborted();
          const batch = cids.slice(next, next + Math.min(statBatch, limit - shards.length));
          next += batch.length;
          const found = await Promise.all(batch.map((cid) => this.#statListed(cid)));
          shards.push(...found.filter((shard) => shard !== undefined));
          if (shards.length === limit) return { shards, cursor: batch.at(-1)! };
        }
      }
      this.#listed = undefined;
      return { shards };
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.explain('listShards', error);
    }
  }

  async capacity(signal?: AbortSignal): Promise<Capacity> {
    signal?.throwIfAborted();
    try {
      // An empty mount point has a capacity too: that of another disk.
      await checkMarker(this.#path, this.id);
      const { blocks, bavail, bsize } = await statfs(this.#path);
      return { totalBytes: blocks * bsize, freeBytes: Math.max(0, bavail * bsize - this.#reserveBytes) };
    } catch (error) {
      throw this.explain('capacity', error);
    }
  }

  async close(): Promise<void> {
    this.#listed = undefined;
  }

  async takeSpace(bytes: number): Promise<void> {
    if (this.#reserveBytes === 0) return;
    if (performance.now() - this.#measuredAtMs > spaceMeasureMs) {
      const { bavail, bsize } = await statfs(this.#path);
      this.#freeBytes = bavail * bsize;
      this.#measuredAtMs = performance.now();
    }
    if (this.#freeBytes - bytes < this.#reserveBytes) throw new Failure('provider-full', { providerId: this.id });
    this.#freeBytes -= bytes;
  }

  async nameShard(temporaryPath: string, cid: ShardCid): Promise<void> {
    const target = this.#shardPath(cid);
    const folder = folderOf(cid);
    await this.#ensureShardFolder(folder);
    try {
      await rename(temporaryPath, target);
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      // The directory went and came back without this folder.
      this.#folders.delete(folder);
      await this.#ensureShardFolder(folder);
      await rename(temporaryPath, target);
    }
    await syncFolder(join(this.#shardsPath, folder));
  }

  explain(call: ProviderCall, error: unknown): unknown {
    if (isFailure(error)) return error;
    if (hasErrorCode(error, 'ENOSPC', 'EDQUOT')) {
      return new Failure('provider-full', { providerId: this.id }, { cause: error });
    }
    return new Failure('provider-error', { providerId: this.id, call }, { cause: error });
  }

  /** No file means that the shard is missing, unless the whole directory is. */
  async #explainShard(call: ProviderCall, cid: ShardCid, error: unknown): Promise<unknown> {
    if (!hasErrorCode(error, 'ENOENT')) return this.explain(call, error);
    try {
      await checkMarker(this.#path, this.id);
    } catch (markerError) {
      return this.explain(call, markerError);
    }
    return new Failure('shard-missing', { providerId: this.id, cid });
  }

  async #openTemporary(path: string): Promise<number> {
    try {
      return await openFile(path, 'wx', 0o600);
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      await checkMarker(this.#path, this.id);
      await ensureFolder(this.#temporaryPath);
      return openFile(path, 'wx', 0o600);
    }
  }

  /** Makes the folder durably, once, and lets all who need it wait for that. */
  #ensureShardFolder(folder: string): Promise<void> {
    let ready = this.#folders.get(folder);
    if (ready === undefined) {
      ready = this.#makeShardFolder(folder);
      this.#folders.set(folder, ready);
      ready.catch(() => this.#folders.delete(folder));
    }
    return ready;
  }

  async #makeShardFolder(folder: string): Promise<void> {
    const path = join(this.#shardsPath, folder);
    try {
      await ensureFolder(path);
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      await checkMarker(this.#path, this.id);
      await ensureFolder(this.#shardsPath);
      await syncFolder(this.#path);
      await ensureFolder(path);
    }
    await syncFolder(this.#shardsPath);
  }

  #shardPath(cid: ShardCid): string {
    if (!cidPattern.test(cid)) throw new RangeError(`${JSON.stringify(cid)} is not a CID in base32`);
    return join(this.#shardsPath, folderOf(cid), cid);
  }

  async #listFolders(): Promise<string[]> {
    try {
      return (await readdir(this.#shardsPath)).sort();
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      await checkMarker(this.#path, this.id);
      return [];
    }
  }

  async #listFolder(folder: string, resumed: boolean): Promise<readonly ShardCid[]> {
    if (resumed && this.#listed?.folder === folder) return this.#listed.cids;
    try {
      const names = await readdir(join(this.#shardsPath, folder));
      const cids = names.filter((name) => cidPattern.test(name) && folderOf(name) === folder).sort() as ShardCid[];
      this.#listed = { folder, cids };
      return cids;
    } catch (error) {
      if (hasErrorCode(error, 'ENOTDIR')) return [];
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      await checkMarker(this.#path, this.id);
      return [];
    }
  }

  async #statListed(cid: ShardCid): Promise<(ShardStat & { cid: ShardCid }) | undefined> {
    try {
      return { cid, ...(await this.#statFile(cid)) };
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** The time of commit is the time of the last change of the inode, which rename sets; the bytes are older. */
  async #statFile(cid: ShardCid): Promise<ShardStat> {
    const { size, ctimeMs } = await stat(this.#shardPath(cid));
    return { bytes: size, modifiedAtMs: Math.floor(ctimeMs) };
  }
}

function folderOf(cid: string): string {
  return cid.slice(-2);
}

/** Where in sorted names those after `cid` begin. */
function indexAfter(sorted: readonly ShardCid[], cid: string): number {
  const index = sorted.findIndex((other) => other > cid);
  return index === -1 ? sorted.length : index;
}

async function ensureFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (!hasErrorCode(error, 'EEXIST')) throw error;
  }
}
