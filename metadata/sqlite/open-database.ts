import { chmodSync, closeSync, existsSync, fdatasync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import type { Log } from '../../core/log.ts';
import { migrate } from './schema.ts';

const syncFile = promisify(fdatasync);
const lockWaitMs = 5000;
const cacheKib = 32 * 1024;
/** 64 MiB of log between checkpoints: fewer of them, each writing a page once that changed many times. */
const checkpointPages = 16_000;

/**
 * Opens or creates the database file, and brings its schema up to date. The folder must
 * exist. The file stays locked against other processes until it is closed, since the store keeps parts of it in
 * memory.
 *
 * @throws Error when it is in use, of a newer version, or no metadata database
 */
export function openDatabase(path: string, log: Log): Database.Database {
  if (path !== ':memory:') keepPrivate(path);
  const db = new Database(path, { timeout: lockWaitMs });
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    // A commit appends to the log and does not wait for the disk: `openLog` makes it durable, beside the event loop.
    db.pragma('synchronous = NORMAL');
    db.pragma(`wal_autocheckpoint = ${checkpointPages}`);
    db.pragma(`journal_size_limit = ${2 * checkpointPages * 4096}`);
    db.pragma(`cache_size = -${cacheKib}`);
    db.pragma('temp_store = MEMORY');
    // Not `sqlite_stat4` nor `ANALYZE`: with statistics, a plan would depend on the values that are bound.
    const before = migrate(db);
    const version = Number(db.pragma('user_version', { simple: true }));
    log.info({ path, schemaVersion: version, schemaVersionBefore: before }, 'metadata database open');
    return db;
  } catch (error) {
    db.close();
    if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')) {
      throw new Error(`metadata database ${path} is in use by another process`, { cause: error });
    }
    throw error;
  }
}

/**
 * Providers have secrets, so only the owner may read the file; SQLite gives its log the same mode. A file that is there is not opened for
 * that: to close it would drop the locks that this process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
 */
function keepPrivate(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
  for (const file of [path, `${path}-wal`, `${path}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
}

/** The write-ahead log of an open database. */
export interface DatabaseLog {
  /** Makes all that was committed so far durable: what `synchronous = FULL` does within the commit, where it would hold up the event loop. */
  flush(): Promise<void>;
  close(): void;
}

/**
 * Opens the log of a database in WAL mode. Commits with `synchronous = NORMAL` write it and flush nothing but a new header; a
 * checkpoint flushes it before it touches the database (https://www.sqlite.org/wal.html), so it is whole at any time.
 *
 * @returns undefined for a database in memory
 */
export function openLog(db: Database.Database): DatabaseLog | undefined {
  if (db.memory) return undefined;
  const fd = openSync(`${db.name}-wal`, 'r+');
  return { flush: () => syncFile(fd), close: () => closeSync(fd) };
}
