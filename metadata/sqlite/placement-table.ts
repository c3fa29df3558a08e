import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Database, Statement } from 'better-sqlite3';
import type { ProviderId } from '../../core/model.ts';
import type { Placement, PlacementChanges } from '../fleet-store.ts';
import type { NameTable } from './name-table.ts';
import { decodeHolders } from './shard-codec.ts';
import type { StripeRow } from './stripe-row.ts';

/** Ids of placements in memory, some 150 bytes each; with 20 providers there are 38,760 sets of six. */
const maxCached = 1 << 16;
/** Rows that a listing reads before the event loop has a turn. */
const rowsPerTurn = 1024;

/** Placements that are remembered as changed. */
const defaultMaxChanged = 1 << 14;

/** What stripes of one placement have in common, besides who holds their shards. */
export type StripeShape = Pick<StripeRow, 'profile' | 'k' | 'm' | 'shard_count'>;

interface PlacementKey extends StripeShape {
  readonly holders: Buffer;
}

interface PlacementRow extends PlacementKey {
  readonly id: number;
  readonly stripes: number;
  readonly stored_bytes: number;
}

interface Delta {
  stripes: number;
  bytes: number;
}

/**
 * How many live stripes lie on which providers. A batch adds up in memory what it changes, and writes each placement that it touched
 * once. A row without stripes goes with the batch that leaves it so.
 */
export class PlacementTable {
  readonly #names: NameTable;
  readonly #find: Statement<[number, number, number, number, Buffer], { id: number }>;
  readonly #insert: Statement<[number, number, number, number, Buffer]>;
  readonly #add: Statement<[number, number, number]>;
  readonly #drop: Statement<[number], PlacementKey>;
  readonly #list: Statement<[number, number], PlacementRow>;
  readonly #get: Statement<[number], PlacementRow>;
  readonly #holding: Statement<[Buffer], PlacementRow>;
  readonly #profiles: Statement<[], { readonly profile: number }>;
  /** In order of last making or finding. */
  readonly #ids = new Map<string, number>();
  readonly #pending = new Map<number, Delta>();
  /** What was added to `#pending`, and which ids were made, since the mark. */
  #unmarked: [id: number, stripes: number, bytes: number][] = [];
  #unmarkedKeys: string[] = [];
  /** For each listing under way, the placements that were written since it began. */
  readonly #watches = new Set<Set<number>>();
  readonly #maxChanged: number;
  /** In which batch placements were written last, the latest at the end; of the batches up to `#unknownSince` not all are known. */
  readonly #changedIn = new Map<number, number>();
  #batch = 0;
  #unknownSince = 0;

  constructor(parts: { db: Database; names: NameTable; maxChanged?: number }) {
    const { db } = parts;
    this.#maxChanged = parts.maxChanged ?? defaultMaxChanged;
    this.#names = parts.names;
    const select = 'SELECT id, profile, k, m, shard_count, holders, stripes, stored_bytes FROM placements';
    this.#find = db.prepare(`
      SELECT id FROM placements WHERE profile = +? AND k = +? AND m = +? AND shard_count = +? AND holders = +?`);
    this.#insert = db.prepare(`
      INSERT INTO placements (profile, k, m, shard_count, holders, stripes, stored_bytes) VALUES (?, ?, ?, ?, ?, 0, 0)`);
    this.#add = db.prepare(
      'UPDATE placements SET stripes = stripes + ?, stored_bytes = stored_bytes + ? WHERE id = +?',
    );
    this.#drop = db.prepare(`
      DELETE FROM placements WHERE id = +? AND stripes = 0 RETURNING profile, k, m, shard_count, holders`);
    this.#list = db.prepare(`${select} WHERE id > +? ORDER BY id LIMIT +?`);
    this.#get = db.prepare(`${select} WHERE id = +?`);
    // One seek a profile: DISTINCT would read the whole index.
    this.#profiles = db.prepare(`
      WITH RECURSIVE used (profile) AS (
        SELECT min(profile) FROM placements
        UNION ALL
        SELECT (SELECT min(profile) FROM placements WHERE profile > used.profile) FROM used WHERE used.profile IS NOT NULL
      )
      SELECT profile FROM used WHERE profile IS NOT NULL`);
    this.#holding = db.prepare(`${select} WHERE instr(holders, ?) > 0`);
  }

  /** The placement with these holders (`holdersOfShards`), made now if there is none. Only inside a write verb. */
  idOf(shape: StripeShape, holders: Buffer): number {
    const key = keyOf(shape, holders);
    const cached = this.#ids.get(key);
    if (cached !== undefined) return cached;
    const { profile, k, m, shard_count } = shape;
    const found = this.#find.get(profile, k, m, shard_count, holders)?.id;
    const id = found ?? Number(this.#insert.run(profile, k, m, shard_count, holders).lastInsertRowid);
    // In case that no stripe comes of it.
    if (found === undefined) this.add(id, 0, 0);
    if (this.#ids.size >= maxCached) this.#ids.delete(this.#ids.keys().next().value!);
    this.#ids.set(key, id);
    this.#unmarkedKeys.push(key);
    return id;
  }

  add(id: number, stripes: number, bytes: number): void {
    const delta = this.#pending.get(id);
    if (delta) {
      delta.stripes += stripes;
      delta.bytes += bytes;
    } else {
      this.#pending.set(id, { stripes, bytes });
    }
    this.#unmarked.push([id, stripes, bytes]);
  }

  /** Whether a live stripe has a good shard at the provider with this number. Only inside a write verb. Reads all placements. */
  isHolder(provider: number, encoded: Buffer): boolean {
    return this.#holding
      .all(encoded)
      .some(
        ({ id, stripes, holders }) =>
          stripes + (this.#pending.get(id)?.stripes ?? 0) > 0 && decodeHolders(holders).includes(provider),
      );
  }

  listProfiles(): string[] {
    return this.#profiles.all().map(({ profile }) => this.#names.nameOf(profile));
  }

  /**
   * All placements, as they are at the moment when this resolves. Reads some a turn; what was written meanwhile is read again.
   *
   * @param waitDurable waits until all that was written is durable
   */
  async list(
    waitDurable: () => Promise<void> | undefined,
    isWanted: (placement: Placement) => boolean = () => true,
  ): Promise<Placement[]> {
    const placements = new Map<number, Placement>();
    const take = (row: PlacementRow): void => {
      const placement = this.#toPlacement(row);
      if (isWanted(placement)) placements.set(row.id, placement);
      else placements.delete(row.id);
    };
    const watch = new Set<number>();
    this.#watches.add(watch);
    try {
      await waitDurable();
      for (let page = this.#list.all(-1, rowsPerTurn); page.length > 0; ) {
        for (const row of page) take(row);
        if (page.length < rowsPerTurn) break;
        await nextTurn();
        await waitDurable();
        page = this.#list.all(page.at(-1)!.id, rowsPerTurn);
      }
      for (const id of watch) {
        const row = this.#get.get(id);
        if (row) take(row);
        else placements.delete(id);
      }
    } finally {
      this.#watches.delete(watch);
    }
    return [...placements.values()];
  }

  /** @param waitDurable waits until all that was written is durable */
  async readChanges(
    mark: number | undefined,
    waitDurable: () => Promise<void> | undefined,
  ): Promise<PlacementChanges | undefined> {
    await waitDurable();
    const changes = { mark: this.#batch, placements: [] as Placement[], goneIds: [] as number[] };
    if (mark === undefined) return changes;
    if (mark < this.#unknownSince) return undefined;
    const ids = Array.from(this.#changedIn, ([id, batch]) => (batch > mark ? id : -1)).filter((id) => id >= 0);
    for (const [at, id] of ids.entries()) {
      const row = this.#get.get(id);
      if (row) changes.placements.push(this.#toPlacement(row));
      else changes.goneIds.push(id);
      if (at % rowsPerTurn !== rowsPerTurn - 1) continue;
      await nextTurn();
      await waitDurable();
    }
    return changes;
  }

  mark(): void {
    this.#unmarked = [];
    this.#unmarkedKeys = [];
  }

  rewind(): void {
    for (const [id, stripes, bytes] of this.#unmarked) {
      const delta = this.#pending.get(id)!;
      delta.stripes -= stripes;
      delta.bytes -= bytes;
    }
    for (const key of this.#unmarkedKeys) this.#ids.delete(key);
    this.mark();
  }

  save(): void {
    for (const [id, { stripes, bytes }] of this.#pending) {
      if (stripes !== 0 || bytes !== 0) this.#add.run(stripes, bytes, id);
      if (stripes <= 0) this.#dropEmpty(id);
      for (const watch of this.#watches) watch.add(id);
    }
    this.#noteChanges();
    this.#pending.clear();
    this.mark();
  }

  reload(): void {
    this.#ids.clear();
    this.#pending.clear();
    this.#changedIn.clear();
    this.#unknownSince = ++this.#batch;
    this.mark();
  }

  #noteChanges(): void {
    if (this.#pending.size === 0) return;
    this.#batch += 1;
    for (const id of this.#pending.keys()) {
      // To the end: they are in order of their last change.
      this.#changedIn.delete(id);
      this.#changedIn.set(id, this.#batch);
    }
    for (const [id, batch] of this.#changedIn) {
      if (this.#changedIn.size <= this.#maxChanged) break;
      this.#changedIn.delete(id);
      this.#unknownSince = batch;
    }
  }

  #dropEmpty(id: number): void {
    const dropped = this.#drop.get(id);
    if (dropped) this.#ids.delete(keyOf(dropped, dropped.holders));
  }

  #toPlacement(row: PlacementRow): Placement {
    const providers = decodeHolders(row.holders).map((provider) => this.#names.nameOf(provider) as ProviderId);
    return {
      id: row.id,
      profileName: this.#names.nameOf(row.profile),
      k: row.k,
      m: row.m,
      shardCount: row.shard_count,
      providers: providers.sort(),
      stripes: row.stripes,
      storedBytes: row.stored_bytes,
    };
  }
}

function keyOf({ profile, k, m, shard_count }: StripeShape, holders: Buffer): string {
  return `${profile} ${k} ${m} ${shard_count} ${holders.toString('latin1')}`;
}
