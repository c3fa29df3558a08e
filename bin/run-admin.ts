import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Config, ConfigError, parseListenAddress } from '../core/config.ts';
import { type AdminEndpoint, AdminFailure, askAdmin } from './admin-client.ts';
import { type AdminCommand, type AdminOptions, adminCommands } from './admin-commands.ts';
import { loadConfig } from './load-config.ts';
import { rootKeyPath } from './root-account.ts';

export const adminUsage = `usage: holdfast admin COMMAND [--json] [--endpoint URL] [--config FILE]

${adminCommands.map(({ usage, summary }) => `  ${usage}\n      ${summary}`).join('\n')}

The gateway is asked at --endpoint, HOLDFAST_ADMIN_ENDPOINT, or where the configuration has its admin listener. Requests are
signed with the root key: HOLDFAST_ROOT_USER and HOLDFAST_ROOT_PASSWORD, else the one in the data directory.
Exit codes: 0 done, 1 refused or not reached, 2 wrong usage.
`;

/** Where a command writes what it has to say. */
export interface AdminOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

/** `holdfast admin`. Returns the exit code. @throws ConfigError, and what `parseArgs` throws, for wrong usage */
export async function runAdmin(
  args: string[],
  environment: NodeJS.ProcessEnv,
  { stdout, stderr }: AdminOutput = process,
): Promise<number> {
  const command = findCommand(args);
  if (command === undefined) {
    stderr.write(adminUsage);
    return 2;
  }
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: describeOptions([command]),
  });
  const options = values as AdminOptions;
  const positional = readPositional(command, positionals.slice(command.words.length));
  const request = await command.prepare({ options, positional, environment, readFile: readText });
  try {
    const endpoint = await findEndpoint(options, environment);
    const answer = await askAdmin(endpoint, request.method, request.target, request.body);
    const text =
      options.json === true ? `${JSON.stringify(answer, undefined, 2)}\n` : command.render(answer, positional);
    stdout.write(text);
    return 0;
  } catch (error) {
    if (!(error instanceof AdminFailure)) throw error;
    stderr.write(`holdfast: ${[error.message, ...error.faults].join('\n  ')}\n`);
    return 1;
  }
}

/** Finds the words of a command wherever they stand among options; whether the options are right is not asked yet. */
function findCommand(args: string[]): AdminCommand | undefined {
  const options = describeOptions(adminCommands);
  const { positionals } = parseArgs({ args, options, allowPositionals: true, strict: false });
  return adminCommands.find(({ words }) => words.every((word, index) => positionals[index] === word));
}

function describeOptions(commands: readonly AdminCommand[]): Record<string, { type: 'string' | 'boolean' }> {
  const own = commands.flatMap(({ options }) => Object.entries(options));
  return {
    json: { type: 'boolean' },
    endpoint: { type: 'string' },
    config: { type: 'string' },
    ...Object.fromEntries(own.map(([name, type]) => [name, { type: type === 'flag' ? 'boolean' : 'string' }])),
  };
}

function readPositional({ positional, usage }: AdminCommand, positionals: readonly string[]): string {
  const expected = positional === undefined ? 0 : 1;
  if (positionals.length === expected) return positionals[0] ?? '';
  throw new ConfigError([
    positionals.length < expected
      ? `${positional}: must be given: ${usage}`
      : `${positionals[expected]}: is one too many: ${usage}`,
  ]);
}

async function findEndpoint(options: AdminOptions, environment: NodeJS.ProcessEnv): Promise<AdminEndpoint> {
  const config = await loadConfig(environment, textOf(options.config) ?? environment.HOLDFAST_CONFIG);
  const given = textOf(options.endpoint) ?? environment.HOLDFAST_ADMIN_ENDPOINT;
  return {
    url: given ? withScheme(given) : listenerUrl(config.adminListen),
    region: config.region,
    ...(config.root ?? (await readKeptKey(config))),
  };
}

function withScheme(text: string): string {
  return parseListenAddress(text) === undefined ? text : `http://${text}`;
}

function listenerUrl({ host, port }: Config['adminListen']): string {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

async function readKeptKey({ dataDir }: Config): Promise<{ accessKeyId: string; secretAccessKey: string }> {
  const path = rootKeyPath(dataDir);
  try {
    const { accessKeyId, secretAccessKey } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string') return { accessKeyId, secretAccessKey };
  } catch {
    // The one sentence below says what is needed, whatever is wrong with the file.
  }
  throw new ConfigError([
    `the root key: set HOLDFAST_ROOT_USER and HOLDFAST_ROOT_PASSWORD, or HOLDFAST_DATA_DIR where ${path} is not the gateway's`,
  ]);
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new ConfigError([`${path}: ${error.message}`]);
  });
}
