import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { processKey, processRegion, startGatewayProcess } from '../test/harness/gateway-process.ts';
import { providerPath } from '../test/harness/shard-files.ts';
import type { Access } from './head-signer.ts';
import type { LoadResult } from './load.ts';

/** What can be put under load, in the order in which it stands in tables. */
export const targetNames = [
  'null',
  'md5',
  'file',
  'appends',
  'file-per-shard',
  'other',
  'gateway',
  'one-dead',
  'm-dead',
] as const;
export type TargetName = (typeof targetNames)[number];

/** Something under load, in a process of its own. */
interface AnyTarget {
  readonly name: TargetName;
  /** Ends it, and deletes what it wrote. */
  stop(): Promise<void>;
}

export interface ServerTarget extends AnyTarget {
  readonly access: Access;
  /** Which takes what is written; there, or made with a PUT. */
  readonly bucket: string;
  /** Undefined for a server that is not ours, and maybe not on this machine. */
  readonly pid: number | undefined;
  /** What it has said so far, or the end of it; for those that may be profiled. */
  readonly readStandardError?: () => string;
  /** Of a gateway. */
  readonly gateway?: GatewayHandle;
}

/** What only a gateway can tell, and what can be done to it. */
export interface GatewayHandle {
  readonly adminUrl: string;
  readonly dataDir: string;
  /** Providers that are to die before it is measured. */
  readonly mortals: readonly string[];
  /** Deletes the directory of a provider, under the gateway that uses it. */
  deleteProvider(id: string): Promise<void>;
}

/** Appends to files for so many clients, without a server in between. */
export interface AppendsTarget extends AnyTarget {
  readonly pid: number;
  append(order: { clients: number; bytes: number; durationMs: number }): Promise<LoadResult>;
}

export type Target = ServerTarget | AppendsTarget;

export interface TargetSetting {
  /** Where servers keep their files, all on one disk. */
  readonly folder: string;
  /** How much the null servers answer to GET. */
  readonly bytes: number;
  /** Directories that gateways have. */
  readonly providerCount: number;
  /** For node, with which the gateway is started. */
  readonly nodeArguments: readonly string[];
  /** Gateways keep no small object in memory: each GET asks a provider. */
  readonly isReadingProviders: boolean;
}

/** Of the profile that gateways have by default: 4+2. */
const parityShards = 2;
const localBucket = 'bench';

/** @param name of anything but `other`, which is there already */
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

export type StartedServer = Omit<ServerTarget, 'name'>;

function startByName(
  name: TargetName,
  dataDir: string,
  setting: TargetSetting,
): Promise<StartedServer | Omit<AppendsTarget, 'name'>> {
  switch (name) {
    case 'null':
    case 'md5':
      return startProgram('raw-server.ts', [name, String(setting.bytes)]);
    case 'file':
      return startProgram('raw-server.ts', [name, dataDir]);
    case 'appends':
      return startAppends(dataDir);
    case 'file-per-shard':
      return startGateway(dataDir, { ...setting, nodeArguments: [] }, { isPacking: false, deaths: 0 });
    case 'gateway':
      return startGateway(dataDir, setting, { isPacking: true, deaths: 0 });
    case 'one-dead':
      return startGateway(dataDir, setting, { isPacking: true, deaths: 1 });
    case 'm-dead':
      return startGateway(dataDir, setting, { isPacking: true, deaths: parityShards });
    case 'other':
      throw new Error('another server is not started here');
  }
}

async function startGateway(
  dataDir: string,
  { providerCount, nodeArguments, isReadingProviders }: TargetSetting,
  { isPacking, deaths }: { isPacking: boolean; deaths: number },
): Promise<StartedServer> {
  const ids = Array.from({ length: providerCount }, (_, index) => `p${index + 1}`);
  const providers = ids.map((id) => ({
    id,
    kind: 'directory',
    path: providerPath(dataDir, id),
    // Without packing it is as it was before packs and segments: stripes of one object each, and a file for each shard.
    ...(!isPacking && { segmentShardBytes: 0 }),
  }));
  const limits = { ...(isReadingProviders && { pieceCacheBytes: 0 }), ...(!isPacking && { packObjectBytes: 0 }) };
  const configPath = join(dataDir, 'configuration.json');
  await writeFile(configPath, JSON.stringify({ providers, limits }));
  const gateway = await startGatewayProcess({
    dataDir,
    nodeArguments,
    environment: { HOLDFAST_CONFIG: configPath },
  });
  const { pid, adminUrl } = gateway;
  return {
    access: gatewayAccess(new URL(gateway.url)),
    bucket: localBucket,
    pid,
    readStandardError: () => gateway.readLog(),
    gateway: { adminUrl, dataDir, mortals: ids.slice(0, deaths), deleteProvider: (id) => gateway.deleteProvider(id) },
    stop: () => gateway.stop(),
  };
}

/** Requests in the name of the account that gateways of tests and benchmarks have. */
export function gatewayAccess(url: URL): Access {
  return { url, ...processKey, region: processRegion };
}

async function startAppends(folder: string): Promise<Omit<AppendsTarget, 'name'>> {
  const child = fork(fileURLToPath(new URL('raw-appends.ts', import.meta.url)), [folder]);
  endWithParent(child);
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

/** Benchmarks that fail leave no servers behind. */
function endWithParent(child: ChildProcess): void {
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
}

/** Starts a server that lies beside this file, names its URL in its first line of output and ends at SIGTERM. */
export async function startProgram(
  file: string,
  programArguments: readonly string[],
  nodeArguments: readonly string[] = [],
): Promise<StartedServer & { readonly pid: number }> {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [...nodeArguments, program, ...programArguments], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithParent(child);
  let standardError = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    standardError += text;
    if (nodeArguments.length === 0) process.stderr.write(text);
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  return {
    access: gatewayAccess(new URL(String(line))),
    bucket: localBucket,
    pid: child.pid!,
    readStandardError: () => standardError,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    },
  };
}
