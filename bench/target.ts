import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startGatewayProcess } from '../test/harness/gateway-process.ts';
import { providerIds, providerPath } from '../test/harness/shard-files.ts';
import type { LoadResult } from './load.ts';

export const targetNames = ['null', 'file', 'appends', 'fileShards', 'gateway'] as const;
export type TargetName = (typeof targetNames)[number];

/** Something under load, in a process of its own. */
interface AnyTarget {
  readonly name: TargetName;
  readonly pid: number;
  /** Ends it, and deletes what it wrote. */
  stop(): Promise<void>;
}

export interface ServerTarget extends AnyTarget {
  readonly url: URL;
}

/** Appends to files for so many clients, without a server in between. */
export interface AppendsTarget extends AnyTarget {
  append(order: { clients: number; bytes: number; durationMs: number }): Promise<LoadResult>;
}

export type Target = ServerTarget | AppendsTarget;

interface TargetSetting {
  /** Where servers keep their files, all on one disk. */
  readonly folder: string;
  /** How much the null server answers to GET. */
  readonly bytes: number;
  /** Starts the gateway with `--cpu-prof`; the file is complete after `stop`. */
  readonly profilePath?: string | undefined;
  /** Gateways keep no small object in memory: each GET asks a provider. */
  readonly isReadingProviders: boolean;
}

export async function startTarget(name: TargetName, setting: TargetSetting): Promise<Target> {
  const dataDir = await mkdtemp(join(setting.folder, `bench-${name}-`));
  const started = await startByName(name, dataDir, setting);
  return {
    ...started,
    name,
    async stop() {
      await started.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

type Started = Omit<ServerTarget, 'name'> | Omit<AppendsTarget, 'name'>;

function startByName(name: TargetName, dataDir: string, setting: TargetSetting): Promise<Started> {
  const { bytes, profilePath, isReadingProviders } = setting;
  const limits = isReadingProviders ? { pieceCacheBytes: 0 } : {};
  if (name === 'gateway') return startGateway(dataDir, { limits }, profilePath);
  if (name === 'fileShards') return startGateway(dataDir, fileShards(dataDir, limits), undefined);
  if (name === 'appends') return startAppends(dataDir);
  return startRaw(name, name === 'null' ? bytes : dataDir);
}

async function startGateway(
  dataDir: string,
  configuration: object,
  profilePath: string | undefined,
): Promise<Omit<ServerTarget, 'name'>> {
  const configPath = join(dataDir, 'configuration.json');
  await writeFile(configPath, JSON.stringify(configuration));
  const gateway = await startGatewayProcess({
    dataDir,
    nodeArguments: await profilerArguments(profilePath),
    environment: { HOLDFAST_CONFIG: configPath },
  });
  return { url: new URL(gateway.url), pid: gateway.pid, stop: () => gateway.stop() };
}

/** Our own way without packs and segments: stripes of one object each, and a file for each shard. */
function fileShards(dataDir: string, limits: object): object {
  const providers = providerIds.map((id) => ({
    id,
    kind: 'directory',
    path: providerPath(dataDir, id),
    segmentShardBytes: 0,
  }));
  return { providers, limits: { ...limits, packObjectBytes: 0 } };
}

async function startAppends(folder: string): Promise<Omit<AppendsTarget, 'name'>> {
  const child = fork(fileURLToPath(new URL('raw-appends.ts', import.meta.url)), [folder]);
  process.once('exit', () => child.kill('SIGKILL'));
  await once(child, 'message');
  return {
    pid: child.pid!,
    async append(order) {
      const answer = once(child, 'message');
      child.send(order);
      const [result] = await answer;
      return result as LoadResult;
    },
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/** What makes node write a CPU profile to this path when it ends; nothing for none. */
export async function profilerArguments(profilePath: string | undefined): Promise<readonly string[]> {
  if (profilePath === undefined) return [];
  const folder = dirname(profilePath);
  await mkdir(folder, { recursive: true });
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${basename(profilePath)}`];
}

function startRaw(kind: 'null' | 'file', argument: string | number): Promise<Omit<ServerTarget, 'name'>> {
  return startProgram('raw-server.ts', [kind, String(argument)]);
}

/** Starts a server that lies beside this file, names its URL in its first line of output and ends at SIGTERM. */
export async function startProgram(
  file: string,
  programArguments: readonly string[],
  nodeArguments: readonly string[] = [],
): Promise<Omit<ServerTarget, 'name'>> {
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
