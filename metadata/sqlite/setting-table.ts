import type { Database, Statement } from 'better-sqlite3';
import { localSettingPrefix } from '../metadata-store.ts';
import type { ChangeLog } from './change-log.ts';

/** Small facts by name. */
export class SettingTable {
  readonly #changes: ChangeLog;
  readonly #find: Statement<[string], { value: string }>;
  readonly #put: Statement<[string, string]>;

  constructor(parts: { db: Database; changes: ChangeLog }) {
    this.#changes = parts.changes;
    this.#find = parts.db.prepare('SELECT value FROM settings WHERE name = +?');
    this.#put = parts.db.prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)');
  }

  find(name: string): string | undefined {
    return this.#find.get(name)?.value;
  }

  put(name: string, value: string): void {
    this.#put.run(name, value);
    if (!name.startsWith(localSettingPrefix)) this.#changes.add('setting', name);
  }
}
