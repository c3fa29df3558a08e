import type { Profile, SealedSpan, StripeId } from '../../core/model.ts';
import { createDataKey } from '../../crypto/data-key.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import { sealedBytes, sealWhole } from '../../crypto/sealed-stream.ts';
import { blockAlignBytes, maxBlockBytes, rowDataBytes } from '../../erasure/geometry.ts';
import { createStripeId } from '../../erasure/stripe-id.ts';
import type { NewStripe } from '../../metadata/metadata-store.ts';
import type { EngineParts } from '../engine-parts.ts';
import { encodeManifest, type ManifestEntry, sealManifest } from '../manifest.ts';
import type { RowCut } from '../row-pool.ts';
import { StripeWriter } from '../stripe-writer.ts';
import { isDegraded } from '../write-content.ts';
import type { SystemLocation } from './system-location.ts';

export type SystemWriteParts = Pick<
  EngineParts,
  'fleet' | 'codec' | 'clock' | 'metrics' | 'limits' | 'masterKey' | 'packRows' | 'pins' | 'noteProviderFailure'
>;

/** The bucket of system objects in manifests: no bucket has this id. */
export const systemBucketId = 0;

/** A system object to be stored. */
export interface NewSystemObject {
  readonly name: string;
  readonly number: number;
  /** At least one byte; must stay as it is until it is stored. */
  readonly content: Uint8Array;
}

/**
 * Stores a system object and lets `register` make it known to the metadata store.
 *
 * @param profile of the name `systemProfileName`
 * @throws Failure `too-few-writes`, `storage-full`, `overloaded`; the signal's reason
 */
export async function storeSystemObject(
  parts: SystemWriteParts,
  object: NewSystemObject,
  profile: Profile,
  register: (location: SystemLocation) => Promise<void>,
  signal: AbortSignal,
): Promise<SystemLocation> {
  const endWrite = parts.pins.beginWrite(object.number, parts.clock.now());
  try {
    const location = await writeSystemObject(parts, object, profile, signal);
    await register(location);
    return location;
  } finally {
    endWrite();
  }
}

/**
 * A stripe of its own, sealed as objects are. Its manifest says what it is, so that it can be found with nothing but the
 * master key. The rows are those of packs: uploads that fill all memory do not hold it up.
 */
async function writeSystemObject(
  parts: SystemWriteParts,
  { name, number, content }: NewSystemObject,
  profile: Profile,
  signal: AbortSignal,
): Promise<SystemLocation> {
  const { masterKey, clock, metrics } = parts;
  const id = createStripeId(clock.now());
  const { span, sealed } = sealContent(masterKey, id, content);
  const entry = describeEntry(name, number, clock.now(), content.length, span);
  const manifest = sealManifest(masterKey, id, encodeManifest([entry]));
  const blockBytes = planBlockBytes(profile, sealed.length + manifest.length);
  const writer = new StripeWriter(parts, {
    id,
    profile,
    blockBytes,
    signal,
  });
  try {
    const stripe = await writeRows(parts, writer, { ...profile, blockBytes }, [sealed, manifest], signal);
    metrics.stripesWritten.inc({ outcome: isDegraded(stripe) ? 'degraded' : 'full' });
    return { name, number, sizeBytes: content.length, spans: [span], stripes: [stripe] };
  } catch (error) {
    metrics.stripesWritten.inc({ outcome: 'failed' });
    await writer.abort();
    throw error;
  }
}

async function writeRows(
  { packRows }: SystemWriteParts,
  writer: StripeWriter,
  cut: RowCut,
  [sealed, manifest]: readonly [Uint8Array, Uint8Array],
  signal: AbortSignal,
): Promise<NewStripe> {
  const data = Buffer.concat([sealed, manifest]);
  const rowBytes = rowDataBytes(cut);
  for (let at = 0; ; at += rowBytes) {
    const row = await packRows.lease(cut, signal);
    try {
      row.fill(data.subarray(at));
      const isLast = at + rowBytes >= data.length;
      await writer.writeRow(row, isLast ? { manifestBytes: manifest.length } : undefined);
      // A stripe of one row is sent from the row's memory when it is committed.
      if (isLast) return await writer.commit();
    } finally {
      row.release(!writer.hasFailures);
    }
  }
}

function sealContent(
  masterKey: MasterKey,
  stripeId: StripeId,
  content: Uint8Array,
): { span: SealedSpan; sealed: Uint8Array } {
  const dataKey = createDataKey();
  const sealed = new Uint8Array(sealedBytes(content.length));
  sealWhole(dataKey, content, sealed);
  const length = content.length;
  const extents = [{ stripeId, offset: 0, length: sealed.length }];
  return { span: { wrappedKey: masterKey.wrap(dataKey), streamBytes: length, offset: 0, length, extents }, sealed };
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
