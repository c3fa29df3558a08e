import type { StripeId } from '../core/model.ts';

/**
 * A metadata store as records that any other can take: what journal, snapshots and recovery work with. A part of `MetadataStore`,
 * whose duties hold here too.
 */
export interface RecordStore {
  /**
   * What changed since `forgetChanges`, each row once and as it is now, all at one moment (no write comes in between).
   * What is gone has the value null.
   */
  readChanges(): Promise<ChangeSet>;
  /** Forgets the changes up to and including those of a change set, but not what changed again since. */
  forgetChanges(mark: number): Promise<void>;
  /** All records of the store, page by page; not at one moment: what changes meanwhile is in a later change set. */
  readRecords(cursor: string | undefined, limit: number): Promise<RecordPage>;
  /**
   * For recovery into a fresh store: adds, replaces and removes rows in the order given. Until `finishImport` the store is
   * good for nothing but these three verbs and the settings.
   */
  importRecords(records: readonly MetadataRecord[]): Promise<void>;
  /**
   * Makes an imported store whole: references, indexes, totals and the next number follow from its rows. References to stripes that
   * are not there are reported, not repaired. Stripes that nothing refers to are freed.
   */
  finishImport(): Promise<ImportReport>;
  /**
   * Does some work during which no stripe is freed. What nothing refers to any more is freed after it: recovery puts the objects of a pack
   * one by one, and the first may be replaced before the others are there.
   */
  withoutFreeing<T>(work: () => Promise<T>): Promise<T>;
  /** Which of these numbers some version, part or upload has. */
  knownNumbers(numbers: readonly number[]): Promise<Set<number>>;
}

/**
 * A row of the store in a form that any store can take: `value` is plain JSON and says all there is; null means that the row is gone.
 * A kind and a key name one row.
 */
export interface MetadataRecord {
  readonly kind: 'bucket' | 'version' | 'upload' | 'part' | 'stripe' | 'provider' | 'setting';
  readonly key: string;
  readonly value: unknown;
}

export interface ChangeSet {
  readonly records: readonly MetadataRecord[];
  /** For `forgetChanges`. */
  readonly mark: number;
}

export interface RecordPage {
  readonly records: readonly MetadataRecord[];
  /** Absent at the end. */
  readonly cursor?: string;
}

export interface ImportReport {
  readonly buckets: number;
  readonly versions: number;
  readonly uploads: number;
  readonly parts: number;
  readonly stripes: number;
  /** Stripes that versions or parts refer to and that are not there. */
  readonly missingStripes: readonly StripeId[];
}
