import type { ProviderId } from '../core/model.ts';
import { createMemoryProvider } from '../placement/providers/memory-provider.ts';
import type { ShardWriter } from '../placement/providers/provider.ts';
import type { CallWork, ProviderCall } from '../placement/providers/wrapped-provider.ts';
import { WrappedProvider } from '../placement/providers/wrapped-provider.ts';

const sinkWriter: ShardWriter = { append: async () => {}, commit: async () => {}, abort: async () => {} };

/** Takes shards and drops them, at no cost: for what a write costs but for its providers. Of the rest it is a provider in memory. */
export class SinkProvider extends WrappedProvider {
  constructor(id: ProviderId) {
    super(createMemoryProvider({ id }));
  }

  protected override run<T>(_call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return work(signal);
  }

  override async putShard(): Promise<void> {}

  override async createShard(): Promise<ShardWriter> {
    return sinkWriter;
  }
}
