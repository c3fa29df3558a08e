import type { Database, Statement } from 'better-sqlite3';
import { placesOfShards } from './shard-codec.ts';

/**
 * How many shards each provider may still have that no stripe counts on: those of freed stripes, and lost ones of live stripes. With
 * the placements, which count all others, it says whether a provider has any shard. A batch adds up in memory what it changes.
 */
export class LeftoverTally {
  readonly #find: Statement<[number], { shards: number }>;
  readonly #add: Statement<[number, number]>;
  readonly #drop: Statement<[number]>;
  readonly #pending = new Map<number, number>();
  /** What was added to `#pending` since the mark. */
  #unmarked: [provider: number, shards: number][] = [];

  constructor(parts: { db: Database }) {
    this.#find = parts.db.prepare('SELECT shards FROM leftovers WHERE provider = +?');
    this.#add = parts.db.prepare(`
      INSERT INTO leftovers VALUES (?, ?) ON CONFLICT DO UPDATE SET shards = shards + excluded.shards`);
    this.#drop = parts.db.prepare('DELETE FROM leftovers WHERE provider = +? AND shards = 0');
  }

  /** Adds or takes away (`change` is 1 or -1) the leftovers among the encoded shards of a stripe. */
  count(shards: Buffer, isFreed: boolean, change: 1 | -1): void {
    for (const { isGood, provider } of placesOfShards(shards)) if (isFreed || !isGood) this.#count(provider, change);
  }

  /** A stripe is freed: its good shards are leftovers too from now on. */
  countFreed(shards: Buffer): void {
    for (const { isGood, provider } of placesOfShards(shards)) if (isGood) this.#count(provider, 1);
  }

  /** Only inside a write verb. */
  of(provider: number): number {
    return (this.#find.get(provider)?.shards ?? 0) + (this.#pending.get(provider) ?? 0);
  }

  mark(): void {
    this.#unmarked = [];
  }

  rewind(): void {
    for (const [provider, shards] of this.#unmarked) this.#pending.set(provider, this.#pending.get(provider)! - shards);
    this.#unmarked = [];
  }

  save(): void {
    for (const [provider, shards] of this.#pending) {
      if (shards === 0) continue;
      this.#add.run(provider, shards);
      if (shards < 0) this.#drop.run(provider);
    }
    this.reload();
  }

  reload(): void {
    this.#pending.clear();
    this.#unmarked = [];
  }

  #count(provider: number, change: number): void {
    this.#pending.set(provider, (this.#pending.get(provider) ?? 0) + change);
    this.#unmarked.push([provider, change]);
  }
}
