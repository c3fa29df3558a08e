/** How long a gateway's event loop left waiting what was due, since its start or between two looks (docs/metrics.md). */
export class LoopDelay {
  /** Upper bounds in ms in ascending order, the last one without end, each with how many moments lay up to it. */
  readonly #buckets: readonly (readonly [upToMs: number, count: number])[];
  /** The longest, since the metrics were last read. */
  readonly maxMs: number;

  constructor(buckets: readonly (readonly [upToMs: number, count: number])[], maxMs: number) {
    this.#buckets = buckets;
    this.maxMs = maxMs;
  }

  /** What came after an earlier look, between which and this one nobody read the metrics. */
  subtract(earlier: LoopDelay): LoopDelay {
    const before = new Map(earlier.#buckets);
    return new LoopDelay(
      this.#buckets.map(([upToMs, count]) => [upToMs, count - (before.get(upToMs) ?? 0)]),
      this.maxMs,
    );
  }

  /** Two stretches of time as one. */
  add(other: LoopDelay): LoopDelay {
    const more = new Map(other.#buckets);
    return new LoopDelay(
      this.#buckets.map(([upToMs, count]) => [upToMs, count + (more.get(upToMs) ?? 0)]),
      Math.max(this.maxMs, other.maxMs),
    );
  }

  /** By linear interpolation within a bucket, as Prometheus' `histogram_quantile` does, and not above the maximum; NaN where nothing was seen. */
  quantileMs(fraction: number): number {
    return Math.min(this.#interpolate(fraction), this.maxMs);
  }

  #interpolate(fraction: number): number {
    const total = this.#buckets.at(-1)?.[1] ?? 0;
    if (total === 0) return Number.NaN;
    let [fromMs, below] = [0, 0];
    for (const [upToMs, count] of this.#buckets) {
      if (count >= fraction * total) {
        if (upToMs === Number.POSITIVE_INFINITY || count === below) return fromMs;
        return fromMs + ((upToMs - fromMs) * (fraction * total - below)) / (count - below);
      }
      [fromMs, below] = [upToMs, count];
    }
    return fromMs;
  }
}

/** @throws Error where the admin listener does not answer */
export async function readLoopDelay(adminUrl: string): Promise<LoopDelay> {
  return parseLoopDelay(await (await fetch(`${adminUrl}/metrics`)).text());
}

export function parseLoopDelay(text: string): LoopDelay {
  const lines = text.matchAll(/^holdfast_event_loop_delay_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm);
  const buckets = Array.from(
    lines,
    ([, le, count]) => [le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le) * 1000, Number(count)] as const,
  );
  const max = /^holdfast_event_loop_delay_max_seconds (\S+)$/m.exec(text)?.[1];
  return new LoopDelay(buckets, Number(max) * 1000);
}
