import type { Metric, Registry } from 'prom-client';

type Labels<Label extends string> = Readonly<Record<Label, string>>;

/** One series of a metric: the figure under one set of labels. Whoever keeps it changes it as a plain number. */
export interface TalliedFigure<Label extends string> {
  readonly labels: Labels<Label>;
  value: number;
}

/**
 * A counter or gauge for what happens many times in a request, in a registry of prom-client. That library's own finds a series
 * by the text of its labels at each change; here a series is looked up once and kept, and a change is an addition.
 */
export class TalliedFigures<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly aggregator = 'sum';
  readonly #labelNames: readonly Label[];
  readonly #series = new Map<string, TalliedFigure<Label>>();

  constructor(configuration: {
    readonly name: string;
    readonly help: string;
    readonly type: 'counter' | 'gauge';
    readonly labelNames: readonly Label[];
    readonly registers: readonly Registry[];
  }) {
    this.name = configuration.name;
    this.help = configuration.help;
    this.type = configuration.type;
    this.#labelNames = configuration.labelNames;
    // A registry asks a metric for nothing but its name and what `get` gives.
    for (const registry of configuration.registers) registry.registerMetric(this as unknown as Metric);
  }

  /** The series of these labels, to be kept by the caller; always the same one. */
  series(labels: Labels<Label>): TalliedFigure<Label> {
    const key = JSON.stringify(this.#labelNames.map((name) => labels[name]));
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const series = { labels, value: 0 };
    this.#series.set(key, series);
    return series;
  }

  /** Adds to a series that is not worth keeping. */
  inc(labels: Labels<Label>, change = 1): void {
    this.series(labels).value += change;
  }

  /** As prom-client's metrics give it; a counter's series that never counted is left out. */
  async get(): Promise<{
    name: string;
    help: string;
    type: string;
    aggregator: string;
    values: { labels: Labels<Label>; value: number }[];
  }> {
    const { name, help, type, aggregator } = this;
    const shown = [...this.#series.values()].filter(({ value }) => type === 'gauge' || value > 0);
    return { name, help, type, aggregator, values: shown.map(({ labels, value }) => ({ labels, value })) };
  }
}
