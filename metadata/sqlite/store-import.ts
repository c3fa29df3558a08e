import type { Database } from 'better-sqlite3';
import type { Clock } from '../../core/clock.ts';
import type { ImportReport, MetadataRecord } from '../record-store.ts';
import { ImportFinisher } from './import-finisher.ts';
import type { NameTable } from './name-table.ts';
import { RecordImporter } from './record-importer.ts';
import type { StoreState } from './store-state.ts';
import type { Tally } from './tally.ts';
import type { WriteQueue } from './write-queue.ts';

/** Fills an empty store with records, without a flush for each batch: a crash in the middle leaves a store that says so. */
export class StoreImport {
  readonly #db: Database;
  readonly #queue: WriteQueue;
  readonly #state: StoreState;
  readonly #parts: { readonly names: NameTable; readonly tally: Tally; readonly clock: Clock };
  /** Made when it is needed: preparing statements takes as long as the rest of opening a store, and few are ever imported into. */
  #importer: RecordImporter | undefined;
  #beginning: Promise<void> | undefined;

  constructor(parts: {
    db: Database;
    names: NameTable;
    tally: Tally;
    clock: Clock;
    queue: WriteQueue;
    state: StoreState;
  }) {
    this.#db = parts.db;
    this.#parts = parts;
    this.#queue = parts.queue;
    this.#state = parts.state;
  }

  /** Then what is in the database is not durable, commit or no commit. */
  get isUnderWay(): boolean {
    return this.#beginning !== undefined;
  }

  async add(records: readonly MetadataRecord[]): Promise<void> {
    await this.#begin();
    await this.#queue.run(() => this.#open().add(records));
  }

  /** Everything is durable with the last commit, which flushes the log and, by way of the checkpoint, the database. */
  async finish(): Promise<ImportReport> {
    await this.#begin();
    this.#db.pragma('synchronous = FULL');
    const report = await this.#queue.run(() => {
      const result = new ImportFinisher({ db: this.#db, clock: this.#parts.clock }).finish();
      this.#state.reload();
      return result;
    });
    this.#db.pragma('wal_checkpoint(TRUNCATE)');
    this.#db.pragma('synchronous = NORMAL');
    this.#beginning = undefined;
    return report;
  }

  #open(): RecordImporter {
    this.#importer ??= new RecordImporter({ db: this.#db, ...this.#parts });
    return this.#importer;
  }

  #begin(): Promise<void> {
    this.#beginning ??= this.#relaxFlushes();
    return this.#beginning;
  }

  /** That an import is under way is durable before any of it is written without flushes. */
  async #relaxFlushes(): Promise<void> {
    await this.#queue.run(() => this.#open().begin());
    this.#db.pragma('wal_checkpoint(TRUNCATE)');
    this.#db.pragma('synchronous = OFF');
  }
}
