import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Registry from 'prom-client/lib/registry.js';
import { BudgetGauges } from './metrics.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { RequestMetrics } from './request-metrics.ts';

/** Every metric of a node, each declared once; docs/metrics.md lists them for operators. */
export class NodeMetrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  /** Calls by name and outcome, counted in a map and not in prom-client: a batch may hold hundreds. */
  readonly #calls = new Map<string, number>();

  readonly #requestMetrics = new RequestMetrics({
    prefix: 'holdfast_node',
    registry: this.registry,
    requests: 'Requests',
    bytes: 'bodies received from (in) and sent to (out) gateways',
  });
  readonly requestTally = this.#requestMetrics.requestTally;
  readonly calls: Counter<'call' | 'outcome'> = new Counter({
    name: 'holdfast_node_calls_total',
    help: 'Calls to the directory, by call and outcome (ok or the kind of failure); a batch holds many',
    labelNames: ['call', 'outcome'] as const,
    registers: this.#registers,
    collect: () => {
      this.calls.reset();
      for (const [key, count] of this.#calls) {
        const [call = '', outcome = ''] = key.split(' ');
        this.calls.inc({ call, outcome }, count);
      }
    },
  });
  readonly uploads = new Gauge({
    name: 'holdfast_node_uploads',
    help: 'Shards that are being sent piece by piece',
    registers: this.#registers,
  });
  readonly uploadsExpired = new Counter({
    name: 'holdfast_node_uploads_expired_total',
    help: 'Of these, how many were dropped because their gateway left them',
    registers: this.#registers,
  });
  readonly #budgets = new BudgetGauges(this.registry);
  readonly budgetBytes = this.#budgets.budgetBytes;
  readonly budgetWaiting = this.#budgets.budgetWaiting;
  readonly #processMetrics: ProcessMetrics | undefined;

  constructor(options: { processMetrics?: boolean } = {}) {
    if (options.processMetrics) this.#processMetrics = new ProcessMetrics(this.registry);
  }

  /** All metrics, in the text format of `registry.contentType`. */
  async readText(): Promise<string> {
    await this.#processMetrics?.load();
    return this.registry.metrics();
  }

  countCall(call: string, outcome: string): void {
    const key = `${call} ${outcome}`;
    this.#calls.set(key, (this.#calls.get(key) ?? 0) + 1);
  }
}
