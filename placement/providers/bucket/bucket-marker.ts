import type { ProviderId } from '../../../core/model.ts';
import type { BucketClient } from './bucket-client.ts';
import { BucketError, hasFault } from './bucket-error.ts';

/**
 * The object `provider.json`, which says whose shards lie below the prefix, as a directory's marker does: two providers
 * in one place would lose their shards together.
 */
const markerKey = 'provider.json';
const markerFormat = 'holdfast-provider';
const markerVersion = 1;
const maxMarkerBytes = 4096;

/**
 * Which provider's the prefix is; undefined where there is no marker.
 *
 * @throws BucketError for what is not a marker
 */
export async function readBucketMarker(client: BucketClient, signal?: AbortSignal): Promise<ProviderId | undefined> {
  let text: string;
  try {
    text = Buffer.from(await client.get(markerKey, maxMarkerBytes, signal)).toString('utf8');
  } catch (error) {
    if (hasFault(error, 'object-missing')) return undefined;
    throw error;
  }
  const marker = parseMarker(text);
  if (marker === undefined) throw new BucketError('bad-answer', `${markerKey} is not a provider's marker`);
  if (marker.version !== markerVersion) {
    throw new BucketError('bad-answer', `${markerKey} has the unknown format version ${marker.version}`);
  }
  return marker.id;
}

/**
 * Makes sure that the prefix is this provider's, and marks it where it holds no shards.
 *
 * @throws BucketError for the prefix of another provider, and for one without a marker that holds shards
 */
export async function claimBucket(client: BucketClient, id: ProviderId, signal?: AbortSignal): Promise<void> {
  const owner = await readBucketMarker(client, signal);
  if (owner === id) return;
  if (owner !== undefined) {
    throw new BucketError('failed', `the bucket's prefix belongs to the provider ${owner}, not to ${id}`);
  }
  const { entries } = await client.list('shards/', { limit: 1 }, signal);
  if (entries.length > 0) {
    throw new BucketError('failed', `the bucket's prefix holds shards but no ${markerKey}: not a provider's place`);
  }
  const text = `${JSON.stringify({ format: markerFormat, version: markerVersion, id })}\n`;
  await client.put(markerKey, Buffer.from(text), signal);
}

function parseMarker(text: string): { version: unknown; id: ProviderId } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('format' in value)) return undefined;
    if (value.format !== markerFormat || !('version' in value) || !('id' in value)) return undefined;
    if (typeof value.id !== 'string') return undefined;
    return { version: value.version, id: value.id as ProviderId };
  } catch {
    return undefined;
  }
}
