import { randomBytes } from 'node:crypto';
import type { BenchCase } from './bench-case.ts';
import { LoadGenerator, type PreparedRequest, prepareRequest } from './load.ts';
import { quantile, type Spread, summarize } from './statistics.ts';
import { readCpuSeconds, type Target, type TargetName } from './target.ts';

export interface Pace {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
}

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
  readonly ratios: { readonly toNull?: Spread; readonly toFile?: Spread };
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
  const lanes = await Promise.all(targets.map((target) => openLane(benchCase, target)));
  try {
    for (const { load } of lanes) await load.run(pace.warmUpMs);
    for (let round = 0; round < pace.rounds; round++) {
      // Another one comes first each time, so that none always runs in the wake of the same.
      for (let turn = 0; turn < lanes.length; turn++) {
        const lane = lanes[(round + turn) % lanes.length]!;
        lane.rounds.push(await measureRound(lane, pace.roundMs));
      }
    }
  } finally {
    for (const { load } of lanes) load.close();
  }
  const roundsOf = (name: TargetName): readonly Round[] | undefined =>
    lanes.find(({ target }) => target.name === name)?.rounds;
  const ratio = (name: TargetName): Spread | undefined => compareRounds(roundsOf('gateway'), roundsOf(name));
  const [toNull, toFile] = [ratio('null'), ratio('file')];
  return {
    name: benchCase.name,
    clients: benchCase.clients,
    bytes: benchCase.bytes,
    servers: Object.fromEntries(lanes.map(({ target, rounds }) => [target.name, combine(rounds, benchCase.bytes)])),
    ratios: { ...(toNull && { toNull }), ...(toFile && { toFile }) },
  };
}

interface Lane {
  readonly target: Target;
  readonly load: LoadGenerator;
  readonly rounds: Round[];
}

async function openLane(benchCase: BenchCase, target: Target): Promise<Lane> {
  const { name, method, bytes, clients, requestCount } = benchCase;
  const { url } = target;
  const paths = Array.from({ length: requestCount }, (_, index) => `${bucket}/${name}/${index}`);
  const body = randomBytes(bytes);
  const puts = (some: readonly string[]): PreparedRequest[] =>
    some.map((path) => prepareRequest(url, 'PUT', path, bytes));
  await sendAll({ url, requests: [prepareRequest(url, 'PUT', bucket, 0)], clients: 1, answerBytes: 0 });
  if (method === 'PUT') {
    const load = new LoadGenerator({ url, requests: puts(paths), clients, body, answerBytes: 0 });
    return { target, load, rounds: [] };
  }
  await sendAll({ url, requests: puts(paths), clients: Math.min(4, requestCount), body, answerBytes: 0 });
  const requests = paths.map((path) => prepareRequest(url, 'GET', path, 0));
  return { target, load: new LoadGenerator({ url, requests, clients, answerBytes: bytes }), rounds: [] };
}

async function sendAll(parts: ConstructorParameters<typeof LoadGenerator>[0]): Promise<void> {
  const load = new LoadGenerator(parts);
  await load.runAll();
  load.close();
}

async function measureRound({ target, load }: Lane, roundMs: number): Promise<Round> {
  const before = await readCpuSeconds(target.pid);
  const { requests, seconds, latenciesMs } = await load.run(roundMs);
  const after = await readCpuSeconds(target.pid);
  return {
    requestsPerSecond: requests / seconds,
    cpuSeconds: after.all - before.all,
    mainThreadSeconds: after.mainThread - before.mainThread,
    requests,
    latenciesMs,
  };
}

function compareRounds(ours: readonly Round[] | undefined, theirs: readonly Round[] | undefined): Spread | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
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
