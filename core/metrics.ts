import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { RequestTally } from './request-tally.ts';
import { TalliedHistogram } from './tallied-histogram.ts';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Every metric of Holdfast, each declared once; docs/metrics.md lists them for operators. */
export class Metrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];

  readonly requestSeconds = new TalliedHistogram({
    name: 'holdfast_request_duration_seconds',
    help: 'From the request head to the last byte of the response, by operation',
    labelNames: ['operation'] as const,
    buckets: seconds,
    registers: this.#registers,
  });
  /** What the gateway counts at every request; the next three show it. */
  readonly requestTally = new RequestTally(this.requestSeconds);
  readonly requests: Counter<'operation' | 'status' | 'code'> = new Counter({
    name: 'holdfast_requests_total',
    help: 'S3 requests answered, by operation, HTTP status and S3 error code (empty when none)',
    labelNames: ['operation', 'status', 'code'] as const,
    registers: this.#registers,
    collect: () => this.requestTally.fillRequests(this.requests),
  });
  readonly requestsInFlight: Gauge = new Gauge({
    name: 'holdfast_requests_in_flight',
    help: 'S3 requests being served',
    registers: this.#registers,
    collect: () => this.requestsInFlight.set(this.requestTally.inFlight),
  });
  readonly bodyBytes: Counter<'direction'> = new Counter({
    name: 'holdfast_body_bytes_total',
    help: 'Bytes of object data received from (in) and sent to (out) clients',
    labelNames: ['direction'] as const,
    registers: this.#registers,
    collect: () => this.requestTally.fillBytes(this.bodyBytes),
  });
  readonly providerCalls = new Counter({
    name: 'holdfast_provider_calls_total',
    help: 'Calls to providers, by provider, call and outcome (ok or the kind of failure)',
    labelNames: ['provider', 'call', 'outcome'] as const,
    registers: this.#registers,
  });
  readonly providerSeconds = new Histogram({
    name: 'holdfast_provider_call_duration_seconds',
    help: 'Time of calls to providers, by provider and call',
    labelNames: ['provider', 'call'] as const,
    buckets: seconds,
    registers: this.#registers,
  });
  readonly providerBytes = new Counter({
    name: 'holdfast_provider_bytes_total',
    help: 'Bytes written to (out) and read from (in) providers',
    labelNames: ['provider', 'direction'] as const,
    registers: this.#registers,
  });
  readonly blocksRead = new Counter({
    name: 'holdfast_blocks_read_total',
    help: 'Blocks asked of providers for reads, by outcome: verified, or the kind of failure',
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
  readonly budgetBytes = new Gauge({
    name: 'holdfast_budget_bytes',
    help: 'Memory taken from each budget now',
    labelNames: ['budget'] as const,
    registers: this.#registers,
  });
  readonly budgetWaiting = new Gauge({
    name: 'holdfast_budget_waiting',
    help: 'Requests that wait for memory of each budget',
    labelNames: ['budget'] as const,
    registers: this.#registers,
  });
  readonly stripes = new Gauge({
    name: 'holdfast_stripes',
    help: 'Stripes in the metadata store, by state: live, degraded (fewer shards recorded than there should be), freed',
    labelNames: ['state'] as const,
    registers: this.#registers,
  });

  constructor(options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics) collectDefaultMetrics({ register: this.registry, prefix: 'holdfast_' });
  }
}
