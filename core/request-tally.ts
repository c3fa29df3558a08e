import type { Counter } from 'prom-client';
import type { TalliedHistogram, TalliedSeries } from './tallied-histogram.ts';

/** What one operation's requests came to. */
interface OperationTally {
  readonly operation: string;
  /** By status, and after it the error code where there was one. */
  readonly outcomes: Map<string | number, Outcome>;
  readonly seconds: TalliedSeries;
}

interface Outcome {
  readonly status: string;
  readonly code: string;
  count: number;
}

/**
 * Counts requests in plain fields. prom-client finds a counter by the text of its labels, which it puts together and
 * checks at each call; here that is done when somebody asks for the metrics.
 */
export class RequestTally {
  readonly #seconds: TalliedHistogram<'operation'>;
  readonly #operations = new Map<string, OperationTally>();
  inFlight = 0;
  /** Bytes of object data from clients, and to them. */
  bytesIn = 0;
  bytesOut = 0;

  constructor(seconds: TalliedHistogram<'operation'>) {
    this.#seconds = seconds;
  }

  /** @param code the S3 error code; empty for none */
  end(operation: string, outcome: { readonly status: number; readonly code: string; readonly seconds: number }): void {
    const { status, code, seconds } = outcome;
    let tally = this.#operations.get(operation);
    if (tally === undefined) {
      tally = { operation, outcomes: new Map(), seconds: this.#seconds.series({ operation }) };
      this.#operations.set(operation, tally);
    }
    tally.seconds.observe(seconds);
    const key = code === '' ? status : `${status} ${code}`;
    const known = tally.outcomes.get(key);
    if (known !== undefined) known.count++;
    else tally.outcomes.set(key, { status: String(status), code, count: 1 });
  }

  /** Makes a counter say what was counted here. */
  fillRequests(counter: Counter<'operation' | 'status' | 'code'>): void {
    counter.reset();
    for (const { operation, outcomes } of this.#operations.values()) {
      for (const { status, code, count } of outcomes.values()) counter.inc({ operation, status, code }, count);
    }
  }

  /** The same for the bytes of bodies; a direction without bytes is left out, as one that was never counted is. */
  fillBytes(counter: Counter<'direction'>): void {
    counter.reset();
    if (this.bytesIn > 0) counter.inc({ direction: 'in' }, this.bytesIn);
    if (this.bytesOut > 0) counter.inc({ direction: 'out' }, this.bytesOut);
  }
}
