import type { Profile, SealedSpan } from '../../core/model.ts';
import { createDataKey } from '../../crypto/data-key.ts';
import { sealedBytes, sealWhole } from '../../crypto/sealed-stream.ts';
import { blockAlignBytes, maxBlockBytes } from '../../erasure/geometry.ts';
import { createStripeId } from '../../erasure/stripe-id.ts';
import type { EngineParts } from '../engine-parts.ts';
import { encodeManifest, type ManifestEntry, sealManifest } from '../manifest.ts';
import { StripeWriter } from '../stripe-writer.ts';
import type { SystemLocation } from './system-location.ts';

export type SystemWriteParts = Pick<
  EngineParts,
  'fleet' | 'codec' | 'clock' | 'metrics' | 'limits' | 'masterKey' | 'packRows' | 'pins' | 'noteProviderFailure'
>;

/** The bucket of system objects in manifests: no bucket has this id. */
export const systemBucketId = 0;

/**
 * Stores a system object in a stripe of its own, sealed as objects are. Its manifest says what it is, so that it can be
 * found with nothing but the master key. The rows are those of packs: uploads that fill all memory do not hold it up.
 *
 * @param profile of the name `systemProfileName`
 * @param content at least one byte; must stay as it is until this settles
 * @returns durable, and unknown to the metadata store
 * @throws Failure `too-few-writes`, `storage-full`, `overloaded`; the signal's reason
 */
export async function writeSystemObject(
  parts: SystemWriteParts,
  { name, number, content }: { readonly name: string; readonly number: number; readonly content: Uint8Array },
  profile: Profile,
  signal: AbortSignal,
): Promise<SystemLocation> {
  const { masterKey, clock, packRows, metrics } = parts;
  const id = createStripeId(clock.now());
  const dataKey = createDataKey();
  const sealed = new Uint8Array(sealedBytes(content.length));
  sealWhole(dataKey, content, sealed);
  const span: SealedSpan = {
    wrappedKey: masterKey.wrap(dataKey),
    streamBytes: content.length,
    offset: 0,
    length: content.length,
    extents: [{ stripeId: id, offset: 0, length: sealed.length }],
  };
  const entry = describeEntry(name, number, clock.now(), content.length, span);
  const manifest = sealManifest(masterKey, id, encodeManifest([entry]));
  const blockBytes = planBlockBytes(profile, sealed.length + manifest.length);
  const writer = new StripeWriter({
    id,
    profile,
    blockBytes,
    fleet: parts.fleet,
    codec: parts.codec,
    suspectWaitMs: parts.limits.suspectWaitMs,
    onFailure: parts.noteProviderFailure,
    signal,
  });
  try {
    const cut = { k: profile.k, m: profile.m, blockBytes };
    let pieces = [sealed, manifest];
    while (pieces.length > 0) {
      const row = await packRows.lease(cut, signal);
      try {
        while (pieces[0] !== undefined && !row.isFull) {
          const rest = pieces[0].subarray(row.fill(pieces[0]));
          pieces = rest.length > 0 ? [rest, ...pieces.slice(1)] : pieces.slice(1);
        }
        const isLast = pieces.length === 0;
        await writer.writeRow(row, isLast ? { manifestBytes: manifest.length } : undefined);
        // A stripe of one row is sent from the row's memory when it is committed.
        if (isLast) {
          const stripe = await writer.commit();
          metrics.stripesWritten.inc({ outcome: stripe.shards.length < stripe.shardCount ? 'degraded' : 'full' });
          return { name, number, sizeBytes: content.length, spans: [span], stripes: [stripe] };
        }
      } finally {
        row.release(!writer.hasFailures);
      }
    }
    throw new Error('a system object has at least one byte');
  } catch (error) {
    metrics.stripesWritten.inc({ outcome: 'failed' });
    await writer.abort();
    throw error;
  }
}

function describeEntry(
  name: string,
  number: number,
  modifiedAtMs: number,
  sizeBytes: number,
  span: SealedSpan,
): ManifestEntry {
  return {
    kind: 'version',
    number,
    bucketId: systemBucketId,
    bucket: '',
    key: name,
    ownerId: '',
    modifiedAtMs,
    content: { sizeBytes, etag: '', spans: [span] },
    attributes: { headers: {}, userMetadata: {}, tags: {}, storageClass: '' },
  };
}

/** As few rows as there can be, evenly filled. */
function planBlockBytes({ k }: Profile, dataBytes: number): number {
  const rows = Math.ceil(dataBytes / (k * maxBlockBytes));
  return Math.ceil(dataBytes / (rows * k) / blockAlignBytes) * blockAlignBytes;
}
