import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileCache } from '../harness/gateway-process.ts';
import { createSignedFetch, type SignedFetch } from '../harness/signed-fetch.ts';

const program = fileURLToPath(new URL('../../bin/holdfast.ts', import.meta.url));
const startTimeoutMs = 20_000;

export interface Ending {
  /** Undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** `holdfast` in a process of its own, with an environment that a test chose. */
export class HoldfastProcess {
  readonly child: ChildProcess;
  readonly ending: Promise<Ending>;
  stdout = '';
  stderr = '';
  #onOutput: () => void = () => {};

  constructor(args: readonly string[], environment: Readonly<Record<string, string>>) {
    const nodeArguments = ['--disable-warning=ExperimentalWarning', program, ...args];
    this.child = spawn(process.execPath, nodeArguments, {
      cwd: tmpdir(),
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: compileCache, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const killWithParent = (): void => void this.child.kill('SIGKILL');
    process.once('exit', killWithParent);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onOutput();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ending = new Promise((resolve) => {
      this.child.once('close', (status) => {
        process.off('exit', killWithParent);
        resolve({ status: status ?? undefined, stdout: this.stdout, stderr: this.stderr });
        this.#onOutput();
      });
    });
  }

  /** Waits until the banner is printed and answers with what its lines say. */
  async readBanner(): Promise<Banner> {
    const signal = AbortSignal.timeout(startTimeoutMs);
    const timedOut = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    while (!this.stdout.includes('aws s3 cp')) {
      const hasEnded = this.child.exitCode !== null || this.child.signalCode !== null;
      assert.ok(!hasEnded && !signal.aborted, `no banner:\n${this.stdout}${this.stderr}`);
      const moreOutput = new Promise<void>((resolve) => {
        this.#onOutput = resolve;
      });
      await Promise.race([moreOutput, timedOut]);
    }
    return parseBanner(this.stdout);
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

export interface Banner {
  readonly text: string;
  /** Variables of the export lines. */
  readonly exports: Readonly<Record<string, string>>;
  readonly adminUrl: string;
  /** Signs with the key of the export lines, at their endpoint. */
  readonly fetchSigned: SignedFetch;
}

function parseBanner(text: string): Banner {
  const exports: Record<string, string> = {};
  for (const [, assignments] of text.matchAll(/^\s*export (.*)$/gm)) {
    for (const assignment of (assignments as string).split(' ')) {
      const [name = '', value = ''] = assignment.split(/=(.*)/s);
      exports[name] = value;
    }
  }
  const { AWS_ENDPOINT_URL = '', AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_REGION = '' } = exports;
  const key = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY };
  const adminUrl = /metrics: (\S+)\/metrics/.exec(text)?.[1] ?? '';
  return { text, exports, adminUrl, fetchSigned: createSignedFetch(AWS_ENDPOINT_URL, key, AWS_REGION) };
}

/** Starts gateways over one temporary folder, one after the other. */
export class DataFolder {
  readonly path: string;
  readonly #processes: HoldfastProcess[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<DataFolder> {
    return new DataFolder(await mkdtemp(join(tmpdir(), 'holdfast-startup-')));
  }

  start(environment: Readonly<Record<string, string>> = {}, args: readonly string[] = ['gateway']): HoldfastProcess {
    const started = new HoldfastProcess(args, {
      HOLDFAST_DATA_DIR: join(this.path, 'data'),
      HOLDFAST_LISTEN: '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
      ...environment,
    });
    this.#processes.push(started);
    return started;
  }

  /** Ends what still runs and deletes everything. */
  async remove(): Promise<void> {
    for (const started of this.#processes) started.kill('SIGKILL');
    await Promise.all(this.#processes.map((started) => started.ending));
    await rm(this.path, { recursive: true, force: true });
  }
}
