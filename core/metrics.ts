import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import { durationBuckets } from './duration-buckets.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { RequestMetrics } from './request-metrics.ts';
import { RowTaskCounts } from './row-task-counts.ts';
import { TalliedFigures } from './tallied-figures.ts';
import { TalliedHistogram } from './tallied-histogram.ts';

/** What a `ByteBudget` tells, in a gateway and in a node. */
export class BudgetGauges {
  readonly budgetBytes: TalliedFigures<'budget'>;
  readonly budgetWaiting: TalliedFigures<'budget'>;

  constructor(registry: Registry) {
    this.budgetBytes = new TalliedFigures({
      type: 'gauge',
      name: 'holdfast_budget_bytes',
      help: 'Memory taken from each budget now',
      labelNames: ['budget'] as const,
      registers: [registry],
    });
    this.budgetWaiting = new TalliedFigures({
      type: 'gauge',
      name: 'holdfast_budget_waiting',
      help: 'Requests that wait for memory of each budget',
      labelNames: ['budget'] as const,
      registers: [registry],
    });
  }
}

/** Every metric of a gateway, each declared once (those of a node are in node-metrics.ts); docs/metrics.md lists them for operators. */
export class Metrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];

  readonly #requestMetrics = new RequestMetrics({
    prefix: 'holdfast',
    registry: this.registry,
    requests: 'S3 requests',
    bytes: 'object data received from (in) and sent to (out) clients',
  });
  readonly requestTally = this.#requestMetrics.requestTally;
  readonly requestsInFlight = this.#requestMetrics.requestsInFlight;
  readonly bodyBytes = this.#requestMetrics.bodyBytes;
  readonly providerCalls = new TalliedFigures({
    type: 'counter',
    name: 'holdfast_provider_calls_total',
    help: 'Calls to providers, by provider, call and outcome (ok or the kind of failure)',
    labelNames: ['provider', 'call', 'outcome'] as const,
    registers: this.#registers,
  });
  readonly providerSeconds = new TalliedHistogram({
    name: 'holdfast_provider_call_duration_seconds',
    help: 'Time of calls to providers, by provider and call',
    labelNames: ['provider', 'call'] as const,
    buckets: durationBuckets,
    registers: this.#registers,
  });
  /** Set when the metrics are read, by whoever knows; see `observeFleet`. */
  readonly providerBreaker: Gauge<'provider'> = new Gauge({
    name: 'holdfast_provider_breaker',
    help: 'Circuit breaker of each provider: 0 closed, 1 half-open, 2 open',
    labelNames: ['provider'] as const,
    registers: this.#registers,
    collect: () => this.observeFleet(),
  });
  readonly providerLatency = new Gauge({
    name: 'holdfast_provider_latency_p95_seconds',
    help: 'What 95 of 100 of the last calls took at most, by provider and kind: read-small (up to 64 KiB), read-large or write',
    labelNames: ['provider', 'kind'] as const,
    registers: this.#registers,
  });
  readonly providerFreeBytes = new Gauge({
    name: 'holdfast_provider_free_bytes',
    help: 'Space that new data may take at each provider, as last measured; none for one that knows no bound',
    labelNames: ['provider'] as const,
    registers: this.#registers,
  });
  readonly providerTotalBytes = new Gauge({
    name: 'holdfast_provider_total_bytes',
    help: 'Space of each provider, used or free, as last measured; none for one that knows no bound',
    labelNames: ['provider'] as const,
    registers: this.#registers,
  });
  /** Fills the gauges of what is known of each provider; whoever puts the parts together gives one that does. */
  observeFleet: () => void = () => {};
  readonly providerBytes = new TalliedFigures({
    type: 'counter',
    name: 'holdfast_provider_bytes_total',
    help: 'Bytes written to (out) and read from (in) providers',
    labelNames: ['provider', 'direction'] as const,
    registers: this.#registers,
  });
  readonly blocksRead = new TalliedFigures({
    type: 'counter',
    name: 'holdfast_blocks_read_total',
    help: 'Blocks asked of providers for reads, by outcome: verified, or the kind of failure',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly smallReads = new TalliedFigures({
    type: 'counter',
    name: 'holdfast_small_reads_total',
    help: 'Reads of small objects by where the bytes came from: memory, or a provider',
    labelNames: ['source'] as const,
    registers: this.#registers,
  });
  readonly blocksLate = new Counter({
    name: 'holdfast_blocks_late_total',
    help: 'Blocks that came later than the provider does as a rule, by outcome: hedged (others were asked) or waited (the budget for hedges was spent)',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly blocksRebuilt = new Counter({
    name: 'holdfast_blocks_rebuilt_total',
    help: 'Blocks that had to be computed from k others',
    registers: this.#registers,
  });
  readonly spreadViolations = new Counter({
    name: 'holdfast_placement_spread_violations_total',
    help: 'Stripes that were given places with more than m shards in one operator, country or zone, since the fleet allowed nothing better, by level',
    labelNames: ['level'] as const,
    registers: this.#registers,
  });
  readonly stripesWritten = new Counter({
    name: 'holdfast_stripes_written_total',
    help: 'Stripes written, by outcome: full (every shard durable), degraded (at least the write quorum) or failed',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly packedObjects = new Counter({
    name: 'holdfast_packed_objects_total',
    help: 'Objects and parts that were written into packs; divided by the packs written, how many share one',
    registers: this.#registers,
  });
  readonly stripesCompacted = new Counter({
    name: 'holdfast_stripes_compacted_total',
    help: 'Sparse stripes whose live data was written anew',
    registers: this.#registers,
  });
  readonly compactedBytes = new Counter({
    name: 'holdfast_compacted_bytes_total',
    help: 'Live bytes that compaction moved',
    registers: this.#registers,
  });
  readonly storageBytes = new Gauge({
    name: 'holdfast_storage_bytes',
    help: 'Bytes at providers by kind: stored (what the shards of live stripes take) and needed (what live data would take at k+m)',
    labelNames: ['kind'] as const,
    registers: this.#registers,
  });
  readonly shardsCollected = new Counter({
    name: 'holdfast_shards_collected_total',
    help: 'Shards deleted at providers, by cause: freed (nothing refers to the stripe) or orphan (no stripe is known for it)',
    labelNames: ['cause'] as const,
    registers: this.#registers,
  });
  readonly shardsRepaired = new Counter({
    name: 'holdfast_shards_repaired_total',
    help: 'Shards rebuilt onto a provider after they were lost or never written',
    registers: this.#registers,
  });
  readonly repairedBytes = new Counter({
    name: 'holdfast_repaired_bytes_total',
    help: 'Length of these shards',
    registers: this.#registers,
  });
  readonly repairSeconds = new Histogram({
    name: 'holdfast_repair_duration_seconds',
    help: 'Time that it took to rebuild, write, read back and record what a stripe lacked',
    buckets: durationBuckets,
    registers: this.#registers,
  });
  readonly shardsNotKept = new Counter({
    name: 'holdfast_repairs_not_kept_total',
    help: 'Shards that repair or a move wrote, and that the provider acknowledged and did not give back right after, by provider',
    labelNames: ['provider'] as const,
    registers: this.#registers,
  });
  readonly codecInfo = new Gauge({
    name: 'holdfast_codec_info',
    help: '1 for the erasure codec that is used',
    labelNames: ['codec'] as const,
    registers: this.#registers,
  });
  readonly stripesAtMargin = new Gauge({
    name: 'holdfast_stripes_at_margin',
    help: 'Live stripes by how many further shards they can lose: a number, unavailable (not readable until a provider is back) or lost',
    labelNames: ['margin'] as const,
    registers: this.#registers,
  });
  readonly bytesAtMargin = new Gauge({
    name: 'holdfast_bytes_at_margin',
    help: 'What the shards of these stripes take',
    labelNames: ['margin'] as const,
    registers: this.#registers,
  });
  readonly objectsAtMargin = new Gauge({
    name: 'holdfast_objects_at_margin',
    help: 'Object versions below the full margin, each at the worst of its stripes, as last counted',
    labelNames: ['margin'] as const,
    registers: this.#registers,
  });
  readonly repairQueueStripes = new Gauge({
    name: 'holdfast_repair_queue_stripes',
    help: 'Stripes that lack shards which are to be rebuilt',
    registers: this.#registers,
  });
  readonly repairOldestSeconds = new Gauge({
    name: 'holdfast_repair_oldest_timestamp_seconds',
    help: 'Since when the oldest of them has been waiting, in seconds since 1970; 0 where nothing waits',
    registers: this.#registers,
  });
  readonly upkeepRateFactor = new Gauge({
    name: 'holdfast_upkeep_rate_factor',
    help: 'The part of its rates at which upkeep works, since clients come first; 1 is all',
    registers: this.#registers,
  });
  readonly shardsMoved = new Counter({
    name: 'holdfast_shards_moved_total',
    help: 'Shards that drain and rebalance moved to another provider',
    registers: this.#registers,
  });
  readonly movedBytes = new Counter({
    name: 'holdfast_moved_bytes_total',
    help: 'Length of the shards that drain and rebalance moved',
    registers: this.#registers,
  });
  readonly drainLeftBytes = new Gauge({
    name: 'holdfast_drain_left_bytes',
    help: 'About how many bytes of live stripes still lie at a provider that is being drained',
    labelNames: ['provider'] as const,
    registers: this.#registers,
  });
  readonly fleetSkew = new Gauge({
    name: 'holdfast_fleet_skew_ratio',
    help: 'How far the provider that is furthest from what it should hold is from it, against what they should hold on average',
    registers: this.#registers,
  });
  readonly stripesAgainstSpread = new Gauge({
    name: 'holdfast_stripes_against_spread',
    help: 'Live stripes with more than m shards in one operator, country or zone',
    registers: this.#registers,
  });
  readonly scrubbedShards = new Counter({
    name: 'holdfast_scrubbed_shards_total',
    help: 'Shards that scrub read whole, by outcome: good, missing, corrupt, or unreadable (it will be read again later)',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly scrubbedBytes = new Counter({
    name: 'holdfast_scrubbed_bytes_total',
    help: 'Bytes of shards that scrub read',
    registers: this.#registers,
  });
  readonly miscodedStripes = new Counter({
    name: 'holdfast_miscoded_stripes_total',
    help: 'Stripes whose shards had their digests and did not code to one another, by outcome: mended, or unclear (nothing proves which are wrong)',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly scrubRoundPart = new Gauge({
    name: 'holdfast_scrub_round_ratio',
    help: 'How much of what is stored the present round of scrub has read, 0 to 1',
    registers: this.#registers,
  });
  readonly scrubOldestSeconds = new Gauge({
    name: 'holdfast_scrub_oldest_timestamp_seconds',
    help: 'When the shard was read that scrub has not read for longest, in seconds since 1970; 0 where nothing is stored',
    registers: this.#registers,
  });
  readonly #md5Bytes = new TalliedFigures({
    type: 'counter',
    name: 'holdfast_md5_bytes_total',
    help: 'Bytes written or copied, by how the MD5 for their ETag was computed: in lanes (several streams at once), alone, or skipped (an opaque ETag, or that of the source)',
    labelNames: ['way'] as const,
    registers: this.#registers,
  });
  readonly #md5Series = {
    lanes: this.#md5Bytes.series({ way: 'lanes' }),
    alone: this.#md5Bytes.series({ way: 'alone' }),
    skipped: this.#md5Bytes.series({ way: 'skipped' }),
  };
  /** Counts bytes that were hashed, or need not be. Bound, since it is handed on. */
  readonly noteMd5 = (way: 'lanes' | 'alone' | 'skipped', bytes: number): void => {
    this.#md5Series[way].value += bytes;
  };
  readonly journalBatches = new Counter({
    name: 'holdfast_journal_batches_total',
    help: 'Batches of metadata changes written to the providers, by outcome: ok or failed (the changes come with a later batch)',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly journalBytes = new Counter({
    name: 'holdfast_journal_bytes_total',
    help: 'Length of these batches before sealing and coding',
    registers: this.#registers,
  });
  readonly journalCoversSeconds = new Gauge({
    name: 'holdfast_journal_covers_timestamp_seconds',
    help: 'Until when all metadata changes are at the providers, in seconds since 1970',
    registers: this.#registers,
  });
  readonly rootsWritten = new Counter({
    name: 'holdfast_roots_written_total',
    help: 'Roots written to providers, by outcome: ok or failed',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly snapshots = new Counter({
    name: 'holdfast_snapshots_total',
    help: 'Snapshots of the metadata written to the providers, by outcome: ok or failed',
    labelNames: ['outcome'] as const,
    registers: this.#registers,
  });
  readonly snapshotWrittenSeconds = new Gauge({
    name: 'holdfast_snapshot_timestamp_seconds',
    help: 'When the last snapshot was complete, in seconds since 1970; 0 before the first one of this process',
    registers: this.#registers,
  });
  readonly snapshotBytes = new Gauge({
    name: 'holdfast_snapshot_bytes',
    help: 'Length of the last snapshot of this process before sealing and coding',
    registers: this.#registers,
  });
  readonly rowTasks = new RowTaskCounts(this.registry);
  readonly #budgets = new BudgetGauges(this.registry);
  readonly budgetBytes = this.#budgets.budgetBytes;
  readonly budgetWaiting = this.#budgets.budgetWaiting;
  readonly stripes = new Gauge({
    name: 'holdfast_stripes',
    help: 'Stripes in the metadata store, by state: live, degraded (fewer shards recorded than there should be), freed',
    labelNames: ['state'] as const,
    registers: this.#registers,
  });
  readonly #processMetrics: ProcessMetrics | undefined;

  constructor(options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics) this.#processMetrics = new ProcessMetrics(this.registry);
  }

  /** All metrics, in the text format of `registry.contentType`. */
  async readText(): Promise<string> {
    await this.#processMetrics?.load();
    return this.registry.metrics();
  }
}
