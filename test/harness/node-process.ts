import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { compileCache } from './gateway-process.ts';
import { pollUntil } from './poll-until.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const startTimeoutMs = 30_000;

export interface NodeProcessOptions {
  readonly dataDir: string;
  /** 64 hex digits; the node makes one and keeps it unless given. */
  readonly key?: string;
  /** A free one unless given; a node that is started again should get its old one. */
  readonly port?: number;
  readonly nodeArguments?: readonly string[];
  /** More of the command line, such as `--tls-cert`. */
  readonly options?: readonly string[];
}

/** `holdfast node` as its users run it: a process of its own. */
export interface NodeProcess {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly metricsUrl: string;
  readonly banner: string;
  /** What it logged so far. */
  readLog(): string;
  /** SIGTERM, as an init system would. @throws Error unless it exits 0 */
  stop(): Promise<void>;
  /** SIGKILL, as a crash would. Resolves when the process is gone; the data stay. */
  kill(): Promise<void>;
  /** Any other signal, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void;
}

export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  const { dataDir, key, port = 0, nodeArguments = [], options: more = [] } = options;
  const program = [...nodeArguments, '--disable-warning=ExperimentalWarning', 'bin/holdfast.ts', 'node'];
  const listen = ['--data', dataDir, '--listen', `127.0.0.1:${port}`, '--reserve-bytes', '0', ...more];
  const child = spawn(process.execPath, [...program, ...listen], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache, ...(key && { HOLDFAST_NODE_KEY: key }) },
  });
  const killWithParent = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithParent);
  const exited = once(child, 'exit').finally(() => process.off('exit', killWithParent));
  let banner = '';
  let log = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    banner += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-16_384);
  });
  const hasExited = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!hasExited()) child.kill(signal);
    await exited;
  };
  try {
    await pollUntil('the node serves', () => banner.includes('\nkey ') || hasExited(), startTimeoutMs);
    const [, url, metricsUrl] = / on (https?:\S+) +\(metrics: (\S+)\/metrics\)/.exec(banner) ?? [];
    if (url === undefined || metricsUrl === undefined) throw new Error(`the node did not start:\n${banner}${log}`);
    return {
      url,
      port: Number(new URL(url).port),
      pid: child.pid!,
      metricsUrl,
      banner,
      readLog: () => log,
      async stop() {
        await end('SIGTERM');
        if (child.exitCode !== 0)
          throw new Error(`the node exited with ${child.exitCode ?? child.signalCode}:\n${log}`);
      },
      kill: () => end('SIGKILL'),
      signal: (name) => void child.kill(name),
    };
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
}
