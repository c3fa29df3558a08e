import { Failure } from '../../core/failure.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { type ProviderSettings, providerSchema } from '../../core/provider-settings.ts';
import type { ProviderHealth } from '../../placement/provider-health.ts';
import { createFaultyProvider, type FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { withDeadline } from '../../placement/providers/with-deadline.ts';
import { withObservation } from '../../placement/providers/with-observation.ts';
import { withOrderlyClose } from '../../placement/providers/with-orderly-close.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';

const timeoutMs = 40;
const closeWaitMs = 5_000;

/** A gateway's process, as far as providers can tell: once it is over, nothing that it still tries is done. */
export interface Life {
  isOver: boolean;
}

/** What keeps shards, whether a gateway is there or not. Everything in memory; its calls fail as its faults have it. */
export class Place {
  readonly id: ProviderId;
  /** Past all faults: what really lies there. */
  readonly content: Provider;
  readonly #faulty: FaultyProvider;
  /** Whether it cannot be opened. */
  isAway = false;

  constructor(id: ProviderId, clock: { now(): number }) {
    this.id = id;
    this.content = createMemoryProvider({ id, clock });
    this.#faulty = createFaultyProvider(this.content);
  }

  get faults(): FaultyProvider['faults'] {
    return this.#faulty.faults;
  }

  get settings(): ProviderSettings {
    return providerSchema.parse({ id: this.id, kind: 'directory', path: `/nowhere/${this.id}`, reserveBytes: 0 });
  }

  /** With all that a gateway puts around a provider. */
  open(parts: { readonly life: Life; readonly metrics: Metrics; readonly health: ProviderHealth }): Provider {
    const { life, ...observers } = parts;
    const { id } = this;
    if (this.isAway || life.isOver) {
      throw new Failure('provider-error', { providerId: id, call: 'open' }, { cause: new Error('nobody is there') });
    }
    const bounded = withDeadline(new LivingProvider(this.#faulty, life), { timeoutMs });
    return withOrderlyClose(withObservation(bounded, observers), { waitMs: closeWaitMs });
  }

  /** Its disk was replaced by an empty one, and nobody said so. */
  async wipe(): Promise<void> {
    for (const cid of await this.listCids()) await this.content.deleteShard(cid);
  }

  async listCids(): Promise<ShardCid[]> {
    return (await this.content.listShards(undefined, 1_000_000)).shards.map(({ cid }) => cid);
  }
}

/** A provider as one process sees it, for as long as that lives. */
class LivingProvider extends WrappedProvider {
  readonly #life: Life;

  constructor(inner: Provider, life: Life) {
    super(inner);
    this.#life = life;
  }

  protected async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    this.#check(call);
    const result = await work(signal);
    this.#check(call);
    return result;
  }

  /** What lies there stays. */
  override async close(): Promise<void> {}

  #check(call: ProviderCall): void {
    if (!this.#life.isOver) return;
    const cause = new Error('the process that asks has died');
    throw new Failure('provider-error', { providerId: this.id, call }, { cause });
  }
}
