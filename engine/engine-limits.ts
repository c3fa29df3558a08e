const MiB = 2 ** 20;
const GiB = 2 ** 30;
const hourMs = 3_600_000;

/** The longest object that may go into a pack: half of what fits into a block. */
export const maxPackObjectBytes = 128 * 1024;

/** What bounds the engine's memory, waiting and object sizes. */
export interface EngineLimits {
  /** Memory for rows on their way to providers, of all uploads together. */
  readonly writeBudgetBytes: number;
  /** Memory for rows on their way from providers, of all reads together (repair included). */
  readonly readBudgetBytes: number;
  /** How long a request waits for memory before it is refused as `overloaded`. */
  readonly budgetWaitMs: number;
  /** Memory for verified digest tables of shards that were read. */
  readonly digestCacheBytes: number;
  /** Memory for small objects that were read lately; 0: each read asks a provider. */
  readonly pieceCacheBytes: number;
  /** How long a block may take at the most before its row is also rebuilt from others; less once its provider's pace is known. */
  readonly hedgeMs: number;
  /** How long a write waits for a provider under suspicion. */
  readonly suspectWaitMs: number;
  /** A write waits at least so long for a provider that is later than the others; see `settleLanes`. */
  readonly lateWriteMs: number;
  /**
   * For how long, by the measure of the others, a write waits for a provider without which it fails; and for a bucket, which may lie
   * behind a slow link.
   */
  readonly stuckWriteMs: number;
  readonly stuckBucketWriteMs: number;
  /** Objects and parts up to this length share stripes with others that arrive together; 0: each has stripes of its own. */
  readonly packObjectBytes: number;
  /** The longest PUT, part, or copy source. AWS: 5 GiB. */
  readonly maxPutBytes: number;
  /** The longest object. AWS: 5 TiB. */
  readonly maxObjectBytes: number;
  /** The shortest part, but for the last one of an upload. AWS: 5 MiB. */
  readonly minPartBytes: number;
  /** How old a shard must be before it may count as an orphan. Uploads under way in this process are spared beyond it. */
  readonly orphanAgeMs: number;
  /** How long a stripe stays readable after its last reference went. */
  readonly freedGraceMs: number;
  /** How long a completed upload is remembered for clients that repeat the call. */
  readonly completionAgeMs: number;
  /** From one pass of upkeep over freed and degraded stripes to the next. */
  readonly upkeepIntervalMs: number;
  /** From one batch of the journal to the next, where nothing asks for one at once. */
  readonly journalIntervalMs: number;
  /** A new snapshot is due after so many batches of the journal. */
  readonly snapshotBatches: number;
  /** How long a provider may be down before its shards are rebuilt elsewhere. The fleet goes by it; here it is part of the time that a repair takes. */
  readonly lostAfterMs: number;
  /** How old a stripe must be before compaction looks at it: what is young may fall empty by itself. */
  readonly compactAgeMs: number;
  /** How much compaction reads a second at most. */
  readonly compactBytesPerS: number;
  /** How much repair reads from providers and writes to them a second at most, unless a stripe can bear no further loss. */
  readonly repairBytesPerS: number;
  /** How many calls it makes a second at most. */
  readonly repairOpsPerS: number;
  /** How much drain and rebalance read and write a second at most; `repairOpsPerS` holds for their calls too. */
  readonly moveBytesPerS: number;
  /** How far a provider may be from what it should hold, against what they hold on average, before shards are moved; 0: drain alone moves shards. */
  readonly rebalanceSkew: number;
  /** And how many bytes it must be from that. */
  readonly rebalanceBytes: number;
  /** Within how long scrub reads every shard. */
  readonly scrubPeriodMs: number;
  /** How much scrub reads a second at most, also when it is late. */
  readonly scrubBytesPerS: number;
  /** From one search for orphans to the next. */
  readonly orphanIntervalMs: number;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html for the sizes. */
export const defaultLimits: EngineLimits = {
  writeBudgetBytes: 48 * MiB,
  readBudgetBytes: 48 * MiB,
  budgetWaitMs: 20_000,
  digestCacheBytes: 8 * MiB,
  pieceCacheBytes: 16 * MiB,
  hedgeMs: 300,
  suspectWaitMs: 1_000,
  lateWriteMs: 1_000,
  stuckWriteMs: 4_000,
  stuckBucketWriteMs: 15_000,
  packObjectBytes: maxPackObjectBytes,
  maxPutBytes: 5 * GiB,
  maxObjectBytes: 5 * 1024 * GiB,
  minPartBytes: 5 * MiB,
  orphanAgeMs: 24 * hourMs,
  freedGraceMs: 30_000,
  completionAgeMs: 24 * hourMs,
  upkeepIntervalMs: 5_000,
  journalIntervalMs: 10_000,
  snapshotBatches: 1_000,
  compactAgeMs: 60_000,
  compactBytesPerS: 16 * MiB,
  repairBytesPerS: 128 * MiB,
  repairOpsPerS: 1_000,
  moveBytesPerS: 64 * MiB,
  rebalanceSkew: 0.1,
  rebalanceBytes: 64 * MiB,
  scrubPeriodMs: 14 * 24 * hourMs,
  scrubBytesPerS: 64 * MiB,
  orphanIntervalMs: 6 * hourMs,
  lostAfterMs: 15 * 60_000,
};
