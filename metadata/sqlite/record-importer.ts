import type { Database, Statement } from 'better-sqlite3';
import type { PlacedShard, ProviderId, ShardCid, StripeId } from '../../core/model.ts';
import { localSettingPrefix } from '../metadata-store.ts';
import type { MetadataRecord } from '../record-store.ts';
import type { RecordKind } from './change-log.ts';
import type { NameTable } from './name-table.ts';
import { partColumns } from './part-row.ts';
import type { BucketValue, PartValue, ShardValue, StripeValue, UploadValue, VersionValue } from './record-forms.ts';
import { lastNumberSetting } from './record-reader.ts';
import { importingId, versionIndexes } from './schema.ts';
import { encodeShards } from './shard-codec.ts';
import { encodeStripeId } from './stripe-id.ts';
import { stripeColumns, stripeValues } from './stripe-row.ts';
import type { Tally } from './tally.ts';
import { uploadColumns } from './upload-row.ts';
import { encodeChecksumKind, versionColumns } from './version-row.ts';

type Value = string | number | Buffer | null;

/** Writes records into the tables as they are; `ImportFinisher` derives the rest. */
export class RecordImporter {
  readonly #db: Database;
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #put: Record<RecordKind, Statement<Value[]>>;
  readonly #delete: Record<RecordKind, Statement<Value[]>>;

  constructor(parts: { db: Database; names: NameTable; tally: Tally }) {
    const { db } = parts;
    this.#db = db;
    this.#names = parts.names;
    this.#tally = parts.tally;
    const put = (table: string, columns: string) => {
      const values = columns.replaceAll(/\w+/g, '?');
      return db.prepare<Value[]>(`INSERT OR REPLACE INTO ${table} (${columns}) VALUES (${values})`);
    };
    const remove = (table: string, condition: string) => db.prepare<Value[]>(`DELETE FROM ${table} WHERE ${condition}`);
    this.#put = {
      setting: put('settings', 'name, value'),
      provider: put('providers', 'id, record'),
      bucket: put('buckets', 'id, name, owner_id, region, created_ms, versioning, profile_name, etags'),
      stripe: put('stripes', stripeColumns),
      version: put('versions', `bucket_id, key, ${versionColumns}`),
      upload: put('uploads', uploadColumns),
      part: put('parts', `upload, ${partColumns}`),
    };
    this.#delete = {
      setting: remove('settings', 'name = +?'),
      provider: remove('providers', 'id = +?'),
      bucket: remove('buckets', 'id = +?'),
      stripe: remove('stripes', 'id = +?'),
      version: remove('versions', 'id = +?'),
      upload: remove('uploads', 'id = +?'),
      part: remove('parts', 'upload = +? AND part_number = +?'),
    };
  }

  /** Marks the database as one that is being filled. @throws Error when there is something in it */
  begin(): void {
    const tables = ['buckets', 'versions', 'uploads', 'stripes', 'system_objects'];
    for (const table of tables) {
      if (this.#db.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get()) {
        throw new Error(`records can only be imported into a fresh metadata store, and this one has ${table}`);
      }
    }
    this.#db.pragma(`application_id = ${importingId}`);
    for (const index of Object.keys(versionIndexes)) this.#db.exec(`DROP INDEX ${index}`);
  }

  add(records: readonly MetadataRecord[]): void {
    for (const { kind, key, value } of records) {
      if (kind === 'version' || kind === 'upload') this.#tally.useNumber(Number(key));
      if (kind === 'setting' && key === lastNumberSetting) this.#tally.useNumber(Number(value));
      else if (value === null) this.#delete[kind].run(...keyValues(kind, key));
      else if (kind !== 'setting' || !key.startsWith(localSettingPrefix))
        this.#put[kind].run(...this.#rowOf(kind, key, value));
    }
  }

  #rowOf(kind: RecordKind, key: string, value: unknown): Value[] {
    if (kind === 'setting') return [key, value as string];
    if (kind === 'provider') return [key, JSON.stringify(value)];
    if (kind === 'bucket') return bucketRow(Number(key), value as BucketValue);
    if (kind === 'stripe') return this.#stripeRow(key as StripeId, value as StripeValue);
    if (kind === 'version') return this.#versionRow(Number(key), value as VersionValue);
    if (kind === 'upload') return this.#uploadRow(Number(key), value as UploadValue);
    return this.#partRow(keyValues(kind, key), value as PartValue);
  }

  #stripeRow(stripeId: StripeId, value: StripeValue): Value[] {
    const shards = value.shards.map(toShard);
    const lostShards = value.lostShards?.map(toShard) ?? [];
    return stripeValues(
      encodeStripeId(stripeId),
      { ...value, shards, lostShards },
      {
        profile: this.#names.numberOf(value.profile),
        live_bytes: 0,
        freed_ms: value.freedMs ?? null,
        shards: encodeShards({ shards, lostShards }, this.#names),
        placement: null,
        degraded_ms: value.degradedMs ?? null,
      },
    );
  }

  #versionRow(id: number, { bucket, key, seq, versionId, owner, modifiedMs, object }: VersionValue): Value[] {
    this.#tally.useNumber(seq);
    const isMarker = object ? 0 : 1;
    // Whether it is the latest is settled at the end.
    const common = [bucket, key, id, seq, versionId, 1, isMarker, this.#names.numberOf(owner), modifiedMs];
    if (!object) return [...common, 0, '', null, null, null, null, null, null];
    return [
      ...common,
      object.sizeBytes,
      object.etag,
      this.#names.numberOf(object.storageClass),
      encodeChecksumKind(object.checksum, this.#names),
      object.checksum?.value ?? null,
      toJson(object.attributes),
      toJson(object.parts),
      toBlob(object.spans),
    ];
  }

  #uploadRow(id: number, value: UploadValue): Value[] {
    return [
      id,
      value.uploadId,
      value.bucket,
      value.key,
      this.#names.numberOf(value.owner),
      this.#names.numberOf(value.initiator),
      value.initiatedMs,
      this.#names.numberOf(value.storageClass),
      toJson(value.attributes),
      value.checksumAlgorithm ?? null,
      value.checksumType ?? null,
      value.completed?.ms ?? null,
      toJson(value.completed?.completion),
    ];
  }

  #partRow(key: Value[], value: PartValue): Value[] {
    return [
      ...key,
      this.#tally.useNumber(value.number),
      value.modifiedMs,
      value.sizeBytes,
      value.etag,
      encodeChecksumKind(value.checksum, this.#names),
      value.checksum?.value ?? null,
      toBlob(value.spans),
    ];
  }
}

function keyValues(kind: RecordKind, key: string): Value[] {
  if (kind === 'setting' || kind === 'provider') return [key];
  if (kind === 'stripe') return [encodeStripeId(key as StripeId)];
  return key.split('/').map(Number);
}

function toShard([index, providerId, cid]: ShardValue): PlacedShard {
  return { index, providerId: providerId as ProviderId, cid: cid as ShardCid };
}

function bucketRow(id: number, value: BucketValue): Value[] {
  const { name, ownerId, region, createdAtMs, versioning, profileName, etags } = value;
  return [id, name, ownerId, region, createdAtMs, versioning, profileName ?? null, etags ?? null];
}

function toJson(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function toBlob(base64: string | undefined): Buffer | null {
  return base64 === undefined ? null : Buffer.from(base64, 'base64');
}
