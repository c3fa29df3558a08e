import type { BenchCase } from './bench-case.ts';
import type { BenchReport } from './bench-command.ts';
import { type CaseResult, compareRates, compareServers } from './compare-servers.ts';
import { inspectorArguments } from './cpu-profiler.ts';
import type { Pace } from './pace.ts';
import { profileCase } from './profile-case.ts';
import { renderTable } from './render-table.ts';
import { type ServerTarget, type StartedServer, startProgram, type TargetName } from './target.ts';

const bytes = 4096;
const clients = 32;
const cases: readonly BenchCase[] = (['put', 'get'] as const).map((operation) => ({
  name: `path-${operation}-4KiB-${clients}`,
  operation,
  sizeName: '4KiB',
  bytes,
  clients,
  limit: 'null',
  isWithDead: false,
  isInQuick: true,
}));

/**
 * What a small request costs in the gateway above its engine: the real HTTP server and S3 handler over an engine that
 * stores nothing, beside a node:http server that does nothing, under the same signed load; profiled, also where the time went.
 */
export async function benchGatewayPath({
  pace,
  isProfiling,
}: {
  pace: Pace;
  isProfiling: boolean;
}): Promise<BenchReport> {
  await using started = new AsyncDisposableStack();
  const start = async (name: TargetName, starting: Promise<StartedServer>): Promise<ServerTarget> =>
    started.adopt({ name, ...(await starting) }, (target) => target.stop());
  const nodeArguments = isProfiling ? inspectorArguments : [];
  const none = await start('null', startProgram('raw-server.ts', ['null', String(bytes)]));
  const ours = await start('gateway', startProgram('null-engine-server.ts', [String(bytes)], nodeArguments));
  const setting = { targets: [none, ours], profiled: ours, pace };
  const results: CaseResult[] = [];
  const texts: string[] = [];
  for (const one of cases) {
    if (isProfiling) {
      const { result, text } = await profileCase(one, setting);
      results.push(result);
      texts.push(text);
    } else results.push(await compareServers(one, setting.targets, pace));
  }
  return { text: [renderPath(results), ...texts].join('\n'), rows: results };
}

/** CPU time first: on a machine whose cores are shared it repeats where rates do not. */
function renderPath(results: readonly CaseResult[]): string {
  const head = [
    ...[
      'case',
      'null server, main thread us/request',
      'gateway, main thread us/request',
      'ratio',
      'all threads: null us',
    ],
    ...['gateway us', 'ratio', 'gateway rate / null rate'],
  ];
  const rows = results.map(({ benchCase, servers }) => {
    const [none, ours] = [servers.null!.cpu!, servers.gateway!.cpu!];
    return [
      benchCase.name,
      none.mainThreadMicros.toFixed(1),
      ours.mainThreadMicros.toFixed(1),
      (ours.mainThreadMicros / none.mainThreadMicros).toFixed(2),
      none.microsPerRequest.toFixed(1),
      ours.microsPerRequest.toFixed(1),
      (ours.microsPerRequest / none.microsPerRequest).toFixed(2),
      compareRates(servers.gateway, servers.null)?.median.toFixed(2) ?? '',
    ];
  });
  return renderTable(head, rows);
}
