import type { Registry } from 'prom-client';
import Gauge from 'prom-client/lib/gauge.js';
import { TalliedHistogram, type TalliedSeries } from './tallied-histogram.ts';

/** How often the loop is looked at: seldom enough that an idle process, which each look wakes, has next to nothing to do. */
const periodMs = 10;
const bucketsSeconds = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000, 2000, 5000].map(
  (ms) => ms / 1000,
);
/** Of one delay; a process that was stopped for an hour is late by no more than it can count in a moment. */
const maxMoments = 1000;

/**
 * How long the event loop leaves waiting what is due, from when it is started. A delay is counted as it is felt at moments that are spread evenly
 * over time, and not once for each: what comes in while the loop is busy for 100 ms waits for 100, 90, 80 ms and so on, and
 * quantiles are of all those moments (Tene, "How NOT to Measure Latency", on coordinated omission). perf_hooks' monitor
 * counts each delay once, with its own period added.
 */
export class EventLoopDelay {
  readonly #series: TalliedSeries;
  #maxMs = 0;

  constructor({ registry }: { registry: Registry }) {
    this.#series = new TalliedHistogram({
      name: 'holdfast_event_loop_delay_seconds',
      help: 'How long the event loop leaves waiting what is due, at moments spread evenly over time',
      labelNames: [],
      buckets: bucketsSeconds,
      registers: [registry],
    }).series({});
    const longest = new Gauge({
      name: 'holdfast_event_loop_delay_max_seconds',
      help: 'The longest of these since the metrics were last read',
      registers: [registry],
      collect: () => {
        longest.set(this.#maxMs / 1000);
        this.#maxMs = 0;
      },
    });
  }

  /** Looks at the loop from now on, and does not keep the process from ending. */
  start(): void {
    let seenAtMs = performance.now();
    setInterval(() => {
      const now = performance.now();
      this.record(now - seenAtMs - periodMs);
      seenAtMs = now;
    }, periodMs).unref();
  }

  /** Counts a look that came so much later than it was due. */
  record(delayMs: number): void {
    if (delayMs > this.#maxMs) this.#maxMs = delayMs;
    this.#series.observe(Math.max(0, delayMs) / 1000);
    const leastMs = delayMs - periodMs * maxMoments;
    for (let left = delayMs - periodMs; left > 0 && left > leastMs; left -= periodMs) this.#series.observe(left / 1000);
  }
}
