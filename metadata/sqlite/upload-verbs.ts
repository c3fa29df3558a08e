import type { Database, Statement } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import type { Bucket, ObjectVersion, Upload } from '../../core/model.ts';
import type { CompleteUpload, Completion, PartPage, PutPart } from '../metadata-store.ts';
import type { BucketTable } from './bucket-table.ts';
import { type ChangeLog, partKey } from './change-log.ts';
import type { NameTable } from './name-table.ts';
import { type PartRow, partColumns, toPart, toSummary } from './part-row.ts';
import { encodeSpans, stripeBytesOf } from './span-codec.ts';
import type { StripeTable } from './stripe-table.ts';
import type { Tally } from './tally.ts';
import { toUpload, type UploadRow, uploadColumns } from './upload-row.ts';
import { encodeAttributes, encodeChecksumKind, toObject } from './version-row.ts';
import type { VersionTable } from './version-table.ts';
import type { VersionVerbs } from './version-verbs.ts';

/** S3 numbers parts from 1 to 10,000: more rows than that there cannot be. */
const allParts = 10_000;
const maxForgottenAtOnce = 1000;

/**
 * Multipart uploads and their parts. The number of an upload's row becomes that of the version it turns into, so the
 * references of its parts to stripes need not move when it completes.
 */
export class UploadVerbs {
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #clock: Clock;
  readonly #changes: ChangeLog;
  readonly #buckets: BucketTable;
  readonly #stripes: StripeTable;
  readonly #versions: VersionTable;
  readonly #versionVerbs: VersionVerbs;
  readonly #find: Statement<[string], UploadRow>;
  readonly #openOfBucket: Statement<[number], { id: number }>;
  readonly #insert: Statement<(string | number | null)[]>;
  readonly #complete: Statement<[number, string, number]>;
  readonly #delete: Statement<[number]>;
  readonly #forget: Statement<[number], { id: number }>;
  readonly #findPart: Statement<[number, number], PartRow>;
  readonly #listParts: Statement<[number, number, number], PartRow>;
  readonly #putPart: Statement<(string | number | Buffer | null)[]>;
  readonly #deleteParts: Statement<[number], { part_number: number }>;

  constructor(parts: {
    db: Database;
    names: NameTable;
    tally: Tally;
    clock: Clock;
    changes: ChangeLog;
    buckets: BucketTable;
    stripes: StripeTable;
    versions: VersionTable;
    versionVerbs: VersionVerbs;
  }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#tally = parts.tally;
    this.#clock = parts.clock;
    this.#changes = parts.changes;
    this.#buckets = parts.buckets;
    this.#stripes = parts.stripes;
    this.#versions = parts.versions;
    this.#versionVerbs = parts.versionVerbs;
    this.#find = db.prepare(`SELECT ${uploadColumns} FROM uploads WHERE upload_id = +?`);
    this.#openOfBucket = db.prepare(`
      SELECT id FROM uploads INDEXED BY uploads_open WHERE bucket_id = +? AND completed_ms IS NULL`);
    this.#insert = db.prepare(`
      INSERT INTO uploads (${uploadColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)`);
    this.#complete = db.prepare('UPDATE uploads SET completed_ms = ?, completion = ? WHERE id = +?');
    this.#delete = db.prepare('DELETE FROM uploads WHERE id = +?');
    this.#forget = db.prepare(`
      DELETE FROM uploads INDEXED BY uploads_completed WHERE completed_ms < +?
      RETURNING id LIMIT ${maxForgottenAtOnce}`);
    this.#findPart = db.prepare(`SELECT ${partColumns} FROM parts WHERE upload = +? AND part_number = +?`);
    this.#listParts = db.prepare(`
      SELECT ${partColumns} FROM parts WHERE upload = +? AND part_number > +? ORDER BY part_number LIMIT +?`);
    this.#putPart = db.prepare(
      `INSERT OR REPLACE INTO parts (upload, ${partColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#deleteParts = db.prepare('DELETE FROM parts WHERE upload = +? RETURNING part_number');
  }

  create(upload: Upload): void {
    const bucket = this.#buckets.require(upload.bucket);
    const id = this.#tally.useNumber(this.#tally.drawNumber());
    this.#insert.run(
      id,
      upload.uploadId,
      bucket.id,
      upload.key,
      this.#names.numberOf(upload.ownerId),
      this.#names.numberOf(upload.initiatorId),
      upload.initiatedAtMs,
      this.#names.numberOf(upload.attributes.storageClass),
      encodeAttributes(upload.attributes),
      upload.checksumAlgorithm ?? null,
      upload.checksumType ?? null,
    );
    this.#changes.add('upload', id);
  }

  find(bucketName: string, key: string, uploadId: string): Upload | undefined {
    const bucket = this.#buckets.require(bucketName);
    const row = this.#findRow(bucket, key, uploadId);
    return row?.completed_ms === null ? toUpload(row, bucket.name, this.#names) : undefined;
  }

  putPart({ bucket: bucketName, key, uploadId, number, part, stripes }: PutPart): void {
    const { upload } = this.#requireOpen(bucketName, key, uploadId);
    const referred = stripeBytesOf(part.spans);
    this.#stripes.requireLive(referred.keys(), stripes);
    const replaced = this.#findPart.get(upload.id, part.partNumber);
    this.#stripes.register(stripes, referred, upload.id);
    this.#putPart.run(
      upload.id,
      part.partNumber,
      this.#tally.useNumber(number),
      part.modifiedAtMs,
      part.sizeBytes,
      part.etag,
      encodeChecksumKind(part.checksum, this.#names),
      part.checksum?.value ?? null,
      encodeSpans(part.spans) ?? null,
    );
    this.#changes.add('part', partKey(upload.id, part.partNumber));
    if (replaced) this.#stripes.releasePart(upload.id, replaced.spans);
  }

  listParts(bucketName: string, key: string, uploadId: string, after = 0, limit = allParts): PartPage {
    const { bucket, upload } = this.#requireOpen(bucketName, key, uploadId);
    const rows = limit === 0 ? [] : this.#listParts.all(upload.id, after, limit + 1);
    return {
      upload: toUpload(upload, bucket.name, this.#names),
      parts: rows.slice(0, limit).map((row) => toPart(row, this.#names)),
      isTruncated: rows.length > limit,
    };
  }

  complete(request: CompleteUpload): ObjectVersion {
    const { bucket, upload } = this.#requireOpen(request.bucket, request.key, request.uploadId);
    const { key, etag, checksum, modifiedAtMs } = request;
    const { chosen, dropped } = this.#chooseParts(upload, request);
    const latest = this.#versions.findLatest(bucket, key);
    this.#versionVerbs.requireCondition(bucket, key, latest, request.condition);

    const { ownerId, attributes } = toUpload(upload, bucket.name, this.#names);
    const sizeBytes = chosen.reduce((total, row) => total + row.size_bytes, 0);
    const spans = Buffer.concat(chosen.flatMap((row) => row.spans ?? []));
    const content = { sizeBytes, etag, ...(checksum && { checksum }) };
    const parts = chosen.map(toSummary);
    const versionId = this.#versionVerbs.addObject(
      bucket,
      latest,
      { key, number: upload.id, ownerId, modifiedAtMs, content, attributes, parts },
      spans.length === 0 ? null : spans,
    );
    for (const row of dropped) this.#stripes.releasePart(upload.id, row.spans);
    this.#dropParts(upload.id);
    const partTags = request.parts.map(({ partNumber, etag }) => ({ partNumber, etag }));
    const completion: Completion = { etag, versionId, ...(checksum && { checksum }), parts: partTags };
    this.#complete.run(this.#clock.now(), JSON.stringify(completion), upload.id);
    this.#changes.add('upload', upload.id);
    const row = this.#versions.findLatest(bucket, key)!;
    return toObject(row, key, this.#names);
  }

  findCompletion(bucketName: string, key: string, uploadId: string): Completion | undefined {
    const row = this.#findRow(this.#buckets.require(bucketName), key, uploadId);
    return row?.completion ? (JSON.parse(row.completion) as Completion) : undefined;
  }

  abort(bucketName: string, key: string, uploadId: string): void {
    this.#abort(this.#requireOpen(bucketName, key, uploadId).upload.id);
  }

  abortAll(bucket: Bucket): void {
    for (const { id } of this.#openOfBucket.all(bucket.id)) this.#abort(id);
  }

  /** Drops some completions from before then. Returns whether there may be more, so that a commit stays short. */
  forgetCompletions(beforeMs: number): boolean {
    const forgotten = this.#forget.all(beforeMs);
    for (const { id } of forgotten) this.#changes.add('upload', id);
    return forgotten.length === maxForgottenAtOnce;
  }

  #findRow(bucket: Bucket, key: string, uploadId: string): UploadRow | undefined {
    const row = this.#find.get(uploadId);
    return row?.bucket_id === bucket.id && row.key === key ? row : undefined;
  }

  #requireOpen(bucketName: string, key: string, uploadId: string): { bucket: Bucket; upload: UploadRow } {
    const bucket = this.#buckets.require(bucketName);
    const upload = this.#findRow(bucket, key, uploadId);
    if (upload?.completed_ms !== null) throw new Failure('upload-missing', { uploadId });
    return { bucket, upload };
  }

  /** @throws Failure `part-invalid` */
  #chooseParts(upload: UploadRow, request: CompleteUpload): { chosen: PartRow[]; dropped: Iterable<PartRow> } {
    const left = new Map<number, PartRow>();
    for (const row of this.#listParts.all(upload.id, 0, allParts)) left.set(row.part_number, row);
    const chosen = request.parts.map(({ partNumber, etag }) => {
      const row = left.get(partNumber);
      if (row?.etag !== etag) throw new Failure('part-invalid', { uploadId: request.uploadId, partNumber });
      left.delete(partNumber);
      return row;
    });
    return { chosen, dropped: left.values() };
  }

  #abort(id: number): void {
    for (const row of this.#listParts.all(id, 0, allParts)) this.#stripes.releasePart(id, row.spans);
    this.#dropParts(id);
    this.#delete.run(id);
    this.#changes.add('upload', id);
  }

  #dropParts(uploadId: number): void {
    for (const { part_number } of this.#deleteParts.all(uploadId)) {
      this.#changes.add('part', partKey(uploadId, part_number));
    }
  }
}
