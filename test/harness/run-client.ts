import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type GatewayProcess, processKey, processRegion, startGatewayProcess } from './gateway-process.ts';

export interface ClientRun {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What the client must exit with; any other status throws, with all it printed. 0 unless given. */
  readonly status?: number | 'any';
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A gateway process, a folder for files, and clients that see neither the user's configuration nor another test's. */
export interface ClientBench {
  readonly gateway: GatewayProcess;
  /** A temporary folder, which is also the clients' home and working directory. */
  readonly folder: string;
  run(program: string, args: readonly string[], options?: RunOptions): Promise<ClientRun>;
  close(): Promise<void>;
}

/** For the options of a test or suite: skips it, and says why, where a program is not on PATH. */
export function needs(...programs: readonly string[]): { skip?: string } {
  const missing = programs.filter((program) => !isOnPath(program));
  return missing.length === 0 ? {} : { skip: `not installed: ${missing.join(', ')}` };
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @param environment what the gateway gets besides, such as a configuration file */
export async function openClientBench(environment: Readonly<Record<string, string>> = {}): Promise<ClientBench> {
  const gateway = await startGatewayProcess({ environment });
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-client-'));
  // Version 1 of aws-cli presigns with SigV2 unless told otherwise.
  await writeFile(join(folder, 'aws-config'), '[default]\ns3 =\n  signature_version = s3v4\n');
  const clients = clientEnvironment(gateway, folder);
  return {
    gateway,
    folder,
    run: (program, args, options = {}) => runProgram(program, args, { folder, environment: clients, options }),
    async close() {
      await rm(folder, { recursive: true, force: true });
      await gateway.stop();
    },
  };
}

/** All that a client sees; nothing of the environment of whoever runs the tests but PATH. */
function clientEnvironment(gateway: GatewayProcess, folder: string): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    TMPDIR: folder,
    XDG_CACHE_HOME: join(folder, '.cache'),
    LANG: 'C.UTF-8',
    LC_ALL: 'C.UTF-8',
    NO_PROXY: '*',
    AWS_ACCESS_KEY_ID: processKey.accessKeyId,
    AWS_SECRET_ACCESS_KEY: processKey.secretAccessKey,
    AWS_REGION: processRegion,
    AWS_DEFAULT_REGION: processRegion,
    AWS_CONFIG_FILE: join(folder, 'aws-config'),
    AWS_SHARED_CREDENTIALS_FILE: join(folder, 'aws-credentials'),
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
    RCLONE_CONFIG: join(folder, 'rclone.conf'),
    RCLONE_CONFIG_HF_TYPE: 's3',
    RCLONE_CONFIG_HF_PROVIDER: 'Other',
    RCLONE_CONFIG_HF_ENDPOINT: gateway.url,
    RCLONE_CONFIG_HF_REGION: processRegion,
    RCLONE_CONFIG_HF_ACCESS_KEY_ID: processKey.accessKeyId,
    RCLONE_CONFIG_HF_SECRET_ACCESS_KEY: processKey.secretAccessKey,
    RESTIC_REPOSITORY: `s3:${gateway.url}/restic`,
    RESTIC_PASSWORD: 'password-of-the-tests',
  };
}

function runProgram(
  program: string,
  args: readonly string[],
  { folder, environment, options }: { folder: string; environment: Record<string, string>; options: RunOptions },
): Promise<ClientRun> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: folder, env: { ...environment, ...options.environment } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin.on('error', () => {}); // A client that fails early does not read what it is given.
    child.stdin.end(options.input ?? '');
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const run = { status: code ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
      const expected = options.status ?? 0;
      if (expected === 'any' || run.status === expected) resolve(run);
      else {
        const ending = signal ?? `status ${code}`;
        reject(
          new Error(`${program} ${args.join(' ')}\nended with ${ending}, not ${expected}\n${run.stdout}${run.stderr}`),
        );
      }
    });
  });
}
