import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database, Statement } from 'better-sqlite3';
import type { StripeId } from '../../core/model.ts';
import type { MoveExtents, StripeReference } from '../metadata-store.ts';
import type { BucketTable } from './bucket-table.ts';
import { type ChangeLog, partKey } from './change-log.ts';
import { MovePlan } from './move-plan.ts';
import type { NameTable } from './name-table.ts';
import { type PartRow, partColumns, toPart } from './part-row.ts';
import { decodeSpans, encodeSpans, type StripeBytes, stripeBytesOf, stripeBytesOfBlob } from './span-codec.ts';
import { encodeStripeId } from './stripe-id.ts';
import type { StripeReferences } from './stripe-references.ts';
import type { StripeTable } from './stripe-table.ts';
import { type UploadRow, uploadColumns } from './upload-row.ts';
import type { VersionCache } from './version-cache.ts';
import { toObject } from './version-row.ts';
import type { VersionTable } from './version-table.ts';

/** A stripe may hold thousands of small objects; after so many owners, the event loop has a turn. */
const ownersPerTurn = 128;

/** Who lies in a stripe, and how they come to lie elsewhere: what compaction needs. */
export class ExtentMover {
  readonly #names: NameTable;
  readonly #changes: ChangeLog;
  readonly #buckets: BucketTable;
  readonly #references: StripeReferences;
  readonly #stripes: StripeTable;
  readonly #versions: VersionTable;
  readonly #cache: VersionCache;
  readonly #findUpload: Statement<[number], UploadRow>;
  readonly #partsIn: Statement<[number, Buffer], PartRow>;
  readonly #allParts: Statement<[number], PartRow>;
  readonly #setVersion: Statement<[Buffer | null, number]>;
  readonly #setPart: Statement<[Buffer | null, number, number]>;

  constructor(parts: {
    db: Database;
    names: NameTable;
    changes: ChangeLog;
    buckets: BucketTable;
    references: StripeReferences;
    stripes: StripeTable;
    versions: VersionTable;
    cache: VersionCache;
  }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#changes = parts.changes;
    this.#buckets = parts.buckets;
    this.#references = parts.references;
    this.#stripes = parts.stripes;
    this.#versions = parts.versions;
    this.#cache = parts.cache;
    this.#findUpload = db.prepare(`SELECT ${uploadColumns} FROM uploads WHERE id = +?`);
    const select = `SELECT ${partColumns} FROM parts WHERE upload = +? AND`;
    this.#partsIn = db.prepare(`${select} instr(spans, ?) > 0 ORDER BY part_number`);
    this.#allParts = db.prepare(`${select} spans IS NOT NULL ORDER BY part_number`);
    this.#setVersion = db.prepare('UPDATE versions SET spans = ? WHERE id = +?');
    this.#setPart = db.prepare('UPDATE parts SET spans = ? WHERE upload = +? AND part_number = +?');
  }

  async listReferences(id: StripeId): Promise<StripeReference[]> {
    const found: StripeReference[] = [];
    for (const [index, owner] of this.#references.ownersOf(id).entries()) {
      if (index > 0 && index % ownersPerTurn === 0) await nextTurn();
      found.push(...this.#referencesOf(owner, id));
    }
    return found;
  }

  move({ moves, stripes }: MoveExtents): void {
    this.#cache.clear();
    this.#stripes.requireLive(new Set(moves.map(({ to }) => to.stripeId)), stripes);
    const plan = new MovePlan(moves);
    const owners = new Set<number>();
    for (const id of plan.sources()) for (const owner of this.#references.ownersOf(id)) owners.add(owner);
    // Those in which nothing comes to lie are freed when everything has moved.
    this.#stripes.registerLive(stripes);
    for (const owner of owners) this.#moveOwner(owner, plan);
    for (const { id } of stripes) this.#stripes.freeUnreferenced(id);
    for (const id of plan.sources()) this.#stripes.freeUnreferenced(id);
  }

  #moveOwner(owner: number, plan: MovePlan): void {
    const version = this.#versions.findNumber(owner);
    if (version) {
      const spans = moveBlob(version.spans, plan);
      if (!spans) return;
      this.#setVersion.run(spans, owner);
      this.#changes.add('version', owner);
      this.#redirect(owner, stripeBytesOfBlob(version.spans), stripeBytesOfBlob(spans), false);
      return;
    }
    for (const part of this.#allParts.all(owner)) {
      const spans = moveBlob(part.spans, plan);
      if (!spans) continue;
      this.#setPart.run(spans, owner, part.part_number);
      this.#changes.add('part', partKey(owner, part.part_number));
      this.#redirect(owner, stripeBytesOfBlob(part.spans), stripeBytesOfBlob(spans), true);
    }
  }

  /** Lets an owner refer to the stripes of `after` in place of those of `before`. */
  #redirect(owner: number, before: StripeBytes, after: StripeBytes, isPart: boolean): void {
    for (const [id, bytes] of after) this.#references.add(encodeStripeId(id), id, owner, bytes);
    for (const [id, bytes] of before) {
      // The parts that a version was made of are counted as uses, so what it leaves is dropped whole.
      const staysCounted = isPart || after.has(id);
      if (staysCounted) this.#references.dropUse(encodeStripeId(id), id, owner, bytes);
      else this.#references.drop(encodeStripeId(id), id, owner);
    }
  }

  #referencesOf(owner: number, id: StripeId): StripeReference[] {
    const version = this.#versions.findNumber(owner);
    if (version) {
      const bucket = this.#buckets.findId(version.bucket_id);
      if (!bucket || version.is_marker || !stripeBytesOfBlob(version.spans).has(id)) return [];
      return [{ kind: 'version', bucket, number: owner, version: toObject(version, version.key, this.#names) }];
    }
    const upload = this.#findUpload.get(owner);
    const bucket = upload && this.#buckets.findId(upload.bucket_id);
    if (!bucket) return [];
    const { key, upload_id: uploadId } = upload;
    return this.#partsIn.all(owner, Buffer.from(id, 'hex')).flatMap((row): StripeReference[] => {
      const part = toPart(row, this.#names);
      // The bytes of the id may stand in a blob by chance.
      if (!stripeBytesOf(part.spans).has(id)) return [];
      return [{ kind: 'part', bucket, number: row.number, key, uploadId, part }];
    });
  }
}

function moveBlob(blob: Buffer | null, plan: MovePlan): Buffer | undefined {
  const moved = plan.moveSpans(decodeSpans(blob));
  return moved && encodeSpans(moved);
}
