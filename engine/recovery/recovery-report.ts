import type { ImportReport } from '../../metadata/record-store.ts';

/** What a recovery found and made. */
export interface RecoveryReport {
  /** Roots that opened. */
  readonly roots: number;
  readonly snapshotChunks: number;
  readonly batches: number;
  /** When the newest batch was written. Undefined where there is none. */
  readonly journaledAtMs: number | undefined;
  /** The store after snapshot and journal. */
  readonly imported: ImportReport;
  /** What manifests told beyond the journal. */
  readonly manifests: ManifestReport;
  /** Shards that were listed at all providers. */
  readonly shardsListed: number;
  /** What could not be recovered, or may not have been: one sentence each. Empty when all is well. */
  readonly problems: readonly string[];
}

export interface ManifestReport {
  /** Stripes that the journal does not know, and whose manifest opened. */
  readonly manifests: number;
  readonly versions: number;
  readonly parts: number;
  /** Entries that were not to be: their condition does not hold, or their bucket or upload is gone. */
  readonly refused: number;
  /** Shards that lie elsewhere than the journal says, since they were moved or rebuilt after its last batch. */
  readonly shardsMoved: number;
}
