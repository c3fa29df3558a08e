import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import type Registry from 'prom-client/lib/registry.js';
import { durationBuckets } from './duration-buckets.ts';
import { RequestTally } from './request-tally.ts';
import { TalliedHistogram } from './tallied-histogram.ts';

/** What an HTTP server of Holdfast tells of its requests: `holdfast_requests_total` and its like, or `holdfast_node_requests_total`. */
export class RequestMetrics {
  readonly requestSeconds: TalliedHistogram<'operation'>;
  /** What is counted at every request; the metrics beside it show it. */
  readonly requestTally: RequestTally;
  readonly requests: Counter<'operation' | 'status' | 'code'>;
  readonly requestsInFlight: Gauge;
  readonly bodyBytes: Counter<'direction'>;

  /** @param parts.requests and `parts.bytes`: what they are, for the help texts */
  constructor(parts: { prefix: 'holdfast' | 'holdfast_node'; registry: Registry; requests: string; bytes: string }) {
    const { prefix, requests, bytes } = parts;
    const registers = [parts.registry];
    this.requestSeconds = new TalliedHistogram({
      name: `${prefix}_request_duration_seconds`,
      help: 'From the request head to the last byte of the response, by operation',
      labelNames: ['operation'] as const,
      buckets: durationBuckets,
      registers,
    });
    this.requestTally = new RequestTally(this.requestSeconds);
    this.requests = new Counter({
      name: `${prefix}_requests_total`,
      help: `${requests} answered, by operation, HTTP status and error code (empty when none)`,
      labelNames: ['operation', 'status', 'code'] as const,
      registers,
      collect: () => this.requestTally.fillRequests(this.requests),
    });
    this.requestsInFlight = new Gauge({
      name: `${prefix}_requests_in_flight`,
      help: `${requests} being served`,
      registers,
      collect: () => this.requestsInFlight.set(this.requestTally.inFlight),
    });
    this.bodyBytes = new Counter({
      name: `${prefix}_body_bytes_total`,
      help: `Bytes of ${bytes}`,
      labelNames: ['direction'] as const,
      registers,
      collect: () => this.requestTally.fillBytes(this.bodyBytes),
    });
  }
}
