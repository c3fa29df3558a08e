import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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
  const gateway = await startGatewayProcess({ dataDir, nodeArguments: await profilerArguments(profilePath) });
  return { url: new URL(gateway.url), pid: gateway.pid, stop: () => gateway.stop() };
}

/** What makes node write a CPU profile to this path when it ends; nothing for none. */
export async function profilerArguments(profilePath: string | undefined): Promise<readonly string[]> {
  if (profilePath === undefined) return [];
  const folder = dirname(profilePath);
  await mkdir(folder, { recursive: true });
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${basename(profilePath)}`];
}

function startRaw(kind: 'null' | 'file', argument: string | number): Promise<Omit<Target, 'name'>> {
  return startProgram('raw-server.ts', [kind, String(argument)]);
}

/** Starts a server that lies beside this file, names its URL in its first line of output and ends at SIGTERM. */
export async function startProgram(
  file: string,
  programArguments: readonly string[],
  nodeArguments: readonly string[] = [],
): Promise<Omit<Target, 'name'>> {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [...nodeArguments, program, ...programArguments], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
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
