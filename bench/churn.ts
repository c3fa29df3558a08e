import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { churn } from '../test/harness/churn.ts';
import { startGatewayProcess } from '../test/harness/gateway-process.ts';
import type { BenchReport } from './bench-command.ts';
import { renderTable } from './render-table.ts';

const mebibyte = 2 ** 20;

/** Disk use after much was overwritten and deleted, with default settings, against what live data need. */
export async function benchChurn({ folder, isQuick }: { folder: string; isQuick: boolean }): Promise<BenchReport> {
  const dataDir = await mkdtemp(join(folder, 'bench-churn-'));
  const gateway = await startGatewayProcess({ dataDir, environment: { HOLDFAST_LOG_LEVEL: 'warn' } });
  try {
    const report = await churn(gateway, {
      seed: Date.now() & 0xffff,
      smallObjects: isQuick ? 2000 : 20_000,
      largeObjects: isQuick ? 20 : 200,
      turnover: 4,
      // Longer than the grace of freed stripes and the interval of upkeep together.
      quietMs: 60_000,
    });
    const mebibytes = (bytes: number): string => (bytes / mebibyte).toFixed(0);
    const text = renderTable(
      [
        'objects',
        'written MiB',
        'live MiB',
        'disk MiB',
        'disk / (live x 1.5)',
        'before upkeep had done its work',
        'settled after s',
      ],
      [
        [
          String(report.objects),
          mebibytes(report.writtenBytes),
          mebibytes(report.liveBytes),
          mebibytes(report.diskBytes),
          report.ratio.toFixed(2),
          report.ratioAtOnce.toFixed(2),
          (report.settledMs / 1000).toFixed(0),
        ],
      ],
    );
    return { text, rows: [report] };
  } finally {
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
