import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { churn } from '../harness/churn.ts';
import { startGatewayProcess } from '../harness/gateway-process.ts';

/** What a churned store may take, over what its live data need at k+m. */
const maxRatio = 1.3;

/** Upkeep that is in no mind to wait, and reads as fast as it can. */
const limits = {
  freedGraceMs: 200,
  upkeepIntervalMs: 100,
  compactAgeMs: 300,
  compactBytesPerS: 2 ** 30,
  journalIntervalMs: 200,
};

/**
 * Has so many objects churn in a gateway, and asserts that their space comes back.
 *
 * @param report is told the seed and what came of it
 */
export async function checkSpace(
  { smallObjects, largeObjects }: { readonly smallObjects: number; readonly largeObjects: number },
  report: (text: string) => void,
): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-churn-'));
  const configPath = join(dataDir, 'configuration.json');
  await writeFile(configPath, JSON.stringify({ limits }));
  const gateway = await startGatewayProcess({ dataDir, environment: { HOLDFAST_CONFIG: configPath } });
  try {
    const seed = Date.now() & 0xffff;
    report(`seed ${seed}`);
    const { ratio, ratioAtOnce } = await churn(gateway, {
      ...{ seed, smallObjects, largeObjects, turnover: 1.6 * maxRatio },
      ...{ quietMs: 30_000, enough: maxRatio },
    });
    report(`${ratioAtOnce.toFixed(2)} when the last request was answered, ${ratio.toFixed(2)} in the end`);
    assert.ok(ratio <= maxRatio, `disk use is ${ratio.toFixed(2)} times what live data need`);
  } finally {
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}
