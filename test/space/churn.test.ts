import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { churn } from '../harness/churn.ts';
import { type GatewayProcess, startGatewayProcess } from '../harness/gateway-process.ts';

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

describe('space', () => {
  let dataDir: string;
  let gateway: GatewayProcess;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-churn-'));
    const configPath = join(dataDir, 'configuration.json');
    await writeFile(configPath, JSON.stringify({ limits }));
    gateway = await startGatewayProcess({ dataDir, environment: { HOLDFAST_CONFIG: configPath } });
  });
  after(async () => {
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('comes back after overwrites and deletes, of small objects and large ones', async (test) => {
    const seed = Date.now() & 0xffff;
    test.diagnostic(`seed ${seed}`);
    const report = await churn(gateway, {
      ...{ seed, smallObjects: 1600, largeObjects: 16, turnover: 1.5 },
      ...{ quietMs: 30_000, enough: maxRatio },
    });
    test.diagnostic(
      `${report.ratioAtOnce.toFixed(2)} when the last request was answered, ${report.ratio.toFixed(2)} in the end`,
    );
    assert.ok(
      report.writtenBytes > 1.5 * maxRatio * report.liveBytes,
      'so little was written that nothing had to come back',
    );
    assert.ok(report.ratio <= maxRatio, `disk use is ${report.ratio.toFixed(2)} times what live data need`);
  });
});
