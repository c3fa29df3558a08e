import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { ByteBudget } from '../../core/byte-budget.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { openBucketProvider } from '../../placement/providers/bucket/bucket-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { rootKey, startGateway } from '../harness/gateway.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { providerIds } from '../harness/shard-files.ts';

const MiB = 2 ** 20;

/** One bucket provider for each of the six, in buckets of the gateway at `endpoint`. */
async function openBuckets(endpoint: string): Promise<Map<ProviderId, Provider>> {
  const writeBudget = new ByteBudget({
    name: 'bucket-parts',
    capacityBytes: 64 * MiB,
    waitMs: 2_000,
    metrics: new Metrics(),
  });
  const opened = providerIds.map(async (id): Promise<[ProviderId, Provider]> => {
    const options = { endpoint, region: 'us-east-1', bucket: `of-${id}`, prefix: 'hf/', ...rootKey, writeBudget };
    return [id as ProviderId, await openBucketProvider({ id: id as ProviderId, ...options })];
  });
  return new Map(await Promise.all(opened));
}

it('a gateway whose six providers are buckets of another Holdfast outlives that one’s end', async () => {
  const dataDirs = await Promise.all(['back', 'front'].map((name) => mkdtemp(join(tmpdir(), `holdfast-${name}-`))));
  const [backDir = '', frontDir = ''] = dataDirs;
  let back = await startGateway({ dataDir: backDir });
  const endpoint = back.url;
  const startBack = () => startGateway({ dataDir: backDir, listen: new URL(endpoint).host });
  const startFront = async () => {
    const buckets = await openBuckets(endpoint);
    return startGateway({
      dataDir: frontDir,
      config: { limits: { pieceCacheBytes: 0, suspectMs: 100, providerTimeoutMs: 5_000 } },
      wrapProvider: (directory) => {
        void directory.close();
        return buckets.get(directory.id) as Provider;
      },
    });
  };
  for (const id of providerIds) assertOk(await back.fetchSigned('PUT', `/of-${id}`));
  let front = await startFront();
  try {
    const objects = new Map([
      ['small', randomBytes(4000)],
      ['middle', randomBytes(MiB)],
      ['long', randomBytes(9 * MiB)],
    ]);
    const put = (key: string, body: Buffer) => front.fetchSigned('PUT', `/bucket/${key}`, { body });
    const get = (key: string) => front.fetchSigned('GET', `/bucket/${key}`);
    const assertAll = async () => {
      for (const [key, bytes] of objects) {
        const answer = await get(key);
        assertOk(answer);
        assert.ok(bytes.equals(answer.body), key);
      }
    };
    assertOk(await front.fetchSigned('PUT', '/bucket'));
    for (const [key, bytes] of objects) assertOk(await put(key, bytes));
    await assertAll();
    const listing = await back.fetchSigned('GET', '/of-p1?list-type=2&prefix=hf%2Fshards%2F');
    assert.match(listing.text, /<Key>hf\/shards\/b[a-z2-7]{58}<\/Key>/);

    await back.gateway.stop(0);
    for (const key of objects.keys()) assertS3Error(await get(key), 503, 'ServiceUnavailable');
    assertS3Error(await put('refused', randomBytes(1000)), 503, 'ServiceUnavailable');
    assertS3Error(await put('refused', randomBytes(MiB)), 503, 'ServiceUnavailable');

    await front.close();
    front = await startFront();
    assertS3Error(await get('middle'), 503, 'ServiceUnavailable');

    back = await startBack();
    await pollUntil('writes go on', async () => (await put('after', randomBytes(1000))).status === 200);
    await assertAll();
    assertS3Error(await get('refused'), 404, 'NoSuchKey');
  } finally {
    await front.close();
    await back.close();
    await Promise.all(dataDirs.map((dataDir) => rm(dataDir, { recursive: true, force: true })));
  }
});
