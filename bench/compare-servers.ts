import { randomBytes } from 'node:crypto';
import type { BenchCase } from './bench-case.ts';
import { HeadSigner } from './head-signer.ts';
import { LoadGenerator, type LoadResult, type PreparedRequest } from './load.ts';
import type { Pace } from './pace.ts';
import { quantile, type Spread, summarize } from './statistics.ts';
import { readCpuSeconds, type ServerTarget, type Target, type TargetName } from './target.ts';

/** What one server did in one case, over all rounds. */
export interface Measurement {
  readonly requestsPerSecond: Spread;
  readonly mebibytesPerSecond: Spread;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Of the server's process, all threads together; medians of the rounds. */
  readonly cpuMsPerRequest: number;
  readonly cpuSecondsPerGibibyte: number;
  /** How much of that was the thread that runs the JavaScript, 0 to 1. */
  readonly mainThreadShare: number;
}

export interface CaseResult {
  readonly name: string;
  readonly clients: number;
  readonly bytes: number;
  readonly servers: Readonly<Partial<Record<TargetName, Measurement>>>;
  /** Requests a second of the gateway over those of the other server in the same round. */
  readonly ratios: Readonly<Partial<Record<TargetName, Spread>>>;
  /** CPU time that the load generator itself took for a request, all servers together. */
  readonly clientCpuMsPerRequest: number;
}

interface Round {
  readonly requestsPerSecond: number;
  readonly cpuSeconds: number;
  readonly mainThreadSeconds: number;
  readonly requests: number;
  readonly latenciesMs: readonly number[];
}

const bucket = '/bench';
const gibibyte = 2 ** 30;

/**
 * Measures one case with all servers in turn, round by round, so that whatever else the machine does meanwhile falls on
 * all of them; ratios are taken within a round.
 */
export async function compareServers(
  benchCase: BenchCase,
  targets: readonly Target[],
  pace: Pace,
): Promise<CaseResult> {
  const lanes: Lane[] = [];
  for (const target of targets)
    if (benchCase.targets.includes(target.name)) lanes.push(await openLane(benchCase, target, pace.isSigningLive));
  for (const { run } of lanes) await run(pace.warmUpMs);
  const cpuBefore = process.cpuUsage();
  for (let round = 0; round < pace.rounds; round++) {
    // Another one comes first each time, so that none always runs in the wake of the same.
    for (let turn = 0; turn < lanes.length; turn++) {
      const lane = lanes[(round + turn) % lanes.length]!;
      lane.rounds.push(await measureRound(lane, pace.roundMs));
    }
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const ours = lanes.find(({ target }) => target.name === 'gateway')?.rounds;
  const sent = lanes.filter(({ target }) => 'url' in target).flatMap(({ rounds }) => rounds);
  return {
    name: benchCase.name,
    clients: benchCase.clients,
    bytes: benchCase.bytes,
    servers: Object.fromEntries(lanes.map(({ target, rounds }) => [target.name, combine(rounds, benchCase.bytes)])),
    ratios: Object.fromEntries(
      lanes
        .filter(({ target }) => ours !== undefined && target.name !== 'gateway')
        .map(({ target, rounds }) => [target.name, compareRounds(ours!, rounds)]),
    ),
    clientCpuMsPerRequest: (user + system) / 1000 / sent.reduce((sum, { requests }) => sum + requests, 0),
  };
}

interface Lane {
  readonly target: Target;
  readonly run: (durationMs: number) => Promise<LoadResult>;
  readonly rounds: Round[];
}

async function openLane(benchCase: BenchCase, target: Target, isSigningLive: boolean): Promise<Lane> {
  const { clients, bytes } = benchCase;
  if ('url' in target) {
    const load = await openLoad(benchCase, target, isSigningLive);
    return { target, run: (durationMs) => load.run(durationMs), rounds: [] };
  }
  return { target, run: (durationMs) => target.append({ clients, bytes, durationMs }), rounds: [] };
}

/** Makes what GETs will ask for. Signs beforehand, so that the clock sees no signing, unless the client is to sign as it goes. */
async function openLoad(benchCase: BenchCase, { url }: ServerTarget, isSigningLive: boolean): Promise<LoadGenerator> {
  const { name, method, bytes, clients, requestCount } = benchCase;
  const signer = new HeadSigner(url);
  const prepare = (verb: string, path: string, bodyBytes: number): PreparedRequest => {
    const sign = (): Buffer => signer.sign({ method: verb, path, bodyBytes });
    return { name: `${verb} ${path}`, head: isSigningLive ? sign : sign() };
  };
  const paths = Array.from({ length: requestCount }, (_, index) => `${bucket}/${name}/${index}`);
  const body = randomBytes(bytes);
  await new LoadGenerator({ url, requests: [prepare('PUT', bucket, 0)], clients: 1, answerBytes: 0 }).runAll();
  const puts = paths.map((path) => prepare('PUT', path, bytes));
  if (method === 'PUT') return new LoadGenerator({ url, requests: puts, clients, body, answerBytes: 0 });
  // Written as they are read: small objects that arrived together lie together.
  await new LoadGenerator({ url, requests: puts, clients: Math.min(32, requestCount), body, answerBytes: 0 }).runAll();
  const gets = paths.map((path) => prepare('GET', path, 0));
  return new LoadGenerator({ url, requests: gets, clients, answerBytes: bytes });
}

async function measureRound({ target, run }: Lane, roundMs: number): Promise<Round> {
  const before = await readCpuSeconds(target.pid);
  const { requests, seconds, latenciesMs } = await run(roundMs);
  const after = await readCpuSeconds(target.pid);
  return {
    requestsPerSecond: requests / seconds,
    cpuSeconds: after.all - before.all,
    mainThreadSeconds: after.mainThread - before.mainThread,
    requests,
    latenciesMs,
  };
}

function compareRounds(ours: readonly Round[], theirs: readonly Round[]): Spread {
  return summarize(ours.map((round, index) => round.requestsPerSecond / theirs[index]!.requestsPerSecond));
}

function combine(rounds: readonly Round[], bytes: number): Measurement {
  const latencies = rounds.flatMap(({ latenciesMs }) => latenciesMs).toSorted((a, b) => a - b);
  const cpuPerRequest = summarize(rounds.map(({ cpuSeconds, requests }) => cpuSeconds / requests)).median;
  const rates = rounds.map(({ requestsPerSecond }) => requestsPerSecond);
  const sum = (pick: (round: Round) => number): number => rounds.reduce((total, round) => total + pick(round), 0);
  return {
    requestsPerSecond: summarize(rates),
    mebibytesPerSecond: summarize(rates.map((rate) => (rate * bytes) / 2 ** 20)),
    latencyMs: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) },
    cpuMsPerRequest: cpuPerRequest * 1000,
    cpuSecondsPerGibibyte: (cpuPerRequest * gibibyte) / bytes,
    mainThreadShare: sum(({ mainThreadSeconds }) => mainThreadSeconds) / sum(({ cpuSeconds }) => cpuSeconds),
  };
}
