import type { Registry } from 'prom-client';
import { EventLoopDelay } from './event-loop-delay.ts';

/**
 * prom-client's metrics of the process: memory, CPU time, garbage collection, delays of the event loop. They are loaded when
 * somebody first reads the metrics, and not at the start, which would wait 50 ms for them; they count from then on. The
 * event loop's delay, of which quantiles can be taken and alerted on, is our own, and counts from the start.
 */
export class ProcessMetrics {
  readonly #registry: Registry;
  #loaded: Promise<void> | undefined;

  constructor(registry: Registry) {
    this.#registry = registry;
    new EventLoopDelay({ registry }).start();
  }

  /** Has them in the registry; to be awaited before it is read. */
  load(): Promise<void> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  async #load(): Promise<void> {
    const { default: collectDefaultMetrics } = await import('prom-client/lib/defaultMetrics.js');
    collectDefaultMetrics({ register: this.#registry, prefix: 'holdfast_' });
  }
}
