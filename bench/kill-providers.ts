import { open } from 'node:fs/promises';
import { readMetric } from '../test/harness/read-metric.ts';
import { listSegmentFiles } from '../test/harness/shard-files.ts';
import type { LoadResult } from './load.ts';
import type { GatewayHandle } from './target.ts';

const timeoutMs = 60_000;
/** Between two looks at the breakers there is load: calls that fail are what opens them. */
const stepMs = 100;

/**
 * Takes the providers that are to die away under the gateway, and waits under load until it has given them up: their
 * circuit breakers are open, or half-open since.
 *
 * @returns what the load was like from then on, for `firstMs`
 * @throws Error where a breaker does not open
 */
export async function killProviders(
  { adminUrl, dataDir, mortals, deleteProvider }: GatewayHandle,
  { run, firstMs }: { run: (durationMs: number) => Promise<LoadResult>; firstMs: number },
): Promise<LoadResult> {
  for (const id of mortals) await takeAway(id, { dataDir, deleteProvider });
  const afterDeath = await run(firstMs);
  const endsAtMs = performance.now() + timeoutMs;
  for (const id of mortals) {
    while ((await readMetric(adminUrl, 'holdfast_provider_breaker', `provider="${id}"`)) === 0) {
      if (performance.now() > endsAtMs) throw new Error(`the breaker of ${id}, which is dead, did not open`);
      await run(stepMs);
    }
  }
  return afterDeath;
}

/** As a disk goes that is pulled out: deleted alone, segments that the gateway has open could be read for as long as it likes. */
async function takeAway(
  id: string,
  { dataDir, deleteProvider }: Omit<GatewayHandle, 'adminUrl' | 'mortals'>,
): Promise<void> {
  const segments = await Promise.all((await listSegmentFiles(dataDir, id)).map((path) => open(path, 'r+')));
  await deleteProvider(id);
  for (const segment of segments) {
    await segment.truncate(0);
    await segment.close();
  }
}
