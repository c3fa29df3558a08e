import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { measureDiskUse } from '../test/harness/disk-use.ts';
import { type GatewayProcess, readProcessBytes, startGatewayProcess } from '../test/harness/gateway-process.ts';
import type { BenchReport } from './bench-command.ts';
import { readCpuSeconds } from './cpu-seconds.ts';
import { HeadSigner } from './head-signer.ts';
import { type Answer, HttpConnection } from './http-connection.ts';
import { readLoopDelay } from './loop-delay.ts';
import { OpenLoop } from './open-loop.ts';
import { renderTable } from './render-table.ts';
import { describeTrend, quantile } from './statistics.ts';
import { gatewayAccess } from './target.ts';

const bytes = 4096;
const bucket = '/day';
/** GETs of objects that are there, for each PUT. */
const getShare = 0.25;
/** What is older than the newest so many objects is deleted, so that the disk does not fill; a third of all in a short run. */
const maxKeptObjects = 200_000;
const keysPerDelete = 100;
const connections = 128;
/** The least rest between two looks at the clock; what came due meanwhile goes out together. */
const tickMs = 1;

export interface DayOptions {
  readonly minutes: number;
  /** PUTs a second. */
  readonly rate: number;
  readonly folder: string;
}

/** What happened in one window of time. */
interface Window {
  readonly atMinute: number;
  readonly putsPerSecond: number;
  readonly putMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly getMs: { readonly p50: number; readonly p99: number };
  readonly failures: number;
  readonly waiting: number;
  readonly rssBytes: number;
  readonly delayP99Ms: number;
  readonly cpuShare: number;
  readonly diskBytes: number;
  readonly liveBytes: number;
}

/**
 * Holds a rate of small PUTs for long: an open loop, so that a stall is charged for everything that came due during it. GETs and
 * deletes of older objects go along. Says for each window what it was like, and in the end whether it stayed so.
 *
 * @param say is told each line of the table as it comes; the report has what follows from them
 */
export async function benchDay(options: DayOptions, say: (text: string) => void): Promise<BenchReport> {
  const dataDir = await mkdtemp(join(options.folder, 'bench-day-'));
  const gateway = await startGatewayProcess({ dataDir, environment: { HOLDFAST_LOG_LEVEL: 'warn' } });
  try {
    const day = new Day(gateway, options);
    return await day.run(say);
  } finally {
    await gateway.stop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

class Day {
  readonly #gateway: GatewayProcess;
  readonly #options: DayOptions;
  readonly #signer: HeadSigner;
  readonly #body = randomBytes(bytes);
  readonly #keptObjects: number;
  /** Objects are numbers; those from `#oldest` up to `#newest` are there, but for what is under way. */
  #newest = 0;
  #oldest = 0;
  #acknowledged = 0;
  #putLatencies: number[] = [];
  #getLatencies: number[] = [];
  #failures = 0;
  #firstFailure: string | undefined;

  constructor(gateway: GatewayProcess, options: DayOptions) {
    this.#gateway = gateway;
    this.#options = options;
    this.#signer = new HeadSigner(gatewayAccess(new URL(gateway.url)));
    this.#keptObjects = Math.min(maxKeptObjects, Math.floor(options.rate * options.minutes * 20));
  }

  async run(say: (text: string) => void): Promise<BenchReport> {
    const url = new URL(this.#gateway.url);
    const first = await HttpConnection.open(url);
    await first.send(this.#signer.sign({ method: 'PUT', path: bucket, bodyBytes: 0 }), undefined);
    first.close();
    const loop = await OpenLoop.open(url, connections);
    const windows: Window[] = [];
    const { minutes } = this.#options;
    const windowMs = minutes >= 10 ? 60_000 : 10_000;
    say(renderTable(windowHead, []).trimEnd());
    const cpuBefore = process.cpuUsage();
    const startedAtMs = performance.now();
    const sending = this.#send(loop, startedAtMs, startedAtMs + minutes * 60_000);
    try {
      while (performance.now() < startedAtMs + minutes * 60_000 - windowMs / 2) {
        windows.push(await this.#watch(loop, startedAtMs, windowMs));
        say(renderWindow(windows.at(-1)!));
      }
      await sending;
      await loop.drain();
    } finally {
      loop.close();
    }
    const { user, system } = process.cpuUsage(cpuBefore);
    return { text: this.#conclude(windows, (user + system) / 1000), rows: windows };
  }

  async #send(loop: OpenLoop, startedAtMs: number, endsAtMs: number): Promise<void> {
    const { rate } = this.#options;
    let dueAtMs = startedAtMs;
    while (dueAtMs < endsAtMs) {
      const now = performance.now();
      while (dueAtMs <= now && dueAtMs < endsAtMs) {
        this.#put(loop, dueAtMs);
        if (Math.random() < getShare) this.#get(loop, dueAtMs);
        if (this.#newest - this.#oldest > this.#keptObjects + keysPerDelete) this.#remove(loop, dueAtMs);
        // Arrivals as they come from many clients that know nothing of each other (a Poisson process).
        dueAtMs += (-Math.log(1 - Math.random()) * 1000) / rate;
      }
      await delay(tickMs);
    }
  }

  #put(loop: OpenLoop, dueAtMs: number): void {
    const head = this.#signer.sign({ method: 'PUT', path: pathOf(this.#newest++), bodyBytes: bytes });
    const settle = (outcome: Answer | Error, latencyMs: number): void => {
      if (!this.#isGood(outcome, 200)) return;
      this.#acknowledged += 1;
      this.#putLatencies.push(latencyMs);
    };
    loop.send({ kind: 'put', head, body: this.#body, dueAtMs, settle });
  }

  /** Of an object that was written a while ago and is not about to be deleted. */
  #get(loop: OpenLoop, dueAtMs: number): void {
    const from = this.#oldest + 2 * keysPerDelete;
    const to = this.#newest - this.#options.rate * 2;
    if (to <= from) return;
    const path = pathOf(Math.floor(from + Math.random() * (to - from)));
    const settle = (outcome: Answer | Error, latencyMs: number): void => {
      if (this.#isGood(outcome, 200)) this.#getLatencies.push(latencyMs);
    };
    loop.send({
      kind: 'get',
      head: this.#signer.sign({ method: 'GET', path, bodyBytes: 0 }),
      body: undefined,
      dueAtMs,
      settle,
    });
  }

  #remove(loop: OpenLoop, dueAtMs: number): void {
    const keys = Array.from({ length: keysPerDelete }, () => pathOf(this.#oldest++).slice(bucket.length + 1));
    const xml = `<Delete><Quiet>true</Quiet>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;
    const body = Buffer.from(xml);
    const head = this.#signer.sign({
      method: 'POST',
      path: bucket,
      query: 'delete=',
      bodyBytes: body.length,
      contentMd5: createHash('md5').update(xml).digest('base64'),
    });
    loop.send({ kind: 'delete', head, body, dueAtMs, settle: (outcome) => void this.#isGood(outcome, 200) });
  }

  #isGood(outcome: Answer | Error, status: number): boolean {
    if (!(outcome instanceof Error) && outcome.status === status) return true;
    this.#failures += 1;
    this.#firstFailure ??= outcome instanceof Error ? outcome.message : `${outcome.status} ${outcome.errorText}`;
    return false;
  }

  async #watch(loop: OpenLoop, startedAtMs: number, windowMs: number): Promise<Window> {
    const { pid, dataDir, adminUrl } = this.#gateway;
    const beganAtMs = performance.now();
    const delayBefore = await readLoopDelay(adminUrl);
    const cpuBefore = await readCpuSeconds(pid);
    await delay(windowMs);
    const seconds = (performance.now() - beganAtMs) / 1000;
    const puts = this.#putLatencies.toSorted((a, b) => a - b);
    const gets = this.#getLatencies.toSorted((a, b) => a - b);
    this.#putLatencies = [];
    this.#getLatencies = [];
    const failures = this.#failures;
    this.#failures = 0;
    const cpuAfter = await readCpuSeconds(pid);
    const delayAfter = await readLoopDelay(adminUrl);
    return {
      atMinute: (performance.now() - startedAtMs) / 60_000,
      putsPerSecond: puts.length / seconds,
      putMs: { p50: quantileOf(puts, 0.5), p99: quantileOf(puts, 0.99), max: quantileOf(puts, 1) },
      getMs: { p50: quantileOf(gets, 0.5), p99: quantileOf(gets, 0.99) },
      failures,
      waiting: loop.waiting,
      rssBytes: await readProcessBytes(pid, 'VmRSS'),
      delayP99Ms: delayAfter.subtract(delayBefore).quantileMs(0.99),
      cpuShare: (cpuAfter.all - cpuBefore.all) / seconds,
      diskBytes: await measureDiskUse(dataDir),
      liveBytes: (this.#acknowledged - this.#oldest) * bytes,
    };
  }

  #conclude(windows: readonly Window[], clientCpuMs: number): string {
    // The first windows see a disk that is empty and code that is not compiled yet.
    const steady = windows.slice(Math.min(2, windows.length - 2));
    const trends = [
      describeTrend(
        'p99 of PUT',
        steady.map(({ putMs }) => putMs.p99),
        0.25,
      ),
      describeTrend(
        'p50 of PUT',
        steady.map(({ putMs }) => putMs.p50),
        0.25,
      ),
      describeTrend(
        'memory',
        steady.map(({ rssBytes }) => rssBytes),
        0.15,
      ),
    ];
    const failed = this.#firstFailure === undefined ? 'No request failed.' : `The first failure: ${this.#firstFailure}`;
    const perRequest = clientCpuMs / Math.max(1, this.#acknowledged);
    return `\n${trends.join('\n')}\n${this.#acknowledged} PUTs were acknowledged of ${this.#newest} sent. ${failed}\nThe load generator took ${perRequest.toFixed(3)} ms of CPU for each PUT and what went along.`;
  }
}

const windowHead = [
  ...['minute', 'PUT /s', 'PUT p50 ms', 'p99', 'max', 'GET p50 ms', 'p99', 'failures', 'waiting'],
  ...['RSS MiB', 'loop delay p99 ms', 'CPU cores', 'disk MiB', 'disk / (live x 1.5)'],
];

function renderWindow(window: Window): string {
  const { putMs, getMs, rssBytes, diskBytes, liveBytes } = window;
  const cells = [
    window.atMinute.toFixed(1),
    window.putsPerSecond.toFixed(0),
    ...[putMs.p50, putMs.p99, putMs.max, getMs.p50, getMs.p99].map((ms) => ms.toFixed(1)),
    String(window.failures),
    String(window.waiting),
    (rssBytes / 2 ** 20).toFixed(0),
    window.delayP99Ms.toFixed(1),
    window.cpuShare.toFixed(2),
    (diskBytes / 2 ** 20).toFixed(0),
    (diskBytes / (liveBytes * 1.5)).toFixed(2),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Spread over folders as dates would spread them, with enough keys in each for listings to mean something. */
function pathOf(index: number): string {
  return `${bucket}/${Math.floor(index / 10_000)}/object-${index}`;
}

function quantileOf(sorted: readonly number[], fraction: number): number {
  return sorted.length === 0 ? Number.NaN : quantile(sorted, fraction);
}
