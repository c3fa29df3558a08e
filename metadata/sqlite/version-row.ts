import type {
  Checksum,
  ChecksumAlgorithm,
  ChecksumType,
  ObjectAttributes,
  ObjectVersion,
  PartSummary,
  SealedSpan,
  Version,
} from '../../core/model.ts';
import type { ListedChecksum } from '../metadata-store.ts';
import type { NameTable } from './name-table.ts';
import { decodeSpans } from './span-codec.ts';
import { nullVersionId } from './version-id.ts';

/** A row of `versions` without its bucket and key, which whoever looks for it knows. */
export interface VersionRow {
  readonly id: number;
  readonly seq: number;
  readonly version_id: string | null;
  readonly is_latest: 0 | 1;
  readonly is_marker: 0 | 1;
  readonly owner: number;
  readonly modified_ms: number;
  readonly size_bytes: number;
  readonly etag: string;
  readonly storage_class: number | null;
  readonly checksum_kind: number | null;
  readonly checksum_value: string | null;
  readonly attributes: string | null;
  readonly parts: string | null;
  readonly spans: Buffer | null;
}

export const versionColumns =
  'id, seq, version_id, is_latest, is_marker, owner, modified_ms, size_bytes, etag, storage_class, checksum_kind, ' +
  'checksum_value, attributes, parts, spans';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function toVersion(row: VersionRow, key: string, names: NameTable): Version {
  return row.is_marker ? toMarker(row, key, names) : toObject(row, key, names);
}

export function toMarker(
  row: Pick<VersionRow, 'version_id' | 'owner' | 'modified_ms' | 'is_latest'>,
  key: string,
  names: NameTable,
): Extract<Version, { kind: 'delete-marker' }> {
  return {
    kind: 'delete-marker',
    key,
    versionId: row.version_id ?? nullVersionId,
    ownerId: names.nameOf(row.owner),
    modifiedAtMs: row.modified_ms,
    isLatest: row.is_latest === 1,
  };
}

export function toObject(row: VersionRow, key: string, names: NameTable): ObjectVersion {
  let spans: readonly SealedSpan[] | undefined;
  let parts: readonly PartSummary[] | undefined;
  const object: Mutable<ObjectVersion> = {
    kind: 'object',
    key,
    versionId: row.version_id ?? nullVersionId,
    ownerId: names.nameOf(row.owner),
    modifiedAtMs: row.modified_ms,
    isLatest: row.is_latest === 1,
    ...decodeAttributes(row.attributes, names.nameOf(row.storage_class!)),
    sizeBytes: row.size_bytes,
    etag: row.etag,
    // A 5 TiB object has megabytes of extents, and a HEAD looks at none of them.
    get spans() {
      spans ??= decodeSpans(row.spans);
      return spans;
    },
    get parts() {
      parts ??= decodeParts(row.parts);
      return parts;
    },
  };
  const checksum = decodeChecksum(row.checksum_kind, row.checksum_value, names);
  if (checksum) object.checksum = checksum;
  return object;
}

/** Header names, user metadata and tags as JSON; NULL when there are none. The storage class has a column of its own. */
export function encodeAttributes({
  headers,
  userMetadata,
  tags,
}: Omit<ObjectAttributes, 'storageClass'>): string | null {
  const filled = {
    ...(isEmpty(headers) ? undefined : { headers }),
    ...(isEmpty(userMetadata) ? undefined : { userMetadata }),
    ...(isEmpty(tags) ? undefined : { tags }),
  };
  return isEmpty(filled) ? null : JSON.stringify(filled);
}

export function decodeAttributes(json: string | null, storageClass: string): ObjectAttributes {
  const filled = json === null ? {} : (JSON.parse(json) as Partial<ObjectAttributes>);
  return {
    headers: filled.headers ?? {},
    userMetadata: filled.userMetadata ?? {},
    tags: filled.tags ?? {},
    storageClass,
  };
}

function isEmpty(record: object): boolean {
  for (const name in record) if (Object.hasOwn(record, name)) return false;
  return true;
}

type PackedPart = readonly [partNumber: number, sizeBytes: number, checksum?: string];

export function encodeParts(parts: readonly PartSummary[]): string | null {
  if (parts.length === 0) return null;
  return JSON.stringify(
    parts.map(
      ({ partNumber, sizeBytes, checksum }): PackedPart =>
        checksum === undefined ? [partNumber, sizeBytes] : [partNumber, sizeBytes, checksum],
    ),
  );
}

export function decodeParts(json: string | null): readonly PartSummary[] {
  if (json === null) return [];
  return (JSON.parse(json) as PackedPart[]).map(([partNumber, sizeBytes, checksum]) =>
    checksum === undefined ? { partNumber, sizeBytes } : { partNumber, sizeBytes, checksum },
  );
}

/** A checksum's algorithm and type as one name, such as `CRC32 FULL_OBJECT`. */
export function encodeChecksumKind(checksum: ListedChecksum | undefined, names: NameTable): number | null {
  return checksum === undefined ? null : names.numberOf(`${checksum.algorithm} ${checksum.type}`);
}

export function decodeChecksumKind(kind: number | null, names: NameTable): ListedChecksum | undefined {
  if (kind === null) return undefined;
  const [algorithm, type] = names.nameOf(kind).split(' ');
  return { algorithm: algorithm as ChecksumAlgorithm, type: type as ChecksumType };
}

export function decodeChecksum(kind: number | null, value: string | null, names: NameTable): Checksum | undefined {
  const listed = decodeChecksumKind(kind, names);
  return listed && { ...listed, value: value! };
}
