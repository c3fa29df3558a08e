import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));
const startTimeoutMs = 30_000;
const stopTimeoutMs = 40_000;
const pollMs = 10;
/**
 * What node compiled is kept for the next start, which then costs half as much. Written only by processes that end in
 * order; what is in it follows from the files, so it makes no difference to what a gateway does.
 */
export const compileCache = join(project, 'node_modules/.cache/compiled');

export const processKey = { accessKeyId: 'HFPROCESSKEY', secretAccessKey: 'secret-of-the-process-tests' };
export const processRegion = 'us-east-1';

export interface GatewayProcessOptions {
  /** Kept, and kept after stop, where given; else a temporary folder. */
  readonly dataDir?: string;
  /** For node itself, such as `--cpu-prof`. */
  readonly nodeArguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Kills the process when it is aborted before the process is ready. */
  readonly signal?: AbortSignal;
}

/** The process ended before it was ready. */
export class StartFailure extends Error {
  /** What killed it; undefined where it ended by itself. */
  readonly signal: NodeJS.Signals | undefined;

  constructor(signal: NodeJS.Signals | null, stderr: string) {
    super(`the gateway did not start:\n${stderr}`);
    this.signal = signal ?? undefined;
  }
}

/** How a process ended: by itself, or by a signal. */
export interface ProcessEnd {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

/** `holdfast gateway` as its users run it: a process of its own, on free ports. */
export interface GatewayProcess {
  readonly url: string;
  readonly adminUrl: string;
  readonly dataDir: string;
  readonly pid: number;
  /** Resolves when the process is gone, whoever ended it. */
  readonly ended: Promise<ProcessEnd>;
  /** The end of its log so far. */
  readLog(): string;
  /** Requests answered so far, by the metrics of the gateway. */
  countRequests(operation: string): Promise<number>;
  /** Resolves once `count` requests of a kind were answered, so that a test can act in the middle of a client's work. */
  waitForRequests(operation: string, count: number): Promise<void>;
  /** Deletes the directory of one of the default providers, `p1` to `p6`, with all that lies in it. */
  deleteProvider(id: string): Promise<void>;
  /** SIGTERM, as an init system would. @throws Error unless it drains and exits 0; its log is in the message */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would: nothing is drained or flushed. Resolves when the process is gone; the data stay. */
  kill(): Promise<void>;
}

export async function startGatewayProcess(options: GatewayProcessOptions = {}): Promise<GatewayProcess> {
  const startArguments = await readStartArguments();
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'holdfast-process-')));
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), ...startArguments], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compileCache,
      HOLDFAST_DATA_DIR: dataDir,
      HOLDFAST_LISTEN: '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
      HOLDFAST_ROOT_USER: processKey.accessKeyId,
      HOLDFAST_ROOT_PASSWORD: processKey.secretAccessKey,
      ...options.environment,
    },
  });
  const killWithParent = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithParent);
  child.once('exit', () => process.off('exit', killWithParent));
  const abort = (): void => void child.kill('SIGKILL');
  options.signal?.addEventListener('abort', abort, { once: true });
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
  const output = collectOutput(child);
  try {
    const { url, adminUrl } = await waitUntilReady(child, output);
    options.signal?.removeEventListener('abort', abort);
    const counts = createRequestCounter(child, adminUrl);
    return {
      url,
      adminUrl,
      dataDir,
      pid: child.pid!,
      ended,
      readLog: () => output.stderr,
      ...counts,
      deleteProvider: (id) => deleteAtOnce(join(dataDir, 'providers', id)),
      async stop() {
        await stopChild(child, output);
        if (options.dataDir === undefined) await removeFolder(dataDir);
      },
      async kill() {
        child.kill('SIGKILL');
        await ended;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    if (options.dataDir === undefined) await removeFolder(dataDir);
    throw error;
  }
}

/** What `npm start` passes to node, its flags among them, so that tests run what users run. */
async function readStartArguments(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as {
    scripts: { start: string };
  };
  const line = /^(?:exec )?node (.*)$/.exec(scripts.start)?.[1];
  if (line === undefined) throw new Error(`npm start does not run node but ${scripts.start}`);
  return line.split(' ');
}

interface Output {
  stdout: string;
  stderr: string;
}

/** The log's end is enough to explain a failure; a long run may log more than one would keep. */
function collectOutput(child: ChildProcess): Output {
  const output: Output = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr = (output.stderr + text).slice(-16_384);
  });
  return output;
}

/** The banner names the ports that the system chose; the admin port then says when requests are welcome. */
async function waitUntilReady(child: ChildProcess, output: Output): Promise<{ url: string; adminUrl: string }> {
  const endsAtMs = performance.now() + startTimeoutMs;
  while (performance.now() < endsAtMs) {
    if (hasExited(child)) throw new StartFailure(child.signalCode, output.stderr);
    const [, url, adminUrl] = /serves S3 on (\S+) +\(metrics: (\S+)\/metrics\)/.exec(output.stdout) ?? [];
    if (url !== undefined && adminUrl !== undefined) {
      const answer = await fetch(`${adminUrl}/health/ready`).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.ok) return { url, adminUrl };
    }
    await delay(pollMs);
  }
  throw new Error(`the gateway was not ready after ${startTimeoutMs} ms:\n${output.stdout}${output.stderr}`);
}

function createRequestCounter(
  child: ChildProcess,
  adminUrl: string,
): Pick<GatewayProcess, 'countRequests' | 'waitForRequests'> {
  const countRequests = async (operation: string): Promise<number> => {
    const text = await (await fetch(`${adminUrl}/metrics`)).text();
    const lines = text.matchAll(/^holdfast_requests_total\{([^}]*)\} (\d+)$/gm);
    let count = 0;
    for (const [, labels, value] of lines) if (labels?.includes(`operation="${operation}"`)) count += Number(value);
    return count;
  };
  return {
    countRequests,
    async waitForRequests(operation, count) {
      while ((await countRequests(operation)) < count) {
        if (hasExited(child)) throw new Error('the gateway has exited');
        await delay(pollMs);
      }
    },
  };
}

async function stopChild(child: ChildProcess, output: Output): Promise<void> {
  if (!hasExited(child)) {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const limit = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
    await exited;
    clearTimeout(limit);
  }
  if (child.exitCode === 0) return;
  throw new Error(`the gateway exited with ${child.exitCode ?? child.signalCode}:\n${output.stderr}`);
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Out of sight in one step: a gateway at work would put new files into a folder that is being emptied. */
async function deleteAtOnce(path: string): Promise<void> {
  const aside = `${path}.deleted`;
  await rename(path, aside);
  await removeFolder(aside);
}

/** A folder of shards may be large, and the file system slow to let go of it. */
function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** A field of /proc/<pid>/status that is a size, such as `VmRSS` or `VmHWM`, in bytes. Linux only. */
export async function readProcessBytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`/proc/${pid}/status has no ${field}`);
  return Number(kibibytes) * 1024;
}
