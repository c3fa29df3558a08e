import type { BenchCase } from './bench-case.ts';
import { type CpuSeconds, readCpuSeconds } from './cpu-seconds.ts';
import { killProviders } from './kill-providers.ts';
import { LoadGenerator, type LoadResult } from './load.ts';
import { type LoopDelay, readLoopDelay } from './loop-delay.ts';
import type { Pace } from './pace.ts';
import { prepareRequests } from './prepare-requests.ts';
import { quantile, type Spread, summarize } from './statistics.ts';
import type { ServerTarget, Target, TargetName } from './target.ts';

/** What one server did in one case, over all rounds. */
export interface Measurement {
  /** Requests a second, round by round. */
  readonly rates: readonly number[];
  readonly requestsPerS: Spread;
  /** Of bodies, in both directions. */
  readonly mibPerS: Spread;
  readonly requests: number;
  readonly bytes: number;
  /** Answers of 503, after which a request was sent again. */
  readonly refusals: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Of the server's process over all rounds; undefined for a server that is not ours. */
  readonly cpu?: {
    readonly microsPerRequest: number;
    /** Of the thread that runs the JavaScript. */
    readonly mainThreadMicros: number;
    readonly secondsPerGib: number;
  };
  /** Of a gateway, over all rounds. */
  readonly loopDelayMs?: { readonly p99: number; readonly max: number };
  /** From the moment at which providers died, of a gateway of which some did. */
  readonly afterDeath?: { readonly seconds: number; readonly requestsPerS: number; readonly p99Ms: number };
}

export interface CaseResult {
  readonly benchCase: BenchCase;
  readonly servers: Readonly<Partial<Record<TargetName, Measurement>>>;
  /** CPU time that the load generator itself took for a request, all servers together. */
  readonly clientCpuMicros: number;
}

interface Round {
  readonly load: LoadResult;
  readonly cpu: CpuSeconds | undefined;
  readonly loopDelay: LoopDelay | undefined;
}

interface Lane {
  readonly target: Target;
  readonly run: (durationMs: number) => Promise<LoadResult>;
  readonly rounds: Round[];
  afterDeath?: LoadResult;
}

const gibibyte = 2 ** 30;

/**
 * Measures one case with all servers in turn, round by round, so that whatever else the machine does meanwhile falls on
 * all of them; ratios are taken within a round.
 *
 * @param options.onWarm is called when all is ready for the first round
 */
export async function compareServers(
  benchCase: BenchCase,
  targets: readonly Target[],
  pace: Pace,
  { onWarm }: { onWarm?: () => Promise<void> } = {},
): Promise<CaseResult> {
  const lanes: Lane[] = [];
  for (const target of targets) lanes.push(await openLane(benchCase, target, pace));
  for (const { run } of lanes) await run(pace.warmUpMs);
  if (benchCase.isWithDead) for (const lane of lanes) await killMortals(lane, pace);
  await onWarm?.();
  const cpuBefore = process.cpuUsage();
  for (let round = 0; round < pace.rounds; round++) {
    // Another one comes first each time, so that none always runs in the wake of the same.
    for (let turn = 0; turn < lanes.length; turn++) {
      const lane = lanes[(round + turn) % lanes.length]!;
      lane.rounds.push(await measureRound(lane, pace.roundMs));
    }
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const sent = lanes.filter(({ target }) => 'access' in target).flatMap(({ rounds }) => rounds);
  return {
    benchCase,
    servers: Object.fromEntries(lanes.map((lane) => [lane.target.name, combine(lane)])),
    clientCpuMicros: (user + system) / sent.reduce((sum, { load }) => sum + load.requests, 0),
  };
}

/** One whose providers live has the same load meanwhile, so that its code is not compiled later than that of others. */
async function killMortals(lane: Lane, { afterDeathMs }: Pace): Promise<void> {
  const { target, run } = lane;
  const gateway = 'gateway' in target ? target.gateway : undefined;
  if (gateway?.mortals.length) lane.afterDeath = await killProviders(gateway, { run, firstMs: afterDeathMs });
  else await run(afterDeathMs);
}

/** Requests a second of one server over those of another in the same round. */
export function compareRates(one: Measurement | undefined, other: Measurement | undefined): Spread | undefined {
  if (one === undefined || other === undefined) return undefined;
  return summarize(one.rates.map((rate, index) => rate / other.rates[index]!));
}

async function openLane(benchCase: BenchCase, target: Target, pace: Pace): Promise<Lane> {
  const { clients, bytes } = benchCase;
  if ('append' in target) {
    return { target, run: (durationMs) => target.append({ clients, bytes, durationMs }), rounds: [] };
  }
  const load = await openLoad(benchCase, target, pace);
  return { target, run: (durationMs) => load.run(durationMs), rounds: [] };
}

/** Makes what the load will ask for, and then the load. */
async function openLoad(benchCase: BenchCase, target: ServerTarget, pace: Pace): Promise<LoadGenerator> {
  const { url } = target.access;
  const { fill, load } = prepareRequests(benchCase, { pace, access: target.access, bucket: target.bucket });
  // Written as they are read: small objects that arrived together lie together.
  const clients = Math.min(32, fill.length);
  if (fill.length > 0 && isKeeping(target)) await new LoadGenerator({ url, requests: fill, clients }).runAll();
  return new LoadGenerator({ url, requests: load, clients: benchCase.clients });
}

/** Servers that answer out of memory need nothing to be there. */
function isKeeping({ name }: ServerTarget): boolean {
  return name !== 'null' && name !== 'md5';
}

async function measureRound({ target, run }: Lane, roundMs: number): Promise<Round> {
  const adminUrl = 'gateway' in target ? target.gateway?.adminUrl : undefined;
  const delayBefore = adminUrl === undefined ? undefined : await readLoopDelay(adminUrl);
  const before = target.pid === undefined ? undefined : await readCpuSeconds(target.pid);
  const load = await run(roundMs);
  const after = target.pid === undefined ? undefined : await readCpuSeconds(target.pid);
  const delayAfter = adminUrl === undefined ? undefined : await readLoopDelay(adminUrl);
  return {
    load,
    cpu: before && after && { all: after.all - before.all, mainThread: after.mainThread - before.mainThread },
    loopDelay: delayBefore && delayAfter?.subtract(delayBefore),
  };
}

function combine({ rounds, afterDeath }: Lane): Measurement {
  const latencies = rounds.flatMap(({ load }) => load.latenciesMs).toSorted((a, b) => a - b);
  const rates = rounds.map(({ load }) => load.requests / load.seconds);
  const delays = rounds.flatMap(({ loopDelay }) => loopDelay ?? []);
  const cpu = combineCpu(rounds);
  return {
    rates,
    requestsPerS: summarize(rates),
    mibPerS: summarize(rounds.map(({ load }) => load.bytes / 2 ** 20 / load.seconds)),
    requests: rounds.reduce((sum, { load }) => sum + load.requests, 0),
    bytes: rounds.reduce((sum, { load }) => sum + load.bytes, 0),
    refusals: rounds.reduce((sum, { load }) => sum + load.refusals, 0),
    latencyMs: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
    ...(cpu && { cpu }),
    ...(delays.length > 0 && { loopDelayMs: combineDelays(delays) }),
    ...(afterDeath && {
      afterDeath: {
        seconds: afterDeath.seconds,
        requestsPerS: afterDeath.requests / afterDeath.seconds,
        p99Ms: quantile(
          afterDeath.latenciesMs.toSorted((a, b) => a - b),
          0.99,
        ),
      },
    }),
  };
}

function combineCpu(rounds: readonly Round[]): Measurement['cpu'] {
  const known = rounds.flatMap(({ load, cpu }) => (cpu === undefined ? [] : [{ load, cpu }]));
  if (known.length === 0) return undefined;
  // The system counts in hundredths of a second: sums are finer than rounds.
  const sum = (figure: (round: { load: LoadResult; cpu: CpuSeconds }) => number): number =>
    known.reduce((total, round) => total + figure(round), 0);
  const [requests, cpuSeconds] = [sum(({ load }) => load.requests), sum(({ cpu }) => cpu.all)];
  return {
    microsPerRequest: (cpuSeconds / requests) * 1e6,
    mainThreadMicros: (sum(({ cpu }) => cpu.mainThread) / requests) * 1e6,
    secondsPerGib: (cpuSeconds / sum(({ load }) => load.bytes)) * gibibyte,
  };
}

function combineDelays(delays: readonly LoopDelay[]): { p99: number; max: number } {
  const all = delays.reduce((sum, delay) => sum.add(delay));
  return { p99: all.quantileMs(0.99), max: all.maxMs };
}
