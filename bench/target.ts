import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startGatewayProcess } from '../test/harness/gateway-process.ts';

export const targetNames = ['null', 'file', 'gateway'] as const;
export type TargetName = (typeof targetNames)[number];

/** A server under load, in a process of its own. */
export interface Target {
  readonly name: TargetName;
  readonly url: URL;
  readonly pid: number;
  /** Ends it, and deletes what it wrote. */
  stop(): Promise<void>;
}

interface TargetSetting {
  /** Where servers keep their files, all on one disk. */
  readonly folder: string;
  /** How much the null server answers to GET. */
  readonly bytes: number;
  /** Starts the gateway with `--cpu-prof`; the file is complete after `stop`. */
  readonly profilePath?: string | undefined;
}

export async function startTarget(name: TargetName, { folder, bytes, profilePath }: TargetSetting): Promise<Target> {
  const dataDir = await mkdtemp(join(folder, `bench-${name}-`));
  const server =
    name === 'gateway'
      ? await startGateway(dataDir, profilePath)
      : await startRaw(name, name === 'null' ? bytes : dataDir);
  return {
    name,
    ...server,
    async stop() {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

async function startGateway(dataDir: string, profilePath: string | undefined): Promise<Omit<Target, 'name'>> {
  const nodeArguments: string[] = [];
  if (profilePath !== undefined) {
    const folder = join(profilePath, '..');
    await mkdir(folder, { recursive: true });
    nodeArguments.push(
      '--cpu-prof',
      `--cpu-prof-dir=${folder}`,
      `--cpu-prof-name=${profilePath.slice(folder.length + 1)}`,
    );
  }
  const gateway = await startGatewayProcess({ dataDir, nodeArguments });
  return { url: new URL(gateway.url), pid: gateway.pid, stop: () => gateway.stop() };
}

async function startRaw(kind: 'null' | 'file', argument: string | number): Promise<Omit<Target, 'name'>> {
  const program = fileURLToPath(new URL('raw-server.ts', import.meta.url));
  const child = spawn(process.execPath, [program, kind, String(argument)], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill('SIGKILL'));
  const [line] = await once(createInterface(child.stdout), 'line');
  return {
    url: new URL(String(line)),
    pid: child.pid!,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** CPU time that a process has taken so far. */
export interface CpuSeconds {
  readonly all: number;
  /** Of its first thread, which runs the JavaScript; the rest are file calls, garbage collection and compilation. */
  readonly mainThread: number;
}

/** USER_HZ, which Linux fixes at 100 for all that /proc tells (time(7)). */
const ticksPerSecond = 100;

export async function readCpuSeconds(pid: number): Promise<CpuSeconds> {
  const [all, mainThread] = await Promise.all([
    readTicks(`/proc/${pid}/stat`),
    readTicks(`/proc/${pid}/task/${pid}/stat`),
  ]);
  return { all: all / ticksPerSecond, mainThread: mainThread / ticksPerSecond };
}

/** utime and stime, fields 14 and 15 of proc(5); the name before them may hold spaces. */
async function readTicks(path: string): Promise<number> {
  const text = await readFile(path, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
