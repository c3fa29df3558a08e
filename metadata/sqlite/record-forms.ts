import type { Bucket, Checksum, PlacedShard } from '../../core/model.ts';
import type { MetadataRecord } from '../record-store.ts';
import { partKey } from './change-log.ts';
import type { NameTable } from './name-table.ts';
import type { PartRow } from './part-row.ts';
import type { ProviderRow } from './provider-table.ts';
import { decodeShards } from './shard-codec.ts';
import { decodeStripeId } from './stripe-id.ts';
import type { StripeRow } from './stripe-row.ts';
import type { UploadRow } from './upload-row.ts';
import { decodeChecksum } from './version-row.ts';
import type { StoredVersionRow } from './version-table.ts';

/*
 * The values of records (docs/metadata-schema.md): what rows hold, with words in place of the numbers that stand for them in
 * this database. What follows from other rows is left out: which version is the latest, references, live bytes, totals.
 */

export type BucketValue = Omit<Bucket, 'id'>;

export interface VersionValue {
  readonly bucket: number;
  readonly key: string;
  readonly seq: number;
  /** Null for the `null` version. */
  readonly versionId: string | null;
  readonly owner: string;
  readonly modifiedMs: number;
  /** Absent for a delete marker. */
  readonly object?: {
    readonly sizeBytes: number;
    readonly etag: string;
    readonly storageClass: string;
    readonly checksum?: Checksum;
    /** As `encodeAttributes` has them. */
    readonly attributes?: unknown;
    /** As `encodeParts` has them. */
    readonly parts?: unknown;
    /** As `encodeSpans` has them, in base64. */
    readonly spans?: string;
  };
}

export interface UploadValue {
  readonly uploadId: string;
  readonly bucket: number;
  readonly key: string;
  readonly owner: string;
  readonly initiator: string;
  readonly initiatedMs: number;
  readonly storageClass: string;
  readonly attributes?: unknown;
  readonly checksumAlgorithm?: string;
  readonly checksumType?: string;
  readonly completed?: { readonly ms: number; readonly completion: unknown };
}

export interface PartValue {
  readonly number: number;
  readonly modifiedMs: number;
  readonly sizeBytes: number;
  readonly etag: string;
  readonly checksum?: Checksum;
  readonly spans?: string;
}

export interface StripeValue {
  readonly profile: string;
  readonly k: number;
  readonly m: number;
  readonly blockBytes: number;
  readonly dataBytes: number;
  readonly manifestBytes: number;
  readonly shardCount: number;
  readonly storedBytes: number;
  readonly freedMs?: number;
  readonly degradedMs?: number;
  readonly shards: readonly ShardValue[];
  readonly lostShards?: readonly ShardValue[];
}

export type ShardValue = readonly [index: number, provider: string, cid: string];

export function toBucketRecord({ id, ...value }: Bucket): MetadataRecord {
  return { kind: 'bucket', key: `${id}`, value: value satisfies BucketValue };
}

export function toVersionRecord(row: StoredVersionRow, names: NameTable): MetadataRecord {
  const common = {
    bucket: row.bucket_id,
    key: row.key,
    seq: row.seq,
    versionId: row.version_id,
    owner: names.nameOf(row.owner),
    modifiedMs: row.modified_ms,
  };
  const value: VersionValue = row.is_marker ? common : { ...common, object: toObjectValue(row, names) };
  return { kind: 'version', key: `${row.id}`, value };
}

function toObjectValue(row: StoredVersionRow, names: NameTable): NonNullable<VersionValue['object']> {
  return {
    sizeBytes: row.size_bytes,
    etag: row.etag,
    storageClass: names.nameOf(row.storage_class!),
    ...checksumOf(row, names),
    ...(row.attributes !== null && { attributes: JSON.parse(row.attributes) as unknown }),
    ...(row.parts !== null && { parts: JSON.parse(row.parts) as unknown }),
    ...(row.spans !== null && { spans: row.spans.toString('base64') }),
  };
}

export function toUploadRecord(row: UploadRow, names: NameTable): MetadataRecord {
  const value: UploadValue = {
    uploadId: row.upload_id,
    bucket: row.bucket_id,
    key: row.key,
    owner: names.nameOf(row.owner),
    initiator: names.nameOf(row.initiator),
    initiatedMs: row.initiated_ms,
    storageClass: names.nameOf(row.storage_class),
    ...(row.attributes !== null && { attributes: JSON.parse(row.attributes) as unknown }),
    ...(row.checksum_algorithm !== null && { checksumAlgorithm: row.checksum_algorithm }),
    ...(row.checksum_type !== null && { checksumType: row.checksum_type }),
    ...(row.completed_ms !== null && {
      completed: { ms: row.completed_ms, completion: JSON.parse(row.completion!) as unknown },
    }),
  };
  return { kind: 'upload', key: `${row.id}`, value };
}

export function toPartRecord(row: PartRow & { readonly upload: number }, names: NameTable): MetadataRecord {
  const value: PartValue = {
    number: row.number,
    modifiedMs: row.modified_ms,
    sizeBytes: row.size_bytes,
    etag: row.etag,
    ...checksumOf(row, names),
    ...(row.spans !== null && { spans: row.spans.toString('base64') }),
  };
  return { kind: 'part', key: partKey(row.upload, row.part_number), value };
}

export function toStripeRecord(row: StripeRow, names: NameTable): MetadataRecord {
  const { shards, lostShards } = decodeShards(row.shards, names);
  const value: StripeValue = {
    profile: names.nameOf(row.profile),
    k: row.k,
    m: row.m,
    blockBytes: row.block_bytes,
    dataBytes: row.data_bytes,
    manifestBytes: row.manifest_bytes,
    shardCount: row.shard_count,
    storedBytes: row.stored_bytes,
    ...(row.freed_ms !== null && { freedMs: row.freed_ms }),
    ...(row.freed_ms === null && row.degraded_ms !== null && { degradedMs: row.degraded_ms }),
    shards: shards.map(toShardValue),
    ...(lostShards && { lostShards: lostShards.map(toShardValue) }),
  };
  return { kind: 'stripe', key: decodeStripeId(row.id), value };
}

export function toProviderRecord({ id, record }: ProviderRow): MetadataRecord {
  return { kind: 'provider', key: id, value: JSON.parse(record) as unknown };
}

function toShardValue({ index, providerId, cid }: PlacedShard): ShardValue {
  return [index, providerId, cid];
}

function checksumOf(row: Pick<PartRow, 'checksum_kind' | 'checksum_value'>, names: NameTable): { checksum?: Checksum } {
  const checksum = decodeChecksum(row.checksum_kind, row.checksum_value, names);
  return checksum ? { checksum } : {};
}
