import type { Database } from 'better-sqlite3';
import { systemProfileName } from '../metadata-store.ts';
import { fillPlacements } from './fill-placements.ts';

/** Marks the file as ours in its header ("HFM2"), see https://www.sqlite.org/pragma.html#pragma_application_id */
export const applicationId = 0x48464d32;
/** Stands there instead while an import is under way ("HFMI"): such a file holds some of a store, and which is not known. */
export const importingId = 0x48464d49;
/** Stood there before objects were encrypted ("HFMD"). */
const plainLayoutId = 0x48464d44;

/** The number that the name of the profile of system objects has in every database, so that an index can leave it out. */
export const systemProfileNumber = 1;

/**
 * The secondary indexes of `versions`. An import adds rows without them, since between two records of a fuzzy copy they need
 * not hold, and makes them when it is done.
 */
export const versionIndexes = {
  versions_by_key: 'CREATE UNIQUE INDEX versions_by_key ON versions (bucket_id, key, seq DESC)',
  versions_current: `
    CREATE INDEX versions_current
    ON versions (bucket_id, key, size_bytes, etag, modified_ms, owner, storage_class, checksum_kind)
    WHERE is_latest = 1 AND is_marker = 0`,
  versions_buried_null: `
    CREATE UNIQUE INDEX versions_buried_null ON versions (bucket_id, key) WHERE is_latest = 0 AND version_id IS NULL`,
} as const;

/** How many times the space that its live bytes need a stripe takes. */
export const wasteOfStripe = 'stored_bytes * k * 1.0 / (max(live_bytes, 1) * (k + m))';
/** Below 8 percent there is little to win: headers, digests and the padding of blocks take about as much. */
export const isSparseStripe = `
  freed_ms IS NULL AND profile <> ${systemProfileNumber} AND stored_bytes * k * 100 > live_bytes * (k + m) * 108`;

/** SQL, or a function where SQL alone does not do. It runs in a transaction. */
export type Migration = string | ((db: Database) => void);

/**
 * The schema as a list of steps; a database at `user_version` n has had the first n. A step that was released is
 * never edited: a change is a new step. docs/metadata-schema.md explains the tables.
 */
export const migrations: readonly Migration[] = [
  `
  CREATE TABLE tally (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_number INTEGER NOT NULL,
    buckets INTEGER NOT NULL,
    versions INTEGER NOT NULL,
    live_stripes INTEGER NOT NULL,
    freed_stripes INTEGER NOT NULL,
    degraded_stripes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    needed_bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO tally VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);

  CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE changes (
    mark INTEGER PRIMARY KEY,
    changes TEXT NOT NULL
  ) STRICT;

  CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  INSERT INTO names VALUES (${systemProfileNumber}, '${systemProfileName}');

  CREATE TABLE buckets (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner_id TEXT NOT NULL,
    region TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    versioning TEXT NOT NULL
  ) STRICT;
  CREATE INDEX buckets_by_owner ON buckets (owner_id, name);

  CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version_id TEXT,
    is_latest INTEGER NOT NULL,
    is_marker INTEGER NOT NULL,
    owner INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    storage_class INTEGER,
    checksum_kind INTEGER,
    checksum_value TEXT,
    attributes TEXT,
    parts TEXT,
    spans BLOB
  ) STRICT;
  ${Object.values(versionIndexes).join(';')};

  CREATE TABLE uploads (
    id INTEGER PRIMARY KEY,
    upload_id TEXT NOT NULL UNIQUE,
    bucket_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    owner INTEGER NOT NULL,
    initiator INTEGER NOT NULL,
    initiated_ms INTEGER NOT NULL,
    storage_class INTEGER NOT NULL,
    attributes TEXT,
    checksum_algorithm TEXT,
    checksum_type TEXT,
    completed_ms INTEGER,
    completion TEXT
  ) STRICT;
  CREATE INDEX uploads_open ON uploads (bucket_id, key, id) WHERE completed_ms IS NULL;
  CREATE INDEX uploads_completed ON uploads (completed_ms) WHERE completed_ms IS NOT NULL;

  CREATE TABLE parts (
    upload INTEGER NOT NULL,
    part_number INTEGER NOT NULL,
    number INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    checksum_kind INTEGER,
    checksum_value TEXT,
    spans BLOB,
    PRIMARY KEY (upload, part_number)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX parts_by_number ON parts (number);

  CREATE TABLE stripes (
    id BLOB PRIMARY KEY,
    profile INTEGER NOT NULL,
    k INTEGER NOT NULL,
    m INTEGER NOT NULL,
    block_bytes INTEGER NOT NULL,
    data_bytes INTEGER NOT NULL,
    manifest_bytes INTEGER NOT NULL,
    shard_count INTEGER NOT NULL,
    placed_count INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    live_bytes INTEGER NOT NULL,
    freed_ms INTEGER,
    shards BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX stripes_freed ON stripes (freed_ms) WHERE freed_ms IS NOT NULL;
  CREATE INDEX stripes_degraded
    ON stripes (m - shard_count + placed_count)
    WHERE placed_count < shard_count AND freed_ms IS NULL;
  CREATE INDEX stripes_sparse ON stripes (${wasteOfStripe} DESC) WHERE ${isSparseStripe};

  CREATE TABLE stripe_refs (
    stripe_id BLOB NOT NULL,
    owner_id INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (stripe_id, owner_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE shard_cids (
    cid_head INTEGER NOT NULL,
    stripe_id BLOB NOT NULL,
    PRIMARY KEY (cid_head, stripe_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE system_objects (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    spans BLOB
  ) STRICT;
  `,
  (db) => {
    db.exec(`
      CREATE TABLE providers (
        id TEXT PRIMARY KEY,
        record TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE placements (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        profile INTEGER NOT NULL,
        k INTEGER NOT NULL,
        m INTEGER NOT NULL,
        shard_count INTEGER NOT NULL,
        holders BLOB NOT NULL,
        stripes INTEGER NOT NULL,
        stored_bytes INTEGER NOT NULL,
        UNIQUE (profile, k, m, shard_count, holders)
      ) STRICT;

      CREATE TABLE leftovers (
        provider INTEGER PRIMARY KEY,
        shards INTEGER NOT NULL
      ) STRICT;

      ALTER TABLE stripes ADD COLUMN placement INTEGER;
      ALTER TABLE stripes ADD COLUMN degraded_ms INTEGER;
      CREATE INDEX stripes_degraded_since ON stripes (degraded_ms)
        WHERE degraded_ms IS NOT NULL AND freed_ms IS NULL`);
    fillPlacements(db, Date.now());
  },
  'ALTER TABLE buckets ADD COLUMN profile_name TEXT',
  'ALTER TABLE buckets ADD COLUMN etags TEXT',
];

/**
 * Brings a database to the newest schema, each step in a transaction of its own. Returns the version that it had.
 *
 * @throws Error when the file is no metadata database of Holdfast, or one of a newer version
 */
export function migrate(db: Database, steps: readonly Migration[] = migrations): number {
  const before = Number(db.pragma('user_version', { simple: true }));
  const id = Number(db.pragma('application_id', { simple: true }));
  const isOurs = id === applicationId;
  const isEmpty = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (id === plainLayoutId) {
    throw new Error(
      `${db.name} has the layout of a Holdfast that did not encrypt yet, which this version cannot read: ` +
        'copy its objects with an S3 client into a gateway with a new data directory',
    );
  }
  if (id === importingId) {
    throw new Error(`${db.name} is what an import left that was never finished: remove it and recover again`);
  }
  if (before > steps.length) {
    throw new Error(
      `${db.name} has metadata schema version ${before}, but this version of Holdfast knows only ${steps.length}: ` +
        'run the newer version that wrote it',
    );
  }
  if (!isOurs && !(isEmpty && before === 0)) throw new Error(`${db.name} is not a metadata database of Holdfast`);
  for (let version = before; version < steps.length; version++) {
    db.transaction(() => {
      const step = steps[version]!;
      if (typeof step === 'string') db.exec(step);
      else step(db);
      db.pragma(`application_id = ${applicationId}`);
      db.pragma(`user_version = ${version + 1}`);
    }).immediate();
  }
  return before;
}
