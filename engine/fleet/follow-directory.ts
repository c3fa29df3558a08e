import { resolve } from 'node:path';
import type { ProviderRecord } from '../../core/model.ts';
import { readMarkerId } from '../../placement/providers/directory-marker.ts';

/**
 * A directory may have been moved, with the data directory as a whole or by itself. Where the configuration names another
 * path than the store, and the directory there says that it is this provider's, the configuration is right: going by the
 * store could mean to write to the directory that the data were copied from.
 *
 * @returns the record with the place that the configuration names, or the very same record
 */
export async function followDirectory(known: ProviderRecord, configured: ProviderRecord): Promise<ProviderRecord> {
  const [from, to] = [known.location, configured.location];
  if (from.kind !== 'directory' || to.kind !== 'directory' || resolve(from.path) === resolve(to.path)) return known;
  const owner = await readMarkerId(to.path).catch(() => undefined);
  return owner === known.id ? { ...known, location: { ...from, path: to.path } } : known;
}
