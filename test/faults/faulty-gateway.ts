import assert from 'node:assert/strict';
import { createFaultyProvider, type FaultPlan } from '../../placement/providers/faulty-provider.ts';
import { startGateway, type TestGateway, type TestGatewayOptions } from '../harness/gateway.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { providerIds } from '../harness/shard-files.ts';
import type { SignedAnswer } from '../harness/signed-fetch.ts';

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** In a pack, and so in segments; one row, in files; two stripes of several rows. */
export const objectSizes = { small: 10 * KiB, middle: MiB, long: 17 * MiB } as const;
export const bucket = 'faults';

export type ProviderName = (typeof providerIds)[number];

/** A gateway whose six providers fail on demand, with a bucket. */
export interface FaultyGateway extends TestGateway {
  faultsOf(id: ProviderName): FaultPlan;
  /** All providers are well again. */
  heal(): void;
  /**
   * Lets upkeep give every stripe all its shards, and ends it: for tests that count what is left. On a busy machine a write may have
   * been acknowledged with fewer, and repair would mend, or put elsewhere, what they break before they look.
   */
  holdStill(): Promise<void>;
  put(key: string, bytes: Uint8Array): Promise<SignedAnswer>;
  get(key: string): Promise<SignedAnswer>;
  /** Asserts that GET returns exactly these bytes. */
  assertHolds(key: string, bytes: Buffer, what?: string): Promise<void>;
  /** Asserts a clean 503: whole, XML, and nothing of the object. */
  assertUnavailable(key: string): Promise<void>;
}

export async function startFaultyGateway(
  limits: Record<string, number> = {},
  options: TestGatewayOptions = {},
): Promise<FaultyGateway> {
  const plans = new Map<string, FaultPlan>();
  const gateway = await startGateway({
    // So that all shards of one row of full length are files.
    segmentShardBytes: 128 * KiB,
    ...options,
    // What is read is to come from the providers, each time; and one that is well is not to be taken for one that hangs because the
    // machine is busy.
    config: {
      ...options.config,
      limits: { pieceCacheBytes: 0, suspectMs: 0, hedgeMs: 50, providerTimeoutMs: 10_000, ...limits },
    },
    wrapProvider: (provider) => {
      const faulty = createFaultyProvider(provider);
      plans.set(provider.id, faulty.faults);
      return faulty;
    },
  });
  if (options.dataDir === undefined) assertOk(await gateway.fetchSigned('PUT', `/${bucket}`));
  const get = (key: string): Promise<SignedAnswer> => gateway.fetchSigned('GET', `/${bucket}/${key}`);
  return {
    ...gateway,
    faultsOf: (id) => plans.get(id) as FaultPlan,
    heal: () => {
      for (const plan of plans.values()) plan.clear();
    },
    async holdStill() {
      const { upkeep } = gateway.gateway;
      await pollUntil('every stripe has all its shards', async () => {
        await upkeep.runOnce();
        const { backlog } = await upkeep.readStatus();
        return backlog.stripes === 0;
      });
      await upkeep.stop();
    },
    put: (key, body) => gateway.fetchSigned('PUT', `/${bucket}/${key}`, { body }),
    get,
    async assertHolds(key, bytes, what = key) {
      const answer = await get(key);
      assertOk(answer);
      assert.ok(bytes.equals(answer.body), `${what}: other bytes than were stored`);
    },
    async assertUnavailable(key) {
      assertS3Error(await get(key), 503, 'ServiceUnavailable');
    },
  };
}

/** All ways to choose `count` of the six providers. */
export function chooseProviders(count: number, from: readonly ProviderName[] = providerIds): ProviderName[][] {
  if (count === 0) return [[]];
  return from.flatMap((id, index) => chooseProviders(count - 1, from.slice(index + 1)).map((rest) => [id, ...rest]));
}
