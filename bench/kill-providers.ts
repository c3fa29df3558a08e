import { readMetric } from '../test/harness/read-metric.ts';
import type { LoadResult } from './load.ts';
import type { GatewayHandle } from './target.ts';

const timeoutMs = 60_000;
/** Between two looks at the breakers there is load: calls that fail are what opens them. */
const stepMs = 100;

/**
 * Deletes the directories of the providers that are to die, under load, and waits until the gateway has given them up: their
 * circuit breakers are open, or half-open since.
 *
 * @returns what the load was like from then on, for `firstMs`
 * @throws Error where a breaker does not open
 */
export async function killProviders(
  { adminUrl, mortals, deleteProvider }: GatewayHandle,
  { run, firstMs }: { run: (durationMs: number) => Promise<LoadResult>; firstMs: number },
): Promise<LoadResult> {
  for (const id of mortals) await deleteProvider(id);
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
