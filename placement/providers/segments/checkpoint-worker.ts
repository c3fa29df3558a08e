import { workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';

/**
 * Runs in a thread of its own: brings what is in the log of an index into its database, with the flushes that this takes.
 * Readers and writers go on meanwhile.
 */
const db = new Database(workerData as string, { fileMustExist: true });
try {
  db.pragma('synchronous = NORMAL');
  db.pragma('wal_checkpoint(PASSIVE)');
} finally {
  db.close();
}
