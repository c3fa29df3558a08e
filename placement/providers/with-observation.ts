import { isFailure } from '../../core/failure.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { ShardCid } from '../../core/model.ts';
import { type CallKind, readKind } from '../call-pace.ts';
import type { ProviderHealth, ProviderVitals } from '../provider-health.ts';
import type { Provider, ShardWriter } from './provider.ts';
import { type CallWork, type ProviderCall, providerCalls, WrappedProvider } from './wrapped-provider.ts';

/**
 * Counts every call in `metrics` and tells `health` how the provider does. Put it outside `withDeadline`, so that it
 * sees what callers see.
 *
 * A shard that is missing and a disk that is full are answers; a call that its caller gave up, or that waited in vain for
 * our own memory, says nothing: none of them makes the provider suspect. One that is given up with a `provider-timeout` as
 * the reason counts as if the provider had hung.
 */
export function withObservation(provider: Provider, parts: { metrics: Metrics; health: ProviderHealth }): Provider {
  return new ObservedProvider(provider, parts);
}

/** The metrics of one call, looked up once: finding them by label costs more than counting. */
interface CallMetrics {
  readonly ok: { value: number };
  readonly seconds: ReturnType<Metrics['providerSeconds']['series']>;
}

/**
 * Calls that a provider may answer out of its own memory: a writer that gathers bytes, space that was counted before. That they
 * go well says nothing of the place itself; that they fail does.
 */
const localCalls: readonly ProviderCall[] = ['createShard', 'append', 'reclaim', 'capacity'];
/** The calls that make data durable; those whose time is that of the data. */
const writeCalls: readonly ProviderCall[] = ['putShard', 'commit'];

class ObservedProvider extends WrappedProvider {
  readonly #metrics: Metrics;
  readonly #health: ProviderHealth;
  readonly #vitals: ProviderVitals;
  readonly #callMetrics: Readonly<Record<ProviderCall, CallMetrics>>;
  readonly #bytesIn: { value: number };
  readonly #bytesOut: { value: number };

  constructor(inner: Provider, { metrics, health }: { metrics: Metrics; health: ProviderHealth }) {
    super(inner);
    this.#metrics = metrics;
    this.#health = health;
    this.#vitals = health.of(this.id);
    this.#callMetrics = Object.fromEntries(
      providerCalls.map((call) => [
        call,
        {
          ok: metrics.providerCalls.series({ provider: this.id, call, outcome: 'ok' }),
          seconds: metrics.providerSeconds.series({ provider: this.id, call }),
        },
      ]),
    ) as unknown as Record<ProviderCall, CallMetrics>;
    this.#bytesIn = metrics.providerBytes.series({ provider: this.id, direction: 'in' });
    this.#bytesOut = metrics.providerBytes.series({ provider: this.id, direction: 'out' });
  }

  protected override run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return this.#observe(call, writeCalls.includes(call) ? 'write' : undefined, signal, work);
  }

  /** @param kind what the time of the call is told as; it is told of successes only */
  async #observe<T>(
    call: ProviderCall,
    kind: CallKind | undefined,
    signal: AbortSignal | undefined,
    work: CallWork<T>,
  ): Promise<T> {
    const { ok, seconds } = this.#callMetrics[call];
    const startMark = this.#health.mark();
    const isTrial = this.#vitals.begin(kind);
    const startedAtMs = performance.now();
    try {
      const result = await work(signal);
      ok.value++;
      if (!localCalls.includes(call)) this.#vitals.succeed(startMark);
      if (kind !== undefined) this.#vitals.finish(kind, performance.now() - startedAtMs);
      return result;
    } catch (error) {
      this.#recordError(call, signal, error);
      throw error;
    } finally {
      if (isTrial) this.#vitals.endTrial();
      seconds.observe((performance.now() - startedAtMs) / 1000);
    }
  }

  override async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    await super.putShard(cid, buffers, signal);
    for (const buffer of buffers) this.#bytesOut.value += buffer.length;
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const writer = await super.createShard(signal);
    return {
      append: async (buffers) => {
        await writer.append(buffers);
        for (const buffer of buffers) this.#bytesOut.value += buffer.length;
      },
      commit: (cid) => writer.commit(cid),
      abort: () => writer.abort(),
    };
  }

  override async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = await this.#observe('readShard', readKind(length), signal, (inner) =>
      this.inner.readShard(cid, offset, length, inner),
    );
    this.#bytesIn.value += bytes.length;
    return bytes;
  }

  #recordError(call: ProviderCall, signal: AbortSignal | undefined, error: unknown): void {
    const wasLate = isFailure(signal?.reason, 'provider-timeout');
    const outcome = wasLate
      ? 'provider-timeout'
      : signal?.aborted
        ? 'aborted'
        : isFailure(error)
          ? error.kind
          : 'error';
    this.#metrics.providerCalls.inc({ provider: this.id, call, outcome });
    if (outcome === 'aborted' || outcome === 'overloaded' || outcome === 'shard-missing') return;
    if (outcome === 'provider-full') this.#vitals.refuse();
    else this.#vitals.fail(outcome === 'provider-timeout');
  }
}
