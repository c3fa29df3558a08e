import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { BenchCase } from './bench-case.ts';
import { type CaseResult, compareServers } from './compare-servers.ts';
import { CpuProfiler } from './cpu-profiler.ts';
import { estimateClockHz } from './estimate-clock.ts';
import type { Pace } from './pace.ts';
import { renderProfile } from './render-profile.ts';
import { summarizeProfile } from './summarize-profile.ts';
import type { Target } from './target.ts';

const folder = fileURLToPath(new URL('results', import.meta.url));

export interface ProfiledCase {
  readonly result: CaseResult;
  /** Where the time of a request went, in Markdown. */
  readonly text: string;
}

/**
 * Measures a case while the rounds of one server are profiled; the profile goes to bench/results/.
 *
 * @param profiled one of the targets, started with `inspectorArguments`
 */
export async function profileCase(
  benchCase: BenchCase,
  { targets, profiled, pace }: { targets: readonly Target[]; profiled: Target; pace: Pace },
): Promise<ProfiledCase> {
  const standardError = 'readStandardError' in profiled ? profiled.readStandardError?.() : undefined;
  const profiler = await CpuProfiler.connect(standardError ?? '');
  try {
    const result = await compareServers(benchCase, targets, pace, { onWarm: () => profiler.start() });
    const profile = await profiler.stop();
    await mkdir(folder, { recursive: true });
    await writeFile(`${folder}/${benchCase.name}.cpuprofile`, JSON.stringify(profile));
    const { requests, bytes, cpu } = result.servers[profiled.name]!;
    const load = { requests, bytes, mainThreadMicros: cpu!.mainThreadMicros, clockHz: estimateClockHz() };
    return { result, text: renderProfile(benchCase.name, summarizeProfile(profile), load) };
  } finally {
    profiler.close();
  }
}
