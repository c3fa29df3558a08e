import { ByteBudget } from '../../core/byte-budget.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { type BucketProviderOptions, openBucketProvider } from '../../placement/providers/bucket/bucket-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { type StubS3, startStubS3 } from './stub-s3.ts';

export const MiB = 2 ** 20;

export function createWriteBudget(capacityBytes = 40 * MiB, waitMs = 10_000): ByteBudget {
  return new ByteBudget({ name: 'parts', capacityBytes, waitMs, metrics: new Metrics() });
}

export function stubAddress(stub: StubS3) {
  return {
    endpoint: stub.url,
    region: 'us-east-1',
    bucket: 'stub',
    prefix: 'p/',
    accessKeyId: 'key',
    secretAccessKey: 'secret',
  };
}

/** A provider over a stub; both end with `await using`. */
export async function openStubBucket(options: Partial<BucketProviderOptions> = {}): Promise<{
  stub: StubS3;
  provider: Provider;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const stub = await startStubS3();
  const provider = await openBucketProvider({
    id: 'b1' as ProviderId,
    ...stubAddress(stub),
    writeBudget: createWriteBudget(),
    ...options,
  });
  return {
    stub,
    provider,
    async [Symbol.asyncDispose]() {
      await provider.close();
      await stub.close();
    },
  };
}
