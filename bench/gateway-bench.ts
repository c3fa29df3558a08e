import { fileURLToPath } from 'node:url';
import { type BenchCase, benchCases } from './bench-case.ts';
import type { BenchReport, BenchRequest } from './bench-command.ts';
import { type CaseResult, compareServers } from './compare-servers.ts';
import { findPace } from './pace.ts';
import { renderCases, renderProfile } from './render-table.ts';
import { summarizeProfile } from './summarize-profile.ts';
import { startTarget, type Target, type TargetName, targetNames } from './target.ts';

/** The gateway end to end, beside what limits it. One start of all servers for each size, so that no case finds a disk full of another's files. */
export async function benchGateway(request: BenchRequest): Promise<BenchReport> {
  const { names } = request;
  const isChosen = (name: string): boolean => names.length === 0 || names.some((prefix) => name.startsWith(prefix));
  const cases = benchCases.filter(({ name }) => isChosen(name));
  const rows: CaseResult[] = [];
  for (const group of Object.values(Object.groupBy(cases, ({ sizeName }) => sizeName))) {
    if (request.isProfiling) for (const one of group ?? []) rows.push(...(await profileCase(one, request)));
    else rows.push(...(await benchGroup(group ?? [], request, undefined)));
  }
  return { text: renderCases(rows), rows };
}

async function benchGroup(
  group: readonly BenchCase[],
  request: BenchRequest,
  profilePath: string | undefined,
): Promise<CaseResult[]> {
  const { folder, isProfiling, isReadingProviders } = request;
  const targets: Target[] = [];
  const results: CaseResult[] = [];
  try {
    const isNeeded = (name: TargetName): boolean => group.some(({ targets: names }) => names.includes(name));
    for (const name of isProfiling ? (['gateway'] as const) : targetNames.filter(isNeeded))
      targets.push(await startTarget(name, { folder, bytes: group[0]!.bytes, profilePath, isReadingProviders }));
    for (const benchCase of group) {
      request.progress(benchCase.name);
      results.push(await compareServers(benchCase, targets, findPace(request)));
    }
  } finally {
    for (const target of targets) await target.stop();
  }
  return results;
}

async function profileCase(benchCase: BenchCase, request: BenchRequest): Promise<CaseResult[]> {
  const path = fileURLToPath(new URL(`results/${benchCase.name}.cpuprofile`, import.meta.url));
  const results = await benchGroup([benchCase], request, path);
  request.progress(renderProfile(benchCase.name, await summarizeProfile(path)));
  return results;
}
