import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BenchCase, benchCases } from './bench-case.ts';
import { benchChurn } from './churn.ts';
import { benchCodecs, type CodecResult } from './codec.ts';
import { type CaseResult, compareServers, type Pace } from './compare-servers.ts';
import { benchDay } from './day.ts';
import { benchGatewayPath } from './gateway-path.ts';
import { benchNode } from './node.ts';
import { renderCases, renderCodecs, renderProfile } from './render-table.ts';
import { benchSlowProvider } from './slow-provider.ts';
import { summarizeProfile } from './summarize-profile.ts';
import { startTarget, type Target, type TargetName, targetNames } from './target.ts';
import { benchUpkeep } from './upkeep.ts';

/** 50 million a day are 579 a second. */
const dayRate = 5 * 579;

const usage = `usage: npm run bench -- [NAME ...] [--quick] [--json] [--profile] [--sign-live] [--folder PATH]

  NAME        only cases whose name begins so: ${benchCases.map(({ name }) => name).join(', ')}, codec
  path        the gateway's own cost only: its HTTP and S3 layers over an engine that stores nothing, beside node:http
  day         ${dayRate} PUTs a second of 4 KiB, five times 50 million a day, held for --minutes (60); --rate for another one
  node        small puts and reads through a node and straight into its directory; streams beside plain node:http
  slow-provider  p99 of GET with one provider ten times slower than the rest, with hedging and without; --seed for other latencies
  upkeep      repair and drain over directories, beside a raw copy of the same bytes on the same disk
  churn       disk use after overwrites and deletes, against what live data need
  --quick     few and short rounds: under a minute for everything, and rougher
  --json      results as JSON on standard output
  --profile   the gateway alone, under node's CPU profiler; files go to bench/results/
  --sign-live the client signs each request as it goes, as SDKs do, and not all of them beforehand
  --from-providers  the gateway keeps no small object in memory: each GET asks a provider
  --folder    on which disk to measure; the system's folder for temporary files unless given
`;

const paces: Record<'full' | 'quick', Omit<Pace, 'isSigningLive'>> = {
  full: { rounds: 5, roundMs: 2000, warmUpMs: 1000 },
  quick: { rounds: 2, roundMs: 200, warmUpMs: 100 },
};

const codecPaces = { full: { rounds: 5, roundMs: 400 }, quick: { rounds: 5, roundMs: 60 } };

interface Setting {
  readonly pace: Pace;
  readonly folder: string;
  readonly profile: boolean;
  readonly isReadingProviders: boolean;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      'sign-live': { type: 'boolean', default: false },
      'from-providers': { type: 'boolean', default: false },
      folder: { type: 'string', default: tmpdir() },
      minutes: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      rate: { type: 'string', default: String(dayRate) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const pace = { ...paces[values.quick ? 'quick' : 'full'], isSigningLive: values['sign-live'] };
  const { folder } = values;
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const [name] = values.help ? [] : positionals;
  if (name === 'path') return say(await benchGatewayPath({ pace, profile: values.profile }));
  if (name === 'node') return say(await benchNode({ folder, isQuick: values.quick }));
  if (name === 'slow-provider')
    return say(await benchSlowProvider({ isQuick: values.quick, seed: Number(values.seed) }));
  if (name === 'upkeep') {
    say(`${describeMachine()}\n`);
    return say(await benchUpkeep({ folder, isQuick: values.quick }));
  }
  if (name === 'churn') return say(await benchChurn({ folder, isQuick: values.quick }));
  if (name === 'day') return benchDay({ minutes: Number(values.minutes), rate: Number(values.rate), folder }, say);
  const isChosen = (name: string): boolean =>
    positionals.length === 0 || positionals.some((prefix) => name.startsWith(prefix));
  const cases = benchCases.filter(({ name }) => isChosen(name));
  const withCodec = isChosen('codec') && !values.profile;
  if (values.help || (cases.length === 0 && !withCodec)) {
    process.stderr.write(usage);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const setting = { pace, folder, profile: values.profile, isReadingProviders: values['from-providers'] };
  const machine = describeMachine();
  const results = await benchServers(cases, setting);
  const codecs = withCodec ? await benchCodecs(codecPaces[values.quick ? 'quick' : 'full']) : [];
  process.stdout.write(values.json ? renderJson(machine, results, codecs) : renderText(machine, results, codecs));
}

/** One start of all servers for each size, so that no case finds a disk full of another's files. */
async function benchServers(cases: readonly BenchCase[], setting: Setting): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const group of Object.values(Object.groupBy(cases, ({ sizeName }) => sizeName))) {
    if (setting.profile) for (const one of group ?? []) results.push(...(await profileCase(one, setting)));
    else results.push(...(await benchGroup(group ?? [], setting, undefined)));
  }
  return results;
}

async function benchGroup(
  group: readonly BenchCase[],
  { pace, folder, profile, isReadingProviders }: Setting,
  profilePath: string | undefined,
): Promise<CaseResult[]> {
  const targets: Target[] = [];
  const results: CaseResult[] = [];
  try {
    const isNeeded = (name: TargetName): boolean => group.some(({ targets: names }) => names.includes(name));
    for (const name of profile ? (['gateway'] as const) : targetNames.filter(isNeeded))
      targets.push(await startTarget(name, { folder, bytes: group[0]!.bytes, profilePath, isReadingProviders }));
    for (const benchCase of group) {
      process.stderr.write(`${benchCase.name}\n`);
      results.push(await compareServers(benchCase, targets, pace));
    }
  } finally {
    for (const target of targets) await target.stop();
  }
  return results;
}

async function profileCase(benchCase: BenchCase, setting: Setting): Promise<CaseResult[]> {
  const path = fileURLToPath(new URL(`results/${benchCase.name}.cpuprofile`, import.meta.url));
  const results = await benchGroup([benchCase], setting, path);
  process.stderr.write(`${renderProfile(benchCase.name, await summarizeProfile(path))}\n`);
  return results;
}

/** The load tells whether the machine had anything else to do, which would spoil the figures. */
function describeMachine(): string {
  const cores = `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown CPU'}`;
  return `${cores}, node ${process.version}, load average ${loadavg()[0]?.toFixed(1)} at the start`;
}

function renderText(machine: string, results: readonly CaseResult[], codecs: readonly CodecResult[]): string {
  const tables = [results.length > 0 ? renderCases(results) : '', codecs.length > 0 ? renderCodecs(codecs) : ''];
  return `${machine}\n\n${tables.filter(Boolean).join('\n')}`;
}

function renderJson(machine: string, results: readonly CaseResult[], codecs: readonly CodecResult[]): string {
  return `${JSON.stringify({ machine, servers: results, codecs }, undefined, 2)}\n`;
}

await main();
