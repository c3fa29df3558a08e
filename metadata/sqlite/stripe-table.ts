import type { Database, Statement } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import type { Extent, PlacedShard, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import type { NewStripe } from '../metadata-store.ts';
import { decodeStripeId, encodeStripeId, stripesOfExtents } from './extent-codec.ts';
import type { NameTable } from './name-table.ts';
import { decodeShards, digestOfCid, encodeShards, headOfDigest, headsOfShards } from './shard-codec.ts';
import type { Tally } from './tally.ts';

interface StripeRow {
  readonly id: Buffer;
  readonly profile: number;
  readonly k: number;
  readonly m: number;
  readonly block_bytes: number;
  readonly data_bytes: number;
  readonly shard_count: number;
  readonly placed_count: number;
  readonly freed_ms: number | null;
  readonly shards: Buffer;
}

type NewStripeRow = [Buffer, number, number, number, number, number, number, number, number | null, Buffer];

/** Stripes, where their shards lie, and which versions and parts refer to them. */
export class StripeTable {
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #clock: Clock;
  readonly #find: Statement<[Buffer], StripeRow>;
  readonly #findState: Statement<[Buffer], Pick<StripeRow, 'freed_ms'>>;
  readonly #insert: Statement<NewStripeRow>;
  readonly #place: Statement<[Buffer, number, Buffer]>;
  readonly #free: Statement<[number, Buffer], { degraded: 0 | 1 }>;
  readonly #delete: Statement<[Buffer]>;
  readonly #listDegraded: Statement<[number], StripeRow>;
  readonly #listFreed: Statement<[number, number], StripeRow>;
  readonly #addRef: Statement<[Buffer, number]>;
  readonly #dropRef: Statement<[Buffer, number]>;
  readonly #dropUse: Statement<[Buffer, number], { uses: number }>;
  readonly #addCid: Statement<[number, Buffer]>;
  readonly #dropCid: Statement<[number, Buffer]>;
  readonly #findCid: Statement<[number], Pick<StripeRow, 'shards'>>;

  constructor(parts: { db: Database; names: NameTable; tally: Tally; clock: Clock }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#tally = parts.tally;
    this.#clock = parts.clock;
    this.#find = db.prepare('SELECT * FROM stripes WHERE id = +?');
    this.#findState = db.prepare('SELECT freed_ms FROM stripes WHERE id = +?');
    this.#insert = db.prepare('INSERT INTO stripes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING');
    this.#place = db.prepare('UPDATE stripes SET shards = ?, placed_count = ? WHERE id = +?');
    this.#free = db.prepare(`
      UPDATE stripes SET freed_ms = ?
      WHERE id = +? AND freed_ms IS NULL AND NOT EXISTS (SELECT 1 FROM stripe_refs WHERE stripe_id = stripes.id)
      RETURNING placed_count < shard_count AS degraded`);
    this.#delete = db.prepare('DELETE FROM stripes WHERE id = +?');
    this.#listDegraded = db.prepare(`
      SELECT * FROM stripes INDEXED BY stripes_degraded WHERE placed_count < shard_count AND freed_ms IS NULL
      ORDER BY m - shard_count + placed_count LIMIT +?`);
    this.#listFreed = db.prepare(`
      SELECT * FROM stripes INDEXED BY stripes_freed WHERE freed_ms < +? ORDER BY freed_ms LIMIT +?`);
    this.#addRef = db.prepare('INSERT INTO stripe_refs VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET uses = uses + 1');
    this.#dropRef = db.prepare('DELETE FROM stripe_refs WHERE stripe_id = +? AND owner_id = +?');
    this.#dropUse = db.prepare(`
      UPDATE stripe_refs SET uses = uses - 1 WHERE stripe_id = +? AND owner_id = +? RETURNING uses`);
    this.#addCid = db.prepare('INSERT INTO shard_cids VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#dropCid = db.prepare('DELETE FROM shard_cids WHERE cid_head = +? AND stripe_id = +?');
    this.#findCid = db.prepare(`
      SELECT shards FROM shard_cids JOIN stripes ON stripes.id = shard_cids.stripe_id WHERE cid_head = +?`);
  }

  /** @throws Failure `stripe-missing` when an extent lies in a stripe that is neither in `stripes` nor live */
  requireLive(extents: readonly Extent[], stripes: readonly NewStripe[]): void {
    const missing = new Set(stripesOf(extents));
    for (const stripe of stripes) missing.delete(stripe.id);
    for (const stripeId of missing) {
      if (this.#findState.get(encodeStripeId(stripeId))?.freed_ms !== null) {
        throw new Failure('stripe-missing', { stripeId });
      }
    }
  }

  /**
   * Registers new stripes, and lets the row `ownerId` (of a version or an upload) refer to all stripes that the
   * extents lie in. A new stripe in which no extent lies starts as freed, so that it is collected.
   *
   * @throws Failure `stripe-missing` when a new stripe was registered before, along with another object in it, and
   *   freed
   */
  register(stripes: readonly NewStripe[], extents: readonly Extent[], ownerId: number): void {
    const referred = stripesOf(extents);
    for (const stripe of stripes) this.#insertStripe(stripe, referred.has(stripe.id) ? null : this.#clock.now());
    for (const id of referred) this.#addRef.run(encodeStripeId(id), ownerId);
  }

  /** A version is gone, with all its references. */
  releaseVersion(ownerId: number, extents: Buffer | null): void {
    for (const id of stripesOfExtents(extents)) {
      this.#dropRef.run(id, ownerId);
      this.#freeUnreferenced(id);
    }
  }

  /** One part of an upload is gone; others of it may lie in the same stripes. */
  releasePart(ownerId: number, extents: Buffer | null): void {
    for (const id of stripesOfExtents(extents)) {
      if (this.#dropUse.get(id, ownerId)?.uses !== 0) continue;
      this.#dropRef.run(id, ownerId);
      this.#freeUnreferenced(id);
    }
  }

  find(ids: readonly StripeId[]): Map<StripeId, Stripe> {
    const found = new Map<StripeId, Stripe>();
    for (const id of ids) {
      const row = this.#find.get(Buffer.from(id, 'hex'));
      if (row) found.set(id, this.#toStripe(row, id));
    }
    return found;
  }

  /** @throws Failure `stripe-missing` */
  recordShard(stripeId: StripeId, shard: PlacedShard): void {
    const row = this.#find.get(Buffer.from(stripeId, 'hex'));
    if (!row) throw new Failure('stripe-missing', { stripeId });
    const others = decodeShards(row.shards, this.#names).filter((other) => other.index !== shard.index);
    const shards = [...others, shard].sort((a, b) => a.index - b.index);
    const placed = encodeShards(shards, this.#names);
    this.#place.run(placed, shards.length, row.id);
    for (const head of headsOfShards(row.shards)) this.#dropCid.run(head, row.id);
    for (const head of headsOfShards(placed)) this.#addCid.run(head, row.id);
    const wasDegraded = row.placed_count < row.shard_count;
    const isDegraded = shards.length < row.shard_count;
    if (row.freed_ms === null && wasDegraded && !isDegraded) this.#tally.add('degradedStripes', -1);
  }

  listDegraded(limit: number): Stripe[] {
    return this.#listDegraded.all(limit).map((row) => this.#toStripe(row));
  }

  listFreed(beforeMs: number, limit: number): Stripe[] {
    return this.#listFreed.all(beforeMs, limit).map((row) => this.#toStripe(row));
  }

  knownShards(cids: readonly ShardCid[]): Set<ShardCid> {
    const known = new Set<ShardCid>();
    for (const cid of cids) {
      const digest = digestOfCid(cid);
      if (!digest) continue;
      // The index holds only the head of a digest; the stripe's row has all of it.
      const candidates = this.#findCid.all(headOfDigest(digest));
      if (candidates.some((row) => row.shards.includes(digest))) known.add(cid);
    }
    return known;
  }

  /** Drops a freed stripe; does nothing to any other. */
  forget(id: StripeId): void {
    const row = this.#find.get(Buffer.from(id, 'hex'));
    if (!row || row.freed_ms === null) return;
    for (const head of headsOfShards(row.shards)) this.#dropCid.run(head, row.id);
    this.#delete.run(row.id);
    this.#tally.add('freedStripes', -1);
  }

  #insertStripe(stripe: NewStripe, freedMs: number | null): void {
    const id = encodeStripeId(stripe.id);
    const { k, m, blockBytes, dataBytes, shardCount, shards } = stripe;
    const profile = this.#names.numberOf(stripe.profileName);
    const placed = encodeShards(shards, this.#names);
    const row: NewStripeRow = [id, profile, k, m, blockBytes, dataBytes, shardCount, shards.length, freedMs, placed];
    if (this.#insert.run(...row).changes === 0) {
      if (this.#findState.get(id)?.freed_ms !== null) throw new Failure('stripe-missing', { stripeId: stripe.id });
      return;
    }
    for (const head of headsOfShards(placed)) this.#addCid.run(head, id);
    this.#tally.add(freedMs === null ? 'liveStripes' : 'freedStripes', 1);
    if (freedMs === null && shards.length < shardCount) this.#tally.add('degradedStripes', 1);
  }

  #freeUnreferenced(id: Buffer): void {
    const freed = this.#free.get(this.#clock.now(), id);
    if (!freed) return;
    this.#tally.add('liveStripes', -1);
    this.#tally.add('freedStripes', 1);
    if (freed.degraded) this.#tally.add('degradedStripes', -1);
  }

  #toStripe(row: StripeRow, id: StripeId = decodeStripeId(row.id)): Stripe {
    return {
      id,
      profileName: this.#names.nameOf(row.profile),
      k: row.k,
      m: row.m,
      blockBytes: row.block_bytes,
      dataBytes: row.data_bytes,
      shards: decodeShards(row.shards, this.#names),
    };
  }
}

function stripesOf(extents: readonly Extent[]): Set<StripeId> {
  const ids = new Set<StripeId>();
  for (const extent of extents) ids.add(extent.stripeId);
  return ids;
}
