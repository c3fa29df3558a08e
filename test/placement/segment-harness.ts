import { cpSync } from 'node:fs';
import { mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { memoryFolder } from '../model/memory-folder.ts';
import { nameOf } from './provider-conformance.ts';

export const providerId = 'd1' as ProviderId;

export interface OpenOptions {
  readonly reserveBytes?: number;
  readonly segmentBytes?: number;
  readonly segmentShardBytes?: number;
}

/** A provider's directory in memory, and copies of it. */
export class SegmentFolder {
  readonly root: string;
  readonly path: string;
  #copies = 0;
  readonly #opened: Provider[] = [];

  private constructor(root: string) {
    this.root = root;
    this.path = join(root, 'p');
  }

  static async create(): Promise<SegmentFolder> {
    return new SegmentFolder(await mkdtemp(join(memoryFolder, 'holdfast-segments-')));
  }

  async open(options: OpenOptions = {}, path = this.path): Promise<Provider> {
    const provider = await openDirectoryProvider({ id: providerId, path, ...options });
    this.#opened.push(provider);
    return provider;
  }

  /** What a crash of the process would leave now; synchronous, so nothing happens in between. */
  copy(): string {
    const target = join(this.root, `copy-${this.#copies++}`);
    cpSync(this.path, target, { recursive: true });
    return target;
  }

  async dispose(): Promise<void> {
    for (const provider of this.#opened) await provider.close().catch(() => {});
    await rm(this.root, { recursive: true, force: true });
  }

  segmentPath(number: number, path = this.path): string {
    return join(path, 'segments', `${String(number).padStart(10, '0')}.seg`);
  }

  /** Length of each segment, by name. */
  async segmentSizes(path = this.path): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const name of (await readdir(join(path, 'segments'))).sort()) {
      sizes.set(name, (await stat(join(path, 'segments', name))).size);
    }
    return sizes;
  }

  async countOpenSegments(): Promise<number> {
    const fds = await readdir('/proc/self/fd');
    const targets = await Promise.all(fds.map((fd) => readlink(join('/proc/self/fd', fd)).catch(() => '')));
    return targets.filter((target) => target.startsWith(join(this.path, 'segments'))).length;
  }
}

export async function removeIndex(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(join(path, `index.sqlite${suffix}`), { force: true });
}

export async function put(provider: Provider, bytes: Uint8Array): Promise<ShardCid> {
  const cid = nameOf(bytes);
  await provider.putShard(cid, [bytes]);
  return cid;
}

export async function reclaimAll(provider: Provider): Promise<void> {
  for (let piece = 0; await provider.reclaim(); piece++) if (piece > 10_000) throw new Error('reclaim never ends');
}
