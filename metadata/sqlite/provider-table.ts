import type { Database, Statement } from 'better-sqlite3';
import { Failure } from '../../core/failure.ts';
import type { ProviderId, ProviderRecord } from '../../core/model.ts';
import type { ChangeLog } from './change-log.ts';
import type { LeftoverTally } from './leftover-tally.ts';
import type { NameTable } from './name-table.ts';
import type { PlacementTable } from './placement-table.ts';
import { encodeHolder } from './shard-codec.ts';

export interface ProviderRow {
  readonly id: string;
  /** A `ProviderRecord` in JSON, secrets included: the file is for its owner's eyes alone. */
  readonly record: string;
}

/** The members of the fleet. */
export class ProviderTable {
  readonly #names: NameTable;
  readonly #changes: ChangeLog;
  readonly #placements: PlacementTable;
  readonly #leftovers: LeftoverTally;
  readonly #list: Statement<[], ProviderRow>;
  readonly #find: Statement<[string], ProviderRow>;
  readonly #put: Statement<[string, string]>;
  readonly #delete: Statement<[string]>;

  constructor(parts: {
    db: Database;
    names: NameTable;
    changes: ChangeLog;
    placements: PlacementTable;
    leftovers: LeftoverTally;
  }) {
    const { db } = parts;
    this.#names = parts.names;
    this.#changes = parts.changes;
    this.#placements = parts.placements;
    this.#leftovers = parts.leftovers;
    this.#list = db.prepare('SELECT id, record FROM providers ORDER BY id');
    this.#find = db.prepare('SELECT id, record FROM providers WHERE id = +?');
    this.#put = db.prepare('INSERT OR REPLACE INTO providers VALUES (?, ?)');
    this.#delete = db.prepare('DELETE FROM providers WHERE id = +?');
  }

  list(): ProviderRecord[] {
    return this.#list.all().map(({ record }) => JSON.parse(record) as ProviderRecord);
  }

  put(record: ProviderRecord): void {
    this.#put.run(record.id, JSON.stringify(record));
    this.#changes.add('provider', record.id);
  }

  /** @throws Failure `provider-in-use` */
  forget(providerId: ProviderId): void {
    if (!this.#find.get(providerId)) return;
    const number = this.#names.find(providerId);
    if (number !== undefined) {
      if (this.#placements.isHolder(number, encodeHolder(number))) {
        throw new Failure('provider-in-use', { providerId, reason: 'stripes have shards there' });
      }
      if (this.#leftovers.of(number) > 0) {
        throw new Failure('provider-in-use', { providerId, reason: 'it may have shards that are to be deleted' });
      }
    }
    this.#delete.run(providerId);
    this.#changes.add('provider', providerId);
  }
}
