import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** The ids that the gateway gives its six directories. */
export const providerIds = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'] as const;

export function providerPath(dataDir: string, id: string): string {
  return join(dataDir, 'providers', id);
}

/** Paths of the shards that a provider keeps as files: the longer ones. */
export async function listShardFiles(dataDir: string, id: string): Promise<string[]> {
  return listFiles(join(providerPath(dataDir, id), 'shards'));
}

/** Paths of the segments in which a provider keeps small shards. */
export async function listSegmentFiles(dataDir: string, id: string): Promise<string[]> {
  const files = await listFiles(join(providerPath(dataDir, id), 'segments'));
  return files.filter((path) => path.endsWith('.seg'));
}

/** Paths of the shards of all providers. */
export async function listAllShardFiles(dataDir: string): Promise<string[]> {
  return (await Promise.all(providerIds.map((id) => listShardFiles(dataDir, id)))).flat();
}

/** Paths of what is being written at the providers. */
export async function listTemporaryFiles(dataDir: string, ids: readonly string[] = providerIds): Promise<string[]> {
  return (await Promise.all(ids.map((id) => listFiles(join(providerPath(dataDir, id), 'tmp'))))).flat();
}

async function listFiles(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
