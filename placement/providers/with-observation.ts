import { isFailure } from '../../core/failure.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { ShardCid } from '../../core/model.ts';
import type { ProviderHealth } from '../provider-health.ts';
import type { Provider, ShardWriter } from './provider.ts';
import { type CallWork, type ProviderCall, providerCalls, WrappedProvider } from './wrapped-provider.ts';

/**
 * Counts every call in `metrics` and tells `health` how the provider does. Put it outside `withDeadline`, so that it
 * sees what callers see.
 *
 * A shard that is missing and a disk that is full are answers; a call that its caller gave up, or that waited in vain for
 * our own memory, says nothing: none of them makes the provider suspect.
 */
export function withObservation(provider: Provider, parts: { metrics: Metrics; health: ProviderHealth }): Provider {
  return new ObservedProvider(provider, parts);
}

type Outcomes = ReturnType<Metrics['providerCalls']['labels']>;

/** The metrics of one call, looked up once: finding them by label costs more than counting. */
interface CallMetrics {
  readonly ok: Outcomes;
  readonly seconds: ReturnType<Metrics['providerSeconds']['labels']>;
}

class ObservedProvider extends WrappedProvider {
  readonly #metrics: Metrics;
  readonly #health: ProviderHealth;
  readonly #callMetrics: Readonly<Record<ProviderCall, CallMetrics>>;
  readonly #bytesIn: ReturnType<Metrics['providerBytes']['labels']>;
  readonly #bytesOut: ReturnType<Metrics['providerBytes']['labels']>;

  constructor(inner: Provider, { metrics, health }: { metrics: Metrics; health: ProviderHealth }) {
    super(inner);
    this.#metrics = metrics;
    this.#health = health;
    this.#callMetrics = Object.fromEntries(
      providerCalls.map((call) => [
        call,
        {
          ok: metrics.providerCalls.labels(this.id, call, 'ok'),
          seconds: metrics.providerSeconds.labels(this.id, call),
        },
      ]),
    ) as Record<ProviderCall, CallMetrics>;
    this.#bytesIn = metrics.providerBytes.labels(this.id, 'in');
    this.#bytesOut = metrics.providerBytes.labels(this.id, 'out');
  }

  protected override async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    const { ok, seconds } = this.#callMetrics[call];
    const healthMark = this.#health.mark();
    const startedAtMs = performance.now();
    try {
      const result = await work(signal);
      ok.inc();
      this.#health.recordSuccess(this.id, healthMark);
      return result;
    } catch (error) {
      this.#recordError(call, signal, error);
      throw error;
    } finally {
      seconds.observe((performance.now() - startedAtMs) / 1000);
    }
  }

  override async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    await super.putShard(cid, buffers, signal);
    for (const buffer of buffers) this.#bytesOut.inc(buffer.length);
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await super.createShard(signal);
    return {
      append: async (buffers) => {
        await writer.append(buffers);
        for (const buffer of buffers) this.#bytesOut.inc(buffer.length);
      },
      commit: (cid) => writer.commit(cid),
      abort: () => writer.abort(),
    };
  }

  override async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await super.readShard(cid, offset, length, signal);
    this.#bytesIn.inc(bytes.length);
    return bytes;
  }

  #recordError(call: ProviderCall, signal: AbortSignal | undefined, error: unknown): void {
    const outcome = signal?.aborted ? 'aborted' : isFailure(error) ? error.kind : 'error';
    this.#metrics.providerCalls.labels(this.id, call, outcome).inc();
    if (outcome === 'aborted') return;
    if (outcome === 'shard-missing' || outcome === 'provider-full' || outcome === 'overloaded') return;
    this.#health.recordFailure(this.id);
  }
}
