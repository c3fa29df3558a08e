import { randomUUID } from 'node:crypto';
import { after, before, describe } from 'node:test';
import { ByteBudget } from '../../core/byte-budget.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { type BucketProviderOptions, openBucketProvider } from '../../placement/providers/bucket/bucket-provider.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { testProvider } from './provider-conformance.ts';

const MiB = 2 ** 20;
const bucket = 'shards-of-another';

describe('a bucket of another Holdfast', () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startGateway();
    await gateway.fetchSigned('PUT', `/${bucket}`);
  });
  after(() => gateway.close());

  const make = async (options: Partial<BucketProviderOptions> = {}) => ({
    provider: await openBucketProvider({
      id: 'b1' as ProviderId,
      endpoint: gateway.url,
      region: 'us-east-1',
      bucket,
      prefix: `${randomUUID()}/`,
      ...rootKey,
      writeBudget: new ByteBudget({ name: 'parts', capacityBytes: 40 * MiB, waitMs: 10_000, metrics: new Metrics() }),
      ...options,
    }),
  });

  testProvider('bucket', () => make(), { clockStepMs: 1_050, renewsTimes: true });
});
