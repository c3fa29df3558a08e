import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProviderId } from '../../core/model.ts';
import { closeFile, hasErrorCode, makeFolder, openFile, syncFile, syncFolder, writeFully } from './durable-files.ts';

/**
 * The file `provider.json`, which says whose shards a directory keeps. It guards against two mistakes: a directory that
 * is configured under another provider's id, and a disk that is not mounted, whose empty mount point must not be filled.
 */
export const markerName = 'provider.json';
const newMarkerName = 'provider.json.new';
const markerVersion = 1;
/** What a directory may hold that was never used; a fresh ext4 has lost+found. */
const harmlessNames = new Set(['lost+found', newMarkerName]);

/**
 * Checks that the directory at `path` is this provider's.
 *
 * @throws Error that says what is wrong; with code ENOENT when there is no marker
 */
export async function checkMarker(path: string, id: ProviderId): Promise<void> {
  const markerId = await readMarkerId(path);
  if (markerId !== id) throw new Error(`${path} belongs to the provider ${markerId}, not to ${id}`);
}

/**
 * Which provider's directory `path` is, for whoever has only the directory.
 *
 * @throws Error that says what is wrong; with code ENOENT when there is no marker
 */
export async function readMarkerId(path: string): Promise<ProviderId> {
  const marker = parseMarker(await readFile(join(path, markerName), 'utf8'));
  if (marker === undefined) throw new Error(`${join(path, markerName)} is not a provider's marker`);
  if (marker.version !== markerVersion) throw new Error(`${path} has the unknown format version ${marker.version}`);
  return marker.id;
}

/**
 * Makes sure that `path` is this provider's directory: creates and marks it where it does not exist or is empty.
 *
 * @throws Error for a directory of another provider, and for one without a marker that holds something
 */
export async function claimDirectory(path: string, id: ProviderId): Promise<void> {
  await makeFolder(path);
  try {
    await checkMarker(path, id);
  } catch (error) {
    if (!hasErrorCode(error, 'ENOENT')) throw error;
    const names = await readdir(path);
    if (names.some((name) => !harmlessNames.has(name))) {
      throw new Error(`${path} holds files but no ${markerName}: not a provider's directory`, { cause: error });
    }
    await writeMarker(path, id);
  }
}

async function writeMarker(path: string, id: ProviderId): Promise<void> {
  const text = `${JSON.stringify({ format: 'holdfast-provider', version: markerVersion, id })}\n`;
  const fd = await openFile(join(path, newMarkerName), 'w', 0o600);
  try {
    await writeFully(fd, [Buffer.from(text)]);
    await syncFile(fd);
  } finally {
    closeFile(fd);
  }
  await rename(join(path, newMarkerName), join(path, markerName));
  await syncFolder(path);
}

function parseMarker(text: string): { version: unknown; id: ProviderId } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('format' in value)) return undefined;
    if (value.format !== 'holdfast-provider' || !('version' in value) || !('id' in value)) return undefined;
    if (typeof value.id !== 'string') return undefined;
    return { version: value.version, id: value.id as ProviderId };
  } catch {
    return undefined;
  }
}
