import type { Database, Statement } from 'better-sqlite3';
import type { StripeId } from '../../core/model.ts';
import { encodeStripeId } from './stripe-id.ts';
import { neededBytesOf, type StripeRow } from './stripe-row.ts';
import type { Tally } from './tally.ts';

/**
 * Who refers to which stripe with how many bytes: rows of versions, uploads and system objects, by number. The sum for each
 * stripe, its live bytes, is added up in memory and written once a batch: the objects of a pack arrive together.
 */
export class StripeReferences {
  readonly #tally: Tally;
  readonly #add: Statement<[Buffer, number, number]>;
  readonly #drop: Statement<[Buffer, number], { bytes: number }>;
  readonly #dropUse: Statement<[number, Buffer, number], { uses: number }>;
  readonly #owners: Statement<[Buffer], { owner_id: number }>;
  readonly #addLive: Statement<[number, Buffer], Pick<StripeRow, 'live_bytes' | 'k' | 'm'>>;
  readonly #pending = new Map<StripeId, number>();
  /** What was added to `#pending` since the mark. */
  #unmarked: [id: StripeId, bytes: number][] = [];

  constructor(parts: { db: Database; tally: Tally }) {
    const { db } = parts;
    this.#tally = parts.tally;
    this.#add = db.prepare(`
      INSERT INTO stripe_refs VALUES (?, ?, 1, ?)
      ON CONFLICT DO UPDATE SET uses = uses + 1, bytes = bytes + excluded.bytes`);
    this.#drop = db.prepare('DELETE FROM stripe_refs WHERE stripe_id = +? AND owner_id = +? RETURNING bytes');
    this.#dropUse = db.prepare(`
      UPDATE stripe_refs SET uses = uses - 1, bytes = bytes - ? WHERE stripe_id = +? AND owner_id = +?
      RETURNING uses`);
    this.#owners = db.prepare('SELECT owner_id FROM stripe_refs WHERE stripe_id = +? ORDER BY owner_id');
    this.#addLive = db.prepare(`
      UPDATE stripes SET live_bytes = live_bytes + ? WHERE id = +? RETURNING live_bytes, k, m`);
  }

  /** With `isCounted`, the bytes are among the live bytes of the stripe's row already. */
  add(stripe: Buffer, id: StripeId, ownerId: number, bytes: number, isCounted = false): void {
    this.#add.run(stripe, ownerId, bytes);
    if (!isCounted) this.#count(id, bytes);
  }

  /** Drops all that an owner has in a stripe. */
  drop(stripe: Buffer, id: StripeId, ownerId: number): void {
    const dropped = this.#drop.get(stripe, ownerId);
    if (dropped) this.#count(id, -dropped.bytes);
  }

  /** Drops what one of several parts of an owner has in a stripe. */
  dropUse(stripe: Buffer, id: StripeId, ownerId: number, bytes: number): void {
    this.#count(id, -bytes);
    if (this.#dropUse.get(bytes, stripe, ownerId)?.uses === 0) this.#drop.get(stripe, ownerId);
  }

  ownersOf(id: StripeId): number[] {
    return this.#owners.all(Buffer.from(id, 'hex')).map((row) => row.owner_id);
  }

  /** Writes the live bytes of one stripe now, as before it is forgotten. */
  settle(id: StripeId): void {
    const bytes = this.#pending.get(id) ?? 0;
    if (bytes === 0) return;
    const row = this.#addLive.get(bytes, encodeStripeId(id));
    this.#count(id, -bytes);
    // A reference to a stripe that is not there can only come from an import.
    if (row)
      this.#tally.add('neededBytes', neededBytesOf(row.live_bytes, row) - neededBytesOf(row.live_bytes - bytes, row));
  }

  mark(): void {
    this.#unmarked = [];
  }

  rewind(): void {
    for (const [id, bytes] of this.#unmarked) this.#pending.set(id, this.#pending.get(id)! - bytes);
    this.#unmarked = [];
  }

  save(): void {
    for (const id of this.#pending.keys()) this.settle(id);
    this.reload();
  }

  reload(): void {
    this.#pending.clear();
    this.#unmarked = [];
  }

  #count(id: StripeId, bytes: number): void {
    if (bytes === 0) return;
    this.#pending.set(id, (this.#pending.get(id) ?? 0) + bytes);
    this.#unmarked.push([id, bytes]);
  }
}
