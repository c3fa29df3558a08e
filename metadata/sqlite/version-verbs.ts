import { Failure } from '../../core/failure.ts';
import type { Bucket, ObjectVersion, StoredContent, Version, VersionId, WriteCondition } from '../../core/model.ts';
import type { DeleteOutcome, DeleteVersion, PutVersion } from '../metadata-store.ts';
import type { BucketTable } from './bucket-table.ts';
import type { NameTable } from './name-table.ts';
import { encodeSpans, stripeBytesOf } from './span-codec.ts';
import type { StripeTable } from './stripe-table.ts';
import type { Tally } from './tally.ts';
import type { VersionCache } from './version-cache.ts';
import { makeVersionId, nullVersionId } from './version-id.ts';
import {
  decodeAttributes,
  encodeAttributes,
  encodeChecksumKind,
  encodeParts,
  toObject,
  toVersion,
  type VersionRow,
} from './version-row.ts';
import type { VersionTable } from './version-table.ts';

/** What a new object version consists of, its stripes aside. */
export type NewObject = Omit<PutVersion, 'bucket' | 'stripes' | 'condition' | 'content'> & {
  readonly content: Omit<StoredContent, 'spans'>;
};

/** Object versions and delete markers, by the rules of S3 versioning. Writes run inside the write queue. */
export class VersionVerbs {
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #buckets: BucketTable;
  readonly #stripes: StripeTable;
  readonly #versions: VersionTable;
  readonly #cache: VersionCache;

  constructor(parts: {
    names: NameTable;
    tally: Tally;
    buckets: BucketTable;
    stripes: StripeTable;
    versions: VersionTable;
    cache: VersionCache;
  }) {
    this.#names = parts.names;
    this.#tally = parts.tally;
    this.#buckets = parts.buckets;
    this.#stripes = parts.stripes;
    this.#versions = parts.versions;
    this.#cache = parts.cache;
  }

  put(request: PutVersion): ObjectVersion {
    const bucket = this.#buckets.require(request.bucket);
    const { key, content, attributes } = request;
    const latest = this.#versions.findLatest(bucket, key);
    this.requireCondition(bucket, key, latest, request.condition);
    const referred = stripeBytesOf(content.spans);
    this.#stripes.requireLive(referred.keys(), request.stripes);
    this.#stripes.register(request.stripes, referred, this.#tally.useNumber(request.number));
    const versionId = this.addObject(bucket, latest, request, encodeSpans(content.spans) ?? null);
    return {
      kind: 'object',
      key,
      versionId,
      ownerId: request.ownerId,
      modifiedAtMs: request.modifiedAtMs,
      isLatest: true,
      ...attributes,
      ...content,
      parts: request.parts ?? [],
    };
  }

  /**
   * Adds the row of an object version, in place of what it replaces. The row of its number must refer to the stripes of
   * `spans` already, so that stripes that it shares with what it replaces stay live throughout.
   */
  addObject(bucket: Bucket, latest: VersionRow | undefined, object: NewObject, spans: Buffer | null): VersionId {
    const { key, content, attributes } = object;
    this.#versions.makeWay(bucket, key, latest);
    const versionId = bucket.versioning === 'enabled' ? makeVersionId(object.number) : null;
    this.#versions.addLatest({
      bucketId: bucket.id,
      key,
      id: object.number,
      seq: this.#tally.useNumber(this.#tally.drawNumber()),
      version_id: versionId,
      is_marker: 0,
      owner: this.#names.numberOf(object.ownerId),
      modified_ms: object.modifiedAtMs,
      size_bytes: content.sizeBytes,
      etag: content.etag,
      storage_class: this.#names.numberOf(attributes.storageClass),
      checksum_kind: encodeChecksumKind(content.checksum, this.#names),
      checksum_value: content.checksum?.value ?? null,
      attributes: encodeAttributes(attributes),
      parts: object.parts ? encodeParts(object.parts) : null,
      spans,
    });
    return versionId ?? nullVersionId;
  }

  find(bucketName: string, key: string, versionId?: VersionId): Version | undefined {
    const bucket = this.#buckets.require(bucketName);
    if (versionId === undefined) return this.#findCurrent(bucket, key);
    const row = this.#versions.find(bucket, key, versionId);
    return row && toVersion(row, key, this.#names);
  }

  /**
   * The current version where it is in memory. What is there is durable: it was read when nothing was under way, and a write to the
   * key would have made the cache forget it.
   */
  findKept(bucketName: string, key: string): Version | undefined {
    const bucket = this.#buckets.find(bucketName);
    return bucket && this.#cache.find(bucket, key);
  }

  #findCurrent(bucket: Bucket, key: string): Version | undefined {
    const cached = this.#cache.find(bucket, key);
    if (cached) return cached;
    const row = this.#versions.findLatest(bucket, key);
    if (!row) return undefined;
    const version = toVersion(row, key, this.#names);
    const { spans, parts, attributes } = row;
    this.#cache.keep(bucket, version, (spans?.length ?? 0) + (parts?.length ?? 0) + (attributes?.length ?? 0));
    return version;
  }

  delete(request: DeleteVersion): DeleteOutcome {
    const bucket = this.#buckets.require(request.bucket);
    const { key, versionId, condition } = request;
    if (versionId !== undefined) {
      const row = this.#versions.find(bucket, key, versionId);
      this.requireCondition(bucket, key, row, condition);
      if (row) this.#versions.remove(bucket, key, row);
      return { kind: 'version-removed', versionId, wasDeleteMarker: row?.is_marker === 1 };
    }
    const latest = this.#versions.findLatest(bucket, key);
    this.requireCondition(bucket, key, latest, condition);
    if (bucket.versioning === 'unversioned') {
      if (latest) this.#versions.remove(bucket, key, latest);
      return { kind: 'removed' };
    }
    return { kind: 'marker-created', versionId: this.#addMarker(bucket, latest, request) };
  }

  setTags(
    bucketName: string,
    key: string,
    versionId: VersionId | undefined,
    tags: Readonly<Record<string, string>>,
  ): ObjectVersion {
    const bucket = this.#buckets.require(bucketName);
    const named = versionId !== undefined;
    const row = named ? this.#versions.find(bucket, key, versionId) : this.#versions.findLatest(bucket, key);
    if (!row) {
      if (named) throw new Failure('version-missing', { bucket: bucketName, key, versionId });
      throw new Failure('object-missing', { bucket: bucketName, key });
    }
    if (row.is_marker) {
      const markerId = row.version_id ?? nullVersionId;
      const modifiedAtMs = row.modified_ms;
      throw new Failure('delete-marker', { bucket: bucketName, key, versionId: markerId, named, modifiedAtMs });
    }
    const storageClass = this.#names.nameOf(row.storage_class!);
    const attributes = encodeAttributes({ ...decodeAttributes(row.attributes, storageClass), tags });
    this.#versions.setAttributes(bucket, key, row, attributes);
    return toObject({ ...row, attributes }, key, this.#names);
  }

  /** @throws Failure `precondition-failed`, or `object-missing` where an ETag must match that no object has */
  requireCondition(
    bucket: Bucket,
    key: string,
    row: VersionRow | undefined,
    condition: WriteCondition | undefined,
  ): void {
    if (!condition) return;
    // To S3 a delete marker is no object.
    const object = row?.is_marker ? undefined : row;
    if (condition.kind === 'absent') {
      if (object) throw new Failure('precondition-failed', { condition: 'If-None-Match' });
    } else if (!object) {
      throw new Failure('object-missing', { bucket: bucket.name, key });
    } else if (condition.etag !== '*' && condition.etag !== object.etag) {
      throw new Failure('precondition-failed', { condition: 'If-Match' });
    }
  }

  #addMarker(bucket: Bucket, latest: VersionRow | undefined, request: DeleteVersion): VersionId {
    this.#versions.makeWay(bucket, request.key, latest);
    const seq = this.#tally.useNumber(this.#tally.drawNumber());
    const versionId = bucket.versioning === 'enabled' ? makeVersionId(seq) : null;
    this.#versions.addLatest({
      bucketId: bucket.id,
      key: request.key,
      id: seq,
      seq,
      version_id: versionId,
      is_marker: 1,
      owner: this.#names.numberOf(request.ownerId),
      modified_ms: request.nowMs,
      size_bytes: 0,
      etag: '',
      storage_class: null,
      checksum_kind: null,
      checksum_value: null,
      attributes: null,
      parts: null,
      spans: null,
    });
    return versionId ?? nullVersionId;
  }
}
