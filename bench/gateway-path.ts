import { fileURLToPath } from 'node:url';
import type { BenchCase } from './bench-case.ts';
import type { BenchReport } from './bench-command.ts';
import { type CaseResult, compareRates, compareServers } from './compare-servers.ts';
import type { Pace } from './pace.ts';
import { renderProfile } from './render-profile.ts';
import { renderTable } from './render-table.ts';
import { summarizeProfile } from './summarize-profile.ts';
import { profilerArguments, type ServerTarget, type StartedServer, startProgram, type TargetName } from './target.ts';

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
  if (!isProfiling) {
    const rows = await measure(cases, pace, undefined);
    return { text: renderPath(rows), rows };
  }
  const texts: string[] = [];
  const rows: CaseResult[] = [];
  for (const one of cases) {
    const path = fileURLToPath(new URL(`results/${one.name}.cpuprofile`, import.meta.url));
    const results = await measure([one], pace, path);
    texts.push(renderPath(results), renderProfile(one.name, await summarizeProfile(path)));
    rows.push(...results);
  }
  return { text: texts.join('\n'), rows };
}

async function measure(
  chosen: readonly BenchCase[],
  pace: Pace,
  profilePath: string | undefined,
): Promise<CaseResult[]> {
  await using stack = new AsyncDisposableStack();
  const start = async (name: TargetName, starting: Promise<StartedServer>): Promise<ServerTarget> =>
    stack.adopt({ name, ...(await starting) }, (target) => target.stop());
  const targets = [
    await start('null', startProgram('raw-server.ts', ['null', String(bytes)])),
    await start(
      'gateway',
      startProgram('null-engine-server.ts', [String(bytes)], await profilerArguments(profilePath)),
    ),
  ];
  const results: CaseResult[] = [];
  for (const one of chosen) results.push(await compareServers(one, targets, pace));
  return results;
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
