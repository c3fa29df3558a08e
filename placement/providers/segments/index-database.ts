import { rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { RecordPlace } from './segment-format.ts';
import { type SegmentEntry, SegmentTally } from './segment-tally.ts';

/** The index is right for every record before this place; those after it must be read again. */
export interface IndexPosition extends RecordPlace {
  /** The salt of that segment, by which a segment that only has the same number is told apart. */
  readonly salt: number;
}

/** What to change for one shard; no entry means that it goes. */
export interface EntryChange {
  readonly digest: Buffer;
  readonly entry: SegmentEntry | undefined;
}

/** Whether the error means that the index is damaged, or another program's or version's, so that it must be made anew. */
export function isIndexDamage(error: unknown): boolean {
  if (error instanceof UnknownIndexError) return true;
  // SQLITE_ERROR is what a statement gives whose table has other columns.
  return error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB|FORMAT|ERROR)/.test(error.code);
}

class UnknownIndexError extends Error {}

const applicationId = 0x48665367;
const schemaVersion = 1;
/** Pages in memory. Small, since there may be dozens of providers; the system's own cache holds the rest. */
const cacheKib = 1024;
/** The log is brought in by `IndexCheckpoint`; this many pages, 128 MiB, only where that fails again and again. */
const checkpointPages = 32_000;
const keptLogBytes = 32 * 2 ** 20;
const lockWaitMs = 5000;

const schema = `
  CREATE TABLE shards (
    digest BLOB PRIMARY KEY,
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    committed_at_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE segments (
    number INTEGER PRIMARY KEY,
    total_bytes INTEGER NOT NULL,
    live_bytes INTEGER NOT NULL
  );
  CREATE TABLE tombstones (
    segment INTEGER NOT NULL,
    target INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (segment, target)
  ) WITHOUT ROWID;
  CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    salt INTEGER NOT NULL,
    owner INTEGER NOT NULL
  );
  INSERT INTO state VALUES (1, 0, 0, 0, 0);
`;

/**
 * The index of a provider's segments in SQLite: docs/segment-format.md. All of it can be made again from the segments, so
 * commits are not flushed (`synchronous = NORMAL`): after a power cut it may be older than it was, never torn.
 */
export class IndexDatabase {
  readonly #db: Database.Database;
  readonly #owner: number;
  readonly #find: Database.Statement<[Buffer], [number, number, number, number]>;
  readonly #store: Database.Statement<[Buffer, number, number, number, number]>;
  readonly #remove: Database.Statement<[Buffer]>;
  readonly #page: Database.Statement<[Buffer, number], [Buffer, number, number, number, number]>;
  readonly #addUse: Database.Statement<[number, number, number]>;
  readonly #addTombstones: Database.Statement<[number, number, number]>;
  readonly #move: Database.Statement<[number, number, number, number]>;

  /**
   * Opens or creates the file. Whoever had it open before can change nothing in it any more.
   *
   * @param owner a number drawn by chance
   * @throws Error when it is damaged, of another version or no index; then it is to be made anew
   */
  constructor({ path, owner }: { path: string; owner: number }) {
    this.#db = new Database(path, { timeout: lockWaitMs });
    this.#owner = owner;
    try {
      this.#db.pragma('journal_mode = WAL');
      this.#db.pragma('synchronous = NORMAL');
      this.#db.pragma(`cache_size = -${cacheKib}`);
      this.#db.pragma(`wal_autocheckpoint = ${checkpointPages}`);
      this.#db.pragma(`journal_size_limit = ${keptLogBytes}`);
      this.#prepareSchema();
      this.#db.prepare('UPDATE state SET owner = ?').run(owner);
      this.#find = this.#db
        .prepare<[Buffer], [number, number, number, number]>(
          'SELECT segment, offset, length, committed_at_ms FROM shards WHERE digest = ?',
        )
        .raw();
      this.#store = this.#db.prepare('INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?)');
      this.#remove = this.#db.prepare('DELETE FROM shards WHERE digest = ?');
      this.#page = this.#db
        .prepare<[Buffer, number], [Buffer, number, number, number, number]>(
          'SELECT digest, segment, offset, length, committed_at_ms FROM shards WHERE digest > ? ORDER BY digest LIMIT ?',
        )
        .raw();
      this.#addUse = this.#db.prepare(
        `INSERT INTO segments VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE
         SET total_bytes = total_bytes + excluded.total_bytes, live_bytes = live_bytes + excluded.live_bytes`,
      );
      this.#addTombstones = this.#db.prepare(
        'INSERT INTO tombstones VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes',
      );
      this.#move = this.#db.prepare('UPDATE state SET segment = ?, offset = ?, salt = ? WHERE id = 1 AND owner = ?');
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  #prepareSchema(): void {
    const version = this.#db.pragma('user_version', { simple: true });
    const application = this.#db.pragma('application_id', { simple: true });
    if (version === schemaVersion && application === applicationId) return;
    const { count } = this.#db.prepare<[], { count: number }>('SELECT count(*) AS count FROM sqlite_master').get()!;
    if (version !== 0 || application !== 0 || count !== 0)
      throw new UnknownIndexError(`an index of the unknown version ${version}`);
    this.#db.transaction(() => {
      this.#db.exec(schema);
      this.#db.pragma(`application_id = ${applicationId}`);
      this.#db.pragma(`user_version = ${schemaVersion}`);
    })();
  }

  get position(): IndexPosition {
    return this.#db.prepare<[], IndexPosition>('SELECT segment, offset, salt FROM state WHERE id = 1').get()!;
  }

  loadTally(): SegmentTally {
    const tally = new SegmentTally();
    const uses = this.#db.prepare<[], [number, number, number]>('SELECT * FROM segments').raw();
    for (const [number, totalBytes, liveBytes] of uses.iterate()) {
      Object.assign(tally.ensure(number), { totalBytes, liveBytes });
    }
    const tombstones = this.#db.prepare<[], [number, number, number]>('SELECT * FROM tombstones').raw();
    for (const [segment, target, bytes] of tombstones.iterate()) {
      tally.ensure(segment).tombstoneBytes.set(target, bytes);
    }
    return tally;
  }

  find(digest: Buffer): SegmentEntry | undefined {
    const row = this.#find.get(digest);
    return row && { segment: row[0], offset: row[1], length: row[2], committedAtMs: row[3] };
  }

  /** Shards after `digest`, in order. */
  page(after: Buffer, limit: number): { digest: Buffer; entry: SegmentEntry }[] {
    return this.#page.all(after, limit).map(([digest, segment, offset, length, committedAtMs]) => {
      return { digest, entry: { segment, offset, length, committedAtMs } };
    });
  }

  /**
   * One transaction.
   *
   * @throws Error when the index was opened by another process since
   */
  save(changes: readonly EntryChange[], added: SegmentTally, position: IndexPosition): void {
    this.#db.transaction(() => {
      const { segment, offset, salt } = position;
      if (this.#move.run(segment, offset, salt, this.#owner).changes !== 1) {
        throw new Error('the directory was opened by another process meanwhile');
      }
      for (const { digest, entry } of changes) {
        if (entry === undefined) this.#remove.run(digest);
        else this.#store.run(digest, entry.segment, entry.offset, entry.length, entry.committedAtMs);
      }
      for (const [number, use] of added.entries) {
        this.#addUse.run(number, use.totalBytes, use.liveBytes);
        for (const [target, bytes] of use.tombstoneBytes) this.#addTombstones.run(number, target, bytes);
      }
    })();
  }

  /** Forgets a segment whose file is gone, or is about to go. */
  forgetSegment(number: number): void {
    this.#db.transaction(() => {
      this.#db.prepare('DELETE FROM segments WHERE number = ?').run(number);
      this.#db.prepare('DELETE FROM tombstones WHERE segment = ?').run(number);
    })();
  }

  /** All shards in a segment. Reads the whole table. */
  listSegment(segment: number): { digest: Buffer; entry: SegmentEntry }[] {
    const rows = this.#db
      .prepare<[number], [Buffer, number, number, number]>(
        'SELECT digest, offset, length, committed_at_ms FROM shards WHERE segment = ?',
      )
      .raw()
      .all(segment);
    return rows.map(([digest, offset, length, committedAtMs]) => {
      return { digest, entry: { segment, offset, length, committedAtMs } };
    });
  }

  /** Takes the file away under the open database, for one that is damaged. */
  removeFile(): void {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${this.#db.name}${suffix}`, { force: true });
  }

  close(): void {
    this.#db.close();
  }
}
