import type {
  Checksum,
  Extent,
  ObjectAttributes,
  Part,
  PartSummary,
  SealedSpan,
  StoredContent,
  StripeId,
  WriteCondition,
} from '../core/model.ts';
import { type MasterKey, wrappedKeyBytes } from '../crypto/master-key.ts';

/**
 * The manifest of a stripe: which objects and parts end in it, with all that the metadata store would say of them. It is
 * sealed with the master key and lies at the end of the stripe's data, coded like them. So what was acknowledged can be
 * recovered from the providers alone, even where neither snapshot nor journal know of it yet (docs/recovery.md).
 */
export type ManifestEntry = VersionEntry | PartEntry;

interface EntryTarget {
  /** What the row in the metadata store is numbered. */
  readonly number: number;
  readonly bucketId: number;
  readonly bucket: string;
  readonly key: string;
}

export interface VersionEntry extends EntryTarget {
  readonly kind: 'version';
  readonly ownerId: string;
  readonly modifiedAtMs: number;
  readonly content: StoredContent;
  readonly attributes: ObjectAttributes;
  /** Only where compaction writes an entry anew: of an object that was uploaded in parts. */
  readonly parts?: readonly PartSummary[];
  readonly condition?: WriteCondition;
}

export interface PartEntry extends EntryTarget {
  readonly kind: 'part';
  readonly uploadId: string;
  readonly part: Part;
}

const manifestVersion = 1;
/** What JSON takes for one extent more: two brackets, a stripe id in quotes, two numbers, three commas. */
const extentJsonBytes = 80;
/** The longest checksum that an entry may hold: a SHA-256 in base64, and how many parts it is of. */
const maxChecksumChars = 44 + '-10000'.length;

/** @param minBytes pads the record with blanks up to this length, so that its length can be known before its content */
export function encodeManifest(entries: readonly ManifestEntry[], minBytes = 0): Uint8Array {
  return joinManifest(
    entries.map((entry) => new EntryText(entry).in(contentOf(entry).spans)),
    minBytes,
  );
}

/** The same of entries that are text already. */
export function joinManifest(texts: readonly string[], minBytes = 0): Uint8Array {
  const plain = Buffer.from(`[${[manifestVersion, ...texts].join(',')}]`);
  if (plain.length >= minBytes) return plain;
  return Buffer.concat([plain, Buffer.alloc(minBytes - plain.length, ' ')]);
}

/** What JSON takes for a span without its extents: a wrapped key in quotes, three numbers, brackets and commas. */
const spanJsonBytes = 56 + 2 + 3 * 16 + 7;

/** Stands for an MD5 in hex until it is known. */
export const pendingMd5 = '0'.repeat(32);
/** Stands for a wrapped key in base64. */
const pendingKey = Buffer.alloc(wrappedKeyBytes).toString('base64');

/** The text of an entry in which a key is still pending, and maybe the ETag: where in its bytes they go. */
export interface PendingText {
  readonly text: string;
  readonly bytes: number;
  readonly etagAt: number;
  readonly keyAt: number;
}

/** The text of an entry, made once but for its spans: where they lie is known last, and may change while a pack is laid out. */
export class EntryText {
  readonly #head: string;
  readonly #tail: string;
  /** Before the ETag, its quote included. */
  readonly #etagAt: number;
  readonly #headBytes: number;
  readonly #tailBytes: number;

  /** @param entry whatever it says of spans is passed over */
  constructor(entry: ManifestEntry) {
    const [number, bucketId, bucket, key, modifiedAtMs, [sizeBytes, etag, checksum], rest] = packEntry(entry);
    const names = `${JSON.stringify([number, bucketId, bucket, key, modifiedAtMs]).slice(0, -1)},[${sizeBytes},"`;
    this.#etagAt = Buffer.byteLength(names);
    this.#head = `${names}${JSON.stringify([etag, checksum]).slice(2, -1)}`;
    this.#tail = JSON.stringify(rest);
    this.#headBytes = Buffer.byteLength(this.#head);
    this.#tailBytes = Buffer.byteLength(this.#tail);
  }

  /** At least how long it will be in bytes, with one span of one extent. */
  get boundBytes(): number {
    return this.#headBytes + this.#tailBytes + spanJsonBytes + extentJsonBytes;
  }

  in(spans: readonly SealedSpan[]): string {
    return `${this.#head},${JSON.stringify(spans.map(packSpan))}],${this.#tail}]`;
  }

  /** The same of one span with a key that is not known yet, and an ETag that may be `pendingMd5`. */
  pendingIn({ streamBytes, offset, length, extents }: Omit<SealedSpan, 'wrappedKey'>): PendingText {
    const span: PackedSpan = [pendingKey, streamBytes, offset, length, extents.map(packExtent)];
    const spans = JSON.stringify([span]);
    return {
      text: `${this.#head},${spans}],${this.#tail}]`,
      bytes: this.#headBytes + spans.length + this.#tailBytes + ',],]'.length,
      etagAt: this.#etagAt,
      keyAt: this.#headBytes + ',[["'.length,
    };
  }
}

/** How many bytes lie before the first of the texts of a manifest, and between any two. */
export const manifestStartBytes = `[${manifestVersion},`.length;
export const manifestGapBytes = ','.length;

/** A stripe has one manifest only: its id stands for the nonce. The result is `sealedRecordOverheadBytes` longer. */
export function sealManifest(masterKey: MasterKey, stripeId: StripeId, plain: Uint8Array): Uint8Array {
  return masterKey.sealRecord(manifestRecordName(stripeId), plain);
}

/** @returns undefined for what this master key did not seal for this stripe, or what a newer version wrote */
export function openManifest(
  masterKey: MasterKey,
  stripeId: StripeId,
  sealed: Uint8Array,
): ManifestEntry[] | undefined {
  const plain = masterKey.openRecord(manifestRecordName(stripeId), sealed);
  if (plain === undefined) return undefined;
  const [version, ...packed] = JSON.parse(Buffer.from(plain).toString()) as [number, ...PackedEntry[]];
  return version === manifestVersion ? packed.map(unpackEntry) : undefined;
}

/**
 * How long the manifest of one entry will be at most, not sealed, before its digests and extents are known.
 *
 * @param entry as it will be, but for these
 */
export function boundManifest(entry: ManifestEntry, extentCount: number): number {
  const digests: Checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT', value: 'x'.repeat(maxChecksumChars) };
  const filled = withContent(entry, { ...contentOf(entry), checksum: digests });
  return encodeManifest([filled]).length + extentCount * extentJsonBytes;
}

export function contentOf(entry: ManifestEntry): StoredContent {
  return entry.kind === 'version' ? entry.content : entry.part;
}

/** The same entry about other content. */
export function withContent(entry: ManifestEntry, content: StoredContent): ManifestEntry {
  return entry.kind === 'version' ? { ...entry, content } : { ...entry, part: { ...entry.part, ...content } };
}

/** What the record of a stripe's manifest is named. */
export function manifestRecordName(stripeId: StripeId): string {
  return `manifest ${stripeId}`;
}

/** An entry as it stands in JSON: short, since it is stored with every small object. */
type PackedEntry = [
  number: number,
  bucketId: number,
  bucket: string,
  key: string,
  modifiedAtMs: number,
  content: [sizeBytes: number, etag: string, checksum: Checksum | 0, spans: PackedSpan[]],
  rest:
    | { ownerId: string; attributes: ObjectAttributes; parts?: readonly PartSummary[]; condition?: WriteCondition }
    | { uploadId: string; partNumber: number },
];
type PackedSpan = [wrappedKey: string, streamBytes: number, offset: number, length: number, extents: PackedExtent[]];
type PackedExtent = [stripeId: StripeId, offset: number, length: number];

function packEntry(entry: ManifestEntry): PackedEntry {
  const { number, bucketId, bucket, key } = entry;
  const { sizeBytes, etag, checksum, spans } = contentOf(entry);
  const content: PackedEntry[5] = [sizeBytes, etag, checksum ?? 0, spans.map(packSpan)];
  if (entry.kind === 'part') {
    const { uploadId, part } = entry;
    return [number, bucketId, bucket, key, part.modifiedAtMs, content, { uploadId, partNumber: part.partNumber }];
  }
  const { ownerId, attributes, parts, condition, modifiedAtMs } = entry;
  const rest = { ownerId, attributes, ...(parts?.length && { parts }), ...(condition && { condition }) };
  return [number, bucketId, bucket, key, modifiedAtMs, content, rest];
}

function unpackEntry([number, bucketId, bucket, key, modifiedAtMs, packed, rest]: PackedEntry): ManifestEntry {
  const [sizeBytes, etag, checksum, spans] = packed;
  const content: StoredContent = { sizeBytes, etag, ...(checksum && { checksum }), spans: spans.map(unpackSpan) };
  const target = { number, bucketId, bucket, key };
  if ('uploadId' in rest) {
    const { uploadId, partNumber } = rest;
    return { kind: 'part', ...target, uploadId, part: { partNumber, modifiedAtMs, ...content } };
  }
  return { kind: 'version', ...target, modifiedAtMs, content, ...rest };
}

function packSpan({ wrappedKey, streamBytes, offset, length, extents }: SealedSpan): PackedSpan {
  const key = Buffer.from(wrappedKey.buffer, wrappedKey.byteOffset, wrappedKey.length).toString('base64');
  return [key, streamBytes, offset, length, extents.map(packExtent)];
}

function unpackSpan([wrappedKey, streamBytes, offset, length, extents]: PackedSpan): SealedSpan {
  return {
    wrappedKey: new Uint8Array(Buffer.from(wrappedKey, 'base64')),
    streamBytes,
    offset,
    length,
    extents: extents.map(([stripeId, at, bytes]): Extent => ({ stripeId, offset: at, length: bytes })),
  };
}

function packExtent({ stripeId, offset, length }: Extent): PackedExtent {
  return [stripeId, offset, length];
}
