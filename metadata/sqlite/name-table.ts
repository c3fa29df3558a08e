import type { Database, Statement } from 'better-sqlite3';

/**
 * Names that stand in millions of rows but of which there are few (owners, storage classes, providers, profiles,
 * checksum kinds): rows hold a small number instead. All of them are kept in memory; none is ever removed.
 */
export class NameTable {
  readonly #insert: Statement<[string]>;
  readonly #load: Statement<[], { id: number; name: string }>;
  readonly #ids = new Map<string, number>();
  readonly #names = new Map<number, string>();
  readonly #unmarked: string[] = [];

  constructor(parts: { db: Database }) {
    this.#insert = parts.db.prepare('INSERT INTO names (name) VALUES (?)');
    this.#load = parts.db.prepare('SELECT id, name FROM names');
    this.reload();
  }

  /** The name's number, given to it now if it has none. Only inside a write verb. */
  numberOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = Number(this.#insert.run(name).lastInsertRowid);
    this.#ids.set(name, id);
    this.#names.set(id, name);
    this.#unmarked.push(name);
    return id;
  }

  /** The name's number, if it has one. */
  find(name: string): number | undefined {
    return this.#ids.get(name);
  }

  nameOf(id: number): string {
    const name = this.#names.get(id);
    if (name === undefined) throw new Error(`metadata names no ${id}`);
    return name;
  }

  mark(): void {
    this.#unmarked.length = 0;
  }

  rewind(): void {
    for (const name of this.#unmarked) {
      this.#names.delete(this.#ids.get(name)!);
      this.#ids.delete(name);
    }
    this.#unmarked.length = 0;
  }

  reload(): void {
    this.#ids.clear();
    this.#names.clear();
    this.#unmarked.length = 0;
    for (const { id, name } of this.#load.all()) {
      this.#ids.set(name, id);
      this.#names.set(id, name);
    }
  }
}
