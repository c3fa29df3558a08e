import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database, Statement } from 'better-sqlite3';
import { digestOfCid } from '../../core/cid-digest.ts';
import type { Clock } from '../../core/clock.ts';
import { Failure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import type { NewStripe, SparseStripe } from '../metadata-store.ts';
import type { ChangeLog } from './change-log.ts';
import type { LeftoverTally } from './leftover-tally.ts';
import type { NameTable } from './name-table.ts';
import type { PlacementTable } from './placement-table.ts';
import { isSparseStripe, systemProfileNumber, wasteOfStripe } from './schema.ts';
import {
  decodeShards,
  encodeShards,
  headOfDigest,
  headsOfShards,
  holdersOfShards,
  isHeldBy,
  type StripeShards,
} from './shard-codec.ts';
import { type StripeBytes, stripeBytesOfBlob } from './span-codec.ts';
import { encodeStripeId } from './stripe-id.ts';
import type { StripeReferences } from './stripe-references.ts';
import { neededBytesOf, type StripeRow, stripeColumns, stripeValues, toStripe } from './stripe-row.ts';
import type { Tally } from './tally.ts';

/** Decoded stripes in memory: some 1.5 KB each. */
const maxCached = 4096;
/** Freed stripes stand among the live ones; after so many rows, the event loop has a turn. */
const rowsPerTurn = 1024;

type FreedRow = Pick<StripeRow, 'profile' | 'stored_bytes' | 'placement' | 'shards'> & { readonly degraded: 0 | 1 };

/** Stripes, where their shards lie, and when they are freed. */
export class StripeTable {
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #clock: Clock;
  readonly #changes: ChangeLog;
  readonly #references: StripeReferences;
  readonly #placements: PlacementTable;
  readonly #leftovers: LeftoverTally;
  readonly #find: Statement<[Buffer], StripeRow>;
  readonly #findState: Statement<[Buffer], Pick<StripeRow, 'freed_ms'>>;
  readonly #insert: Statement<(Buffer | number | null)[]>;
  readonly #place: Statement<[Buffer, number, number | null, number | null, Buffer]>;
  readonly #free: Statement<[number, Buffer], FreedRow>;
  readonly #delete: Statement<[Buffer]>;
  readonly #listDegraded: Statement<[number], StripeRow>;
  readonly #oldestDegraded: Statement<[], { ms: number | null }>;
  readonly #listPlaced: Statement<[number, Buffer, number], StripeRow>;
  readonly #listAll: Statement<[Buffer, number], StripeRow>;
  readonly #listFreed: Statement<[number, number], StripeRow>;
  readonly #listSparse: Statement<[number], StripeRow>;
  readonly #addCid: Statement<[number, Buffer]>;
  readonly #dropCid: Statement<[number, Buffer]>;
  readonly #findCid: Statement<[number], Pick<StripeRow, 'shards'>>;
  /** Filled by reads, which run between batches, and so holds nothing that may be undone. In order of last use. */
  readonly #cache = new Map<StripeId, Stripe>();
  /** Live stripes that this batch registered: the other objects of a pack need not look. */
  readonly #registered = new Set<StripeId>();
  #unmarked: StripeId[] = [];
  /** Stripes that may have lost their last reference while none is freed. */
  #deferred: Set<StripeId> | undefined;

  constructor(parts: {
    db: Database;
    names: NameTable;
    tally: Tally;
    clock: Clock;
    changes: ChangeLog;
    references: StripeReferences;
    placements: PlacementTable;
    leftovers: LeftoverTally;
  }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#tally = parts.tally;
    this.#clock = parts.clock;
    this.#changes = parts.changes;
    this.#references = parts.references;
    this.#placements = parts.placements;
    this.#leftovers = parts.leftovers;
    const select = `SELECT ${stripeColumns} FROM stripes`;
    this.#find = db.prepare(`${select} WHERE id = +?`);
    this.#findState = db.prepare('SELECT freed_ms FROM stripes WHERE id = +?');
    this.#insert = db.prepare(`
      INSERT INTO stripes (${stripeColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`);
    this.#place = db.prepare(
      'UPDATE stripes SET shards = ?, placed_count = ?, placement = ?, degraded_ms = ? WHERE id = +?',
    );
    this.#free = db.prepare(`
      UPDATE stripes SET freed_ms = ?
      WHERE id = +? AND freed_ms IS NULL AND NOT EXISTS (SELECT 1 FROM stripe_refs WHERE stripe_id = stripes.id)
      RETURNING placed_count < shard_count AS degraded, profile, stored_bytes, placement, shards`);
    this.#delete = db.prepare('DELETE FROM stripes WHERE id = +?');
    this.#listDegraded = db.prepare(`
      ${select} INDEXED BY stripes_degraded WHERE placed_count < shard_count AND freed_ms IS NULL
      ORDER BY m - shard_count + placed_count LIMIT +?`);
    this.#oldestDegraded = db.prepare(`
      SELECT min(degraded_ms) AS ms FROM stripes INDEXED BY stripes_degraded_since
      WHERE degraded_ms IS NOT NULL AND freed_ms IS NULL`);
    this.#listPlaced = db.prepare(`
      ${select} INDEXED BY stripes_placed WHERE placement = +? AND freed_ms IS NULL AND id > +? ORDER BY id LIMIT +?`);
    this.#listAll = db.prepare(`${select} WHERE id > +? ORDER BY id LIMIT +?`);
    this.#listFreed = db.prepare(`
      ${select} INDEXED BY stripes_freed WHERE freed_ms < +? ORDER BY freed_ms LIMIT +?`);
    this.#listSparse = db.prepare(`
      ${select} INDEXED BY stripes_sparse WHERE ${isSparseStripe} ORDER BY ${wasteOfStripe} DESC LIMIT +?`);
    this.#addCid = db.prepare('INSERT INTO shard_cids VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#dropCid = db.prepare('DELETE FROM shard_cids WHERE cid_head = +? AND stripe_id = +?');
    this.#findCid = db.prepare(`
      SELECT shards FROM shard_cids JOIN stripes ON stripes.id = shard_cids.stripe_id WHERE cid_head = +?`);
  }

  /** @throws Failure `stripe-missing` when one of `ids` is neither in `stripes` nor live */
  requireLive(ids: Iterable<StripeId>, stripes: readonly NewStripe[]): void {
    for (const stripeId of ids) {
      if (stripes.some(({ id }) => id === stripeId)) continue;
      if (this.#findState.get(encodeStripeId(stripeId))?.freed_ms !== null) {
        throw new Failure('stripe-missing', { stripeId });
      }
    }
  }

  /**
   * Registers new stripes, and lets the row `ownerId` refer to all stripes of `referred`. A new stripe that is not among
   * them starts as freed, so that it is collected.
   *
   * @throws Failure `stripe-missing` when a new stripe was registered before, along with another object in it, and
   *   freed
   */
  register(stripes: readonly NewStripe[], referred: StripeBytes, ownerId: number): void {
    const counted = new Set<StripeId>();
    for (const stripe of stripes) {
      const bytes = referred.get(stripe.id);
      if (this.#insertStripe(stripe, bytes)) counted.add(stripe.id);
    }
    for (const [id, bytes] of referred) {
      this.#references.add(encodeStripeId(id), id, ownerId, bytes, counted.has(id));
    }
  }

  /** Registers new stripes as live before anything refers to them. @throws Failure `stripe-missing` as `register` */
  registerLive(stripes: readonly NewStripe[]): void {
    for (const stripe of stripes) this.#insertStripe(stripe, 0);
  }

  /** A version or a system object is gone, with all its references. */
  release(ownerId: number, spans: Buffer | null): void {
    for (const id of stripeBytesOfBlob(spans).keys()) {
      const stripe = encodeStripeId(id);
      this.#references.drop(stripe, id, ownerId);
      this.freeUnreferenced(id, stripe);
    }
  }

  /** One part of an upload is gone; others of it may lie in the same stripes. */
  releasePart(ownerId: number, spans: Buffer | null): void {
    for (const [id, bytes] of stripeBytesOfBlob(spans)) {
      const stripe = encodeStripeId(id);
      this.#references.dropUse(stripe, id, ownerId, bytes);
      this.freeUnreferenced(id, stripe);
    }
  }

  /** Frees a live stripe to which nothing refers; does nothing to any other. */
  freeUnreferenced(id: StripeId, stripe: Buffer = encodeStripeId(id)): void {
    if (this.#deferred !== undefined) {
      this.#deferred.add(id);
      return;
    }
    const freed = this.#free.get(this.#clock.now(), stripe);
    if (!freed) return;
    this.#registered.delete(id);
    this.#tally.add('liveStripes', -1);
    this.#tally.add('freedStripes', 1);
    this.#tally.add('storedBytes', -freed.stored_bytes);
    if (freed.degraded) this.#tally.add('degradedStripes', -1);
    this.#placements.add(freed.placement!, -1, -freed.stored_bytes);
    this.#leftovers.countFreed(freed.shards);
    this.#noteChange(id, freed.profile);
  }

  /** From now on stripes stay live though nothing refers to them. */
  deferFreeing(): void {
    this.#deferred ??= new Set();
  }

  /** Frees what nothing refers to since `deferFreeing`, and goes on as before it. */
  freeDeferred(): void {
    const deferred = this.#deferred ?? [];
    this.#deferred = undefined;
    for (const id of deferred) this.freeUnreferenced(id);
  }

  find(ids: readonly StripeId[]): Map<StripeId, Stripe> {
    const found = new Map<StripeId, Stripe>();
    for (const id of ids) {
      const stripe = this.#findCached(id);
      if (stripe) found.set(id, stripe);
    }
    return found;
  }

  /** All of them where they are in memory, and so durable: a change makes the cache forget. Undefined where one is not. */
  findKept(ids: readonly StripeId[]): Map<StripeId, Stripe> | undefined {
    return ids.every((id) => this.#cache.has(id)) ? this.find(ids) : undefined;
  }

  /** @throws Failure `stripe-missing` */
  recordShard(stripeId: StripeId, shard: PlacedShard): void {
    const row = this.#find.get(Buffer.from(stripeId, 'hex'));
    if (!row) throw new Failure('stripe-missing', { stripeId });
    const { shards, lostShards = [] } = decodeShards(row.shards, this.#names);
    const isOther = ({ index }: PlacedShard) => index !== shard.index;
    this.#setShards(stripeId, row, {
      shards: [...shards.filter(isOther), shard].sort(byIndex),
      lostShards: lostShards.filter(isOther),
    });
  }

  loseShard(stripeId: StripeId, { index, providerId, cid }: PlacedShard): void {
    const row = this.#find.get(Buffer.from(stripeId, 'hex'));
    if (!row) return;
    const { shards, lostShards = [] } = decodeShards(row.shards, this.#names);
    const lost = shards.find((each) => each.index === index && each.providerId === providerId && each.cid === cid);
    if (!lost) return;
    this.#setShards(stripeId, row, {
      shards: shards.filter((each) => each !== lost),
      lostShards: [...lostShards, lost].sort(byIndex),
    });
  }

  findOldestDegradedMs(): number | undefined {
    return this.#oldestDegraded.get()?.ms ?? undefined;
  }

  listPlaced(placementId: number, after: StripeId | undefined, limit: number): Stripe[] {
    const rows = this.#listPlaced.all(placementId, Buffer.from(after ?? '', 'hex'), limit);
    return rows.map((row) => toStripe(row, this.#names));
  }

  /** @param waitDurable waits until all that was written is durable */
  async listLive(
    after: StripeId | undefined,
    limit: number,
    waitDurable: () => Promise<void> | undefined,
  ): Promise<Stripe[]> {
    const stripes: Stripe[] = [];
    let asked = limit;
    let last: Buffer = Buffer.from(after ?? '', 'hex');
    while (stripes.length < limit) {
      await waitDurable();
      asked = Math.min(asked, rowsPerTurn);
      const rows = this.#listAll.all(last, asked);
      const live = rows.filter((row) => row.freed_ms === null).slice(0, limit - stripes.length);
      for (const row of live) stripes.push(toStripe(row, this.#names));
      if (rows.length < asked) break;
      last = rows.at(-1)!.id;
      asked *= 2;
      await nextTurn();
    }
    return stripes;
  }

  listDegraded(limit: number): Stripe[] {
    return this.#listDegraded.all(limit).map((row) => toStripe(row, this.#names));
  }

  listFreed(beforeMs: number, limit: number): Stripe[] {
    return this.#listFreed.all(beforeMs, limit).map((row) => toStripe(row, this.#names));
  }

  listSparse(limit: number): SparseStripe[] {
    return this.#listSparse.all(limit).map((row) => ({
      stripe: toStripe(row, this.#names),
      storedBytes: row.stored_bytes,
      liveBytes: row.live_bytes,
    }));
  }

  knownShards(cids: readonly ShardCid[], holder?: ProviderId): Set<ShardCid> {
    const known = new Set<ShardCid>();
    const provider = holder === undefined ? undefined : this.#names.find(holder);
    if (holder !== undefined && provider === undefined) return known;
    for (const cid of cids) {
      const digest = digestOfCid(cid);
      if (!digest) continue;
      // The index holds only the head of a digest; the stripe's row has all of it.
      const candidates = this.#findCid.all(headOfDigest(digest));
      const isKnown = ({ shards }: Pick<StripeRow, 'shards'>) =>
        provider === undefined ? shards.includes(digest) : isHeldBy(shards, provider, digest);
      if (candidates.some(isKnown)) known.add(cid);
    }
    return known;
  }

  /** Drops a freed stripe; does nothing to any other. */
  forget(id: StripeId): void {
    const row = this.#find.get(Buffer.from(id, 'hex'));
    if (!row || row.freed_ms === null) return;
    this.#references.settle(id);
    for (const head of headsOfShards(row.shards)) this.#dropCid.run(head, row.id);
    this.#delete.run(row.id);
    this.#tally.add('freedStripes', -1);
    this.#leftovers.count(row.shards, true, -1);
    this.#cache.delete(id);
    this.#noteChange(id, row.profile);
  }

  mark(): void {
    this.#unmarked = [];
  }

  rewind(): void {
    for (const id of this.#unmarked) this.#registered.delete(id);
    this.#unmarked = [];
  }

  /** The batch is over. */
  reset(): void {
    this.#registered.clear();
    this.#unmarked = [];
  }

  /** Forgets what is in memory; after rows were replaced by an import. */
  reload(): void {
    this.reset();
    this.#cache.clear();
  }

  /** Returns whether there is a new row, which then counts `bytes` as live already. */
  #insertStripe(stripe: NewStripe, bytes: number | undefined): boolean {
    if (this.#registered.has(stripe.id)) return false;
    const id = encodeStripeId(stripe.id);
    const profile = this.#names.numberOf(stripe.profileName);
    const shards = encodeShards(stripe, this.#names);
    const isLive = bytes !== undefined;
    const isDegraded = stripe.shards.length < stripe.shardCount;
    const shape = { profile, k: stripe.k, m: stripe.m, shard_count: stripe.shardCount };
    const placement = isLive ? this.#placements.idOf(shape, holdersOfShards(shards)) : null;
    const row = {
      profile,
      live_bytes: bytes ?? 0,
      freed_ms: isLive ? null : this.#clock.now(),
      shards,
      placement,
      degraded_ms: isDegraded ? this.#clock.now() : null,
    };
    if (this.#insert.run(...stripeValues(id, stripe, row)).changes === 0) {
      if (this.#findState.get(id)?.freed_ms !== null) throw new Failure('stripe-missing', { stripeId: stripe.id });
      return false;
    }
    for (const head of headsOfShards(shards)) this.#addCid.run(head, id);
    this.#noteChange(stripe.id, profile);
    if (placement === null) {
      this.#tally.add('freedStripes', 1);
      this.#leftovers.count(shards, true, 1);
      return true;
    }
    this.#registered.add(stripe.id);
    this.#unmarked.push(stripe.id);
    this.#tally.add('liveStripes', 1);
    this.#tally.add('storedBytes', stripe.storedBytes);
    this.#tally.add('neededBytes', neededBytesOf(row.live_bytes, stripe));
    if (isDegraded) this.#tally.add('degradedStripes', 1);
    this.#placements.add(placement, 1, stripe.storedBytes);
    if (stripe.lostShards) this.#leftovers.count(shards, false, 1);
    return true;
  }

  /** Replaces what is known of the shards of a stripe, live or freed. */
  #setShards(id: StripeId, row: StripeRow, next: StripeShards): void {
    const shards = encodeShards(next, this.#names);
    const isLive = row.freed_ms === null;
    const isDegraded = next.shards.length < row.shard_count;
    const placement = isLive ? this.#placements.idOf(row, holdersOfShards(shards)) : null;
    const degradedMs = isDegraded ? (row.degraded_ms ?? this.#clock.now()) : null;
    this.#place.run(shards, next.shards.length, placement, degradedMs, row.id);
    for (const head of headsOfShards(row.shards)) this.#dropCid.run(head, row.id);
    for (const head of headsOfShards(shards)) this.#addCid.run(head, row.id);
    this.#leftovers.count(row.shards, !isLive, -1);
    this.#leftovers.count(shards, !isLive, 1);
    if (placement !== null) {
      this.#tally.add('degradedStripes', Number(isDegraded) - Number(row.placed_count < row.shard_count));
      this.#placements.add(row.placement!, -1, -row.stored_bytes);
      this.#placements.add(placement, 1, row.stored_bytes);
    }
    this.#cache.delete(id);
    this.#noteChange(id, row.profile);
  }

  #findCached(id: StripeId): Stripe | undefined {
    let stripe = this.#cache.get(id);
    if (stripe) {
      this.#cache.delete(id);
    } else {
      const row = this.#find.get(Buffer.from(id, 'hex'));
      if (!row) return undefined;
      stripe = toStripe(row, this.#names, id);
      if (this.#cache.size >= maxCached) this.#cache.delete(this.#cache.keys().next().value!);
    }
    this.#cache.set(id, stripe);
    return stripe;
  }

  /** System objects are what the changes are written to, and so are not among them. */
  #noteChange(id: StripeId, profile: number): void {
    if (profile !== systemProfileNumber) this.#changes.add('stripe', id);
  }
}

function byIndex(a: PlacedShard, b: PlacedShard): number {
  return a.index - b.index;
}
