import type { Database, Statement } from 'better-sqlite3';
import type { Bucket } from '../../core/model.ts';
import type {
  ListedObject,
  ListedVersion,
  ObjectPage,
  ObjectQuery,
  UploadPage,
  UploadQuery,
  VersionPage,
  VersionQuery,
} from '../metadata-store.ts';
import type { BucketTable } from './bucket-table.ts';
import { commonPrefixOf, nextKey } from './key-order.ts';
import { type KeyPosition, type KeyRows, positionAfterMarker, readKeyPage } from './key-page.ts';
import type { NameTable } from './name-table.ts';
import { toUpload, type UploadRow, uploadColumns } from './upload-row.ts';
import { nullVersionId } from './version-id.ts';
import { decodeChecksumKind, toMarker, type VersionRow } from './version-row.ts';
import type { VersionTable } from './version-table.ts';

const objectColumns = 'key, size_bytes, etag, modified_ms, owner, storage_class, checksum_kind';

interface ListedRow
  extends Pick<VersionRow, 'size_bytes' | 'etag' | 'modified_ms' | 'owner' | 'storage_class' | 'checksum_kind'> {
  readonly key: string;
}

type ListedVersionRow = ListedRow & Pick<VersionRow, 'seq' | 'version_id' | 'is_latest' | 'is_marker'>;

type KeyRange = [bucketId: number, from: string, until: string, limit: number];
type Rest = [bucketId: number, key: string, after: number, limit: number];

/** The pages that S3 lists: of current objects, of all versions, of open uploads. */
export class Listings {
  readonly #names: NameTable;
  readonly #buckets: BucketTable;
  readonly #versions: VersionTable;
  readonly #objects: Statement<KeyRange, ListedRow>;
  readonly #versionRange: Statement<KeyRange, ListedVersionRow>;
  readonly #versionRest: Statement<Rest, ListedVersionRow>;
  readonly #uploadRange: Statement<KeyRange, UploadRow>;
  readonly #uploadRest: Statement<Rest, UploadRow>;
  readonly #uploadNumber: Statement<[string], Pick<UploadRow, 'id' | 'bucket_id' | 'key'>>;

  constructor(parts: { db: Database; names: NameTable; buckets: BucketTable; versions: VersionTable }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#buckets = parts.buckets;
    this.#versions = parts.versions;
    const range = 'bucket_id = +? AND key >= +? AND key < +?';
    this.#objects = db.prepare(`
      SELECT ${objectColumns} FROM versions INDEXED BY versions_current
      WHERE ${range} AND is_latest = 1 AND is_marker = 0 ORDER BY key LIMIT +?`);
    const versions = `
      SELECT ${objectColumns}, seq, version_id, is_latest, is_marker FROM versions INDEXED BY versions_by_key`;
    this.#versionRange = db.prepare(`${versions} WHERE ${range} ORDER BY key, seq DESC LIMIT +?`);
    this.#versionRest = db.prepare(`
      ${versions} WHERE bucket_id = +? AND key = +? AND seq < +? ORDER BY seq DESC LIMIT +?`);
    const uploads = `SELECT ${uploadColumns} FROM uploads INDEXED BY uploads_open`;
    this.#uploadRange = db.prepare(`${uploads} WHERE ${range} AND completed_ms IS NULL ORDER BY key, id LIMIT +?`);
    this.#uploadRest = db.prepare(`
      ${uploads} WHERE bucket_id = +? AND key = +? AND id > +? AND completed_ms IS NULL ORDER BY id LIMIT +?`);
    this.#uploadNumber = db.prepare('SELECT id, bucket_id, key FROM uploads WHERE upload_id = +?');
  }

  listObjects(query: ObjectQuery): ObjectPage {
    const bucket = this.#buckets.require(query.bucket);
    const source: KeyRows<ListedRow> = {
      read: ({ key }, until, limit) => this.#objects.all(bucket.id, key, until, limit),
      keyOf: (row) => row.key,
      positionAfter: (row) => ({ key: nextKey(row.key) }),
    };
    const start =
      query.after === undefined
        ? { key: query.prefix ?? '' }
        : positionAfterMarker(query, { key: query.after }, query.skipPrefixOfAfter ?? false);
    const { rows, commonPrefixes, isTruncated, last } = readKeyPage(source, query, start);
    const page = { objects: rows.map((row) => this.#toListed(row)), commonPrefixes, isTruncated };
    if (!isTruncated || !last) return page;
    return { ...page, next: 'row' in last ? last.row.key : last.commonPrefix };
  }

  listVersions(query: VersionQuery): VersionPage {
    const bucket = this.#buckets.require(query.bucket);
    const source: KeyRows<ListedVersionRow> = {
      read: (from, until, limit) => readRanked(bucket, from, until, limit, this.#versionRange, this.#versionRest),
      keyOf: (row) => row.key,
      positionAfter: (row) => ({ key: row.key, after: row.seq }),
    };
    const start = startAfterMarkers(query, query.versionIdMarker, (key, id) => this.#seqOf(bucket, key, id));
    const { rows, commonPrefixes, isTruncated, last } = readKeyPage(source, query, start);
    const page = { versions: rows.map((row) => this.#toListedVersion(row)), commonPrefixes, isTruncated };
    if (!isTruncated || !last) return page;
    if ('commonPrefix' in last) return { ...page, nextKeyMarker: last.commonPrefix };
    const { key, version_id } = last.row;
    return { ...page, nextKeyMarker: key, nextVersionIdMarker: version_id ?? nullVersionId };
  }

  listUploads(query: UploadQuery): UploadPage {
    const bucket = this.#buckets.require(query.bucket);
    const source: KeyRows<UploadRow> = {
      read: (from, until, limit) => readRanked(bucket, from, until, limit, this.#uploadRange, this.#uploadRest),
      keyOf: (row) => row.key,
      positionAfter: (row) => ({ key: row.key, after: row.id }),
    };
    const start = startAfterMarkers(query, query.uploadIdMarker, (key, id) => this.#numberOf(bucket, key, id));
    const { rows, commonPrefixes, isTruncated, last } = readKeyPage(source, query, start);
    const page = { uploads: rows.map((row) => toUpload(row, bucket.name, this.#names)), commonPrefixes, isTruncated };
    if (!isTruncated || !last) return page;
    if ('commonPrefix' in last) return { ...page, nextKeyMarker: last.commonPrefix };
    return { ...page, nextKeyMarker: last.row.key, nextUploadIdMarker: last.row.upload_id };
  }

  #seqOf(bucket: Bucket, key: string, versionId: string): number | undefined {
    return this.#versions.find(bucket, key, versionId)?.seq;
  }

  #numberOf(bucket: Bucket, key: string, uploadId: string): number | undefined {
    const row = this.#uploadNumber.get(uploadId);
    return row?.bucket_id === bucket.id && row.key === key ? row.id : undefined;
  }

  #toListed(row: ListedRow): ListedObject {
    const listed = {
      key: row.key,
      sizeBytes: row.size_bytes,
      etag: row.etag,
      modifiedAtMs: row.modified_ms,
      storageClass: this.#names.nameOf(row.storage_class!),
      ownerId: this.#names.nameOf(row.owner),
    };
    const checksum = decodeChecksumKind(row.checksum_kind, this.#names);
    return checksum ? { ...listed, checksum } : listed;
  }

  #toListedVersion(row: ListedVersionRow): ListedVersion {
    if (row.is_marker) return toMarker(row, row.key, this.#names);
    return {
      kind: 'object',
      ...this.#toListed(row),
      versionId: row.version_id ?? nullVersionId,
      isLatest: row.is_latest === 1,
    };
  }
}

/** First what is left of the position's key, then the keys after it. */
function readRanked<Row>(
  bucket: Bucket,
  from: KeyPosition,
  until: string,
  limit: number,
  range: Statement<KeyRange, Row>,
  rest: Statement<Rest, Row>,
): Row[] {
  if (from.after === undefined) return range.all(bucket.id, from.key, until, limit);
  const rows = rest.all(bucket.id, from.key, from.after, limit);
  if (rows.length < limit) rows.push(...range.all(bucket.id, nextKey(from.key), until, limit - rows.length));
  return rows;
}

/**
 * Where a listing starts that goes on after a key, or after one row of it. When that row is gone meanwhile, as for a
 * client that deletes each page before it asks for the next, it starts with the key's first row: to repeat is better
 * than to skip.
 */
function startAfterMarkers(
  query: VersionQuery | UploadQuery,
  rowMarker: string | undefined,
  rankOf: (key: string, rowMarker: string) => number | undefined,
): KeyPosition {
  const { prefix = '', delimiter, keyMarker } = query;
  if (keyMarker === undefined) return { key: prefix };
  // A marker that equals a common prefix comes from a page that ended with it.
  const isGiven = commonPrefixOf(keyMarker, prefix, delimiter) === keyMarker;
  if (rowMarker === undefined || isGiven) return positionAfterMarker(query, { key: keyMarker }, isGiven);
  const after = rankOf(keyMarker, rowMarker);
  if (after !== undefined) return positionAfterMarker(query, { key: keyMarker, after }, false);
  return keyMarker.startsWith(prefix) ? { key: keyMarker } : positionAfterMarker(query, { key: keyMarker }, false);
}
