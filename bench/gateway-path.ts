import { fileURLToPath } from 'node:url';
import type { BenchCase } from './bench-case.ts';
import type { BenchReport } from './bench-command.ts';
import { type CaseResult, compareServers, type Measurement } from './compare-servers.ts';
import type { Pace } from './pace.ts';
import { renderProfile, renderTable } from './render-table.ts';
import { summarizeProfile } from './summarize-profile.ts';
import { profilerArguments, type ServerTarget, startProgram } from './target.ts';

const bytes = 4096;
const clients = 32;
const requestCount = 2048;
const cases: readonly BenchCase[] = (['PUT', 'GET'] as const).map((method) => ({
  name: `path-${method.toLowerCase()}-4KiB-${clients}`,
  method,
  sizeName: '4KiB',
  bytes,
  clients,
  requestCount,
  targets: ['null', 'gateway'],
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
  const start = async (
    name: ServerTarget['name'],
    server: Promise<Omit<ServerTarget, 'name'>>,
  ): Promise<ServerTarget> => stack.adopt({ name, ...(await server) }, (target) => target.stop());
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
  const rows = results.map(({ name, servers, ratios }) => {
    const [none, ours] = [servers.null!, servers.gateway!];
    const [noneMain, oursMain] = [mainThreadMicros(none), mainThreadMicros(ours)];
    const [noneAll, oursAll] = [none.cpuMsPerRequest * 1000, ours.cpuMsPerRequest * 1000];
    return [
      name,
      noneMain.toFixed(1),
      oursMain.toFixed(1),
      (oursMain / noneMain).toFixed(2),
      noneAll.toFixed(1),
      oursAll.toFixed(1),
      (oursAll / noneAll).toFixed(2),
      ratios.null?.median.toFixed(2) ?? '',
    ];
  });
  return renderTable(head, rows);
}

function mainThreadMicros({ cpuMsPerRequest, mainThreadShare }: Measurement): number {
  return cpuMsPerRequest * mainThreadShare * 1000;
}
