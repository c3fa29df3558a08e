import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { markDurableStep } from '../../core/durable-steps.ts';
import type { ShardCid } from '../../core/model.ts';
import { closeFile, ensureFolder, hasErrorCode, openFile, readFully, syncFolder } from './durable-files.ts';
import type { ShardPage, ShardStat } from './provider.ts';

/** How many files a listing looks at in parallel: more would keep reads and writes from their turn. */
const statBatch = 32;
/** A CID in base32, and nothing that could lead out of the folder. */
const cidPattern = /^b[a-z2-7]{8,127}$/;

/**
 * Shards that are a file each: `shards/<last two characters of the CID>/<CID>`, and `tmp/` for what is being written.
 * Throws what the system calls throw.
 */
export class ShardFiles {
  readonly #path: string;
  readonly #shardsPath: string;
  readonly #temporaryPath: string;
  readonly #checkDirectory: () => Promise<void>;
  readonly #temporaryPrefix = randomBytes(6).toString('hex');
  #temporaryCount = 0;
  /** Folders of shards that exist durably, or are just being made. */
  readonly #folders: Map<string, Promise<void>>;
  /** The folder that a listing is in the middle of: a page more must not read and sort it again. */
  #listed: { readonly folder: string; readonly cids: readonly ShardCid[] } | undefined;

  private constructor(parts: { path: string; checkDirectory: () => Promise<void>; folders: readonly string[] }) {
    this.#path = parts.path;
    this.#shardsPath = join(parts.path, 'shards');
    this.#temporaryPath = join(parts.path, 'tmp');
    this.#checkDirectory = parts.checkDirectory;
    this.#folders = new Map(parts.folders.map((folder) => [folder, Promise.resolve()]));
  }

  /** @param parts.checkDirectory throws when the directory at `path` is not the provider's any more */
  static async open(parts: { path: string; checkDirectory: () => Promise<void> }): Promise<ShardFiles> {
    const { path } = parts;
    // What a crash left behind was never acknowledged.
    await rm(join(path, 'tmp'), { recursive: true, force: true });
    await mkdir(join(path, 'tmp'));
    await ensureFolder(join(path, 'shards'));
    await syncFolder(path);
    const folders = await readdir(join(path, 'shards'));
    await syncFolder(join(path, 'shards'));
    return new ShardFiles({ ...parts, folders });
  }

  /** A new file for a shard that is to be written. */
  async createTemporary(): Promise<{ fd: number; path: string }> {
    const path = join(this.#temporaryPath, `${this.#temporaryPrefix}-${this.#temporaryCount++}`);
    try {
      return { fd: await openFile(path, 'wx', 0o600), path };
    } catch (error) {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
      await this.#checkDirectory();
      await ensureFolder(this.#temporaryPath);
      return { fd: await openFile(path, 'wx', 0o600), path };
    }
  }

  /** Gives a file that is durable the shard's name, durably. */
  async name(temporaryPath: string, cid: ShardCid): Promise<void> {
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
    markDurableStep('file-renamed');
    await syncFolder(join(this.#shardsPath, folder));
    markDurableStep('file-named');
  }

  async read(cid: ShardCid, offset: number, length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const fd = await openFile(this.#shardPath(cid), 'r');
    try {
      signal?.throwIfAborted();
      return await readFully(fd, offset, length);
    } finally {
      closeFile(fd);
    }
  }

  /** The time of commit is the time of the last change of the inode, which rename sets; the bytes are older. */
  async stat(cid: ShardCid): Promise<ShardStat> {
    const { size, ctimeMs } = await stat(this.#shardPath(cid));
    return { bytes: size, modifiedAtMs: Math.floor(ctimeMs) };
  }

  /** The removal is not synced: a shard that a power cut brings back is an orphan, which `collect` removes. */
  delete(cid: ShardCid): Promise<void> {
    return unlink(this.#shardPath(cid));
  }

  /** Whether there may be a file for the shard: where its folder is missing, there is none. */
  mayHave(cid: ShardCid): boolean {
    return this.#folders.has(folderOf(cid));
  }

  /** A page of shards after the CID `cursor`, in order of folders and then of names. */
  async list(cursor: string | undefined, limit: number, signal: AbortSignal | undefined): Promise<ShardPage> {
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
      await this.#checkDirectory();
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
      await this.#checkDirectory();
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
      await this.#checkDirectory();
      return [];
    }
  }

  async #statListed(cid: ShardCid): Promise<(ShardStat & { cid: ShardCid }) | undefined> {
    try {
      return { cid, ...(await this.stat(cid)) };
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return undefined;
      throw error;
    }
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
