import { resolve } from 'node:path';
import { ConfigError } from '../core/config.ts';
import type { AdminArguments, AdminCommand, AdminOptions } from './admin-commands.ts';
import { parseBytes, renderBytes, renderColumns } from './render-columns.ts';

/** A provider as the admin API shows it, as far as people want to see it. */
interface ShownProvider {
  readonly id: string;
  readonly state: string;
  readonly stateSince: string;
  readonly standing: string;
  readonly fault?: string;
  readonly operator: string;
  readonly country: string;
  readonly zone: string;
  readonly weight: number;
  readonly totalBytes?: number;
  readonly freeBytes?: number;
  readonly heldShards: number;
  readonly heldBytes: number;
  readonly location: {
    readonly kind: string;
    readonly path?: string;
    readonly endpoint?: string;
    readonly bucket?: string;
    readonly prefix?: string;
  };
}

const providersPath = '/admin/v1/providers';

/** What may be said of any provider. */
const labelOptions = {
  operator: 'text',
  country: 'text',
  zone: 'text',
  weight: 'text',
  capacity: 'text',
} as const;

/** Where a provider is: a directory, a node or a bucket. */
const placeOptions = {
  path: 'text',
  'reserve-bytes': 'text',
  node: 'text',
  'key-file': 'text',
  'ca-file': 'text',
  bucket: 'text',
  region: 'text',
  's3-endpoint': 'text',
  prefix: 'text',
  'access-key-id': 'text',
  'secret-file': 'text',
  'path-style': 'flag',
} as const;

const labelUsage = '[--operator NAME] [--country CODE] [--zone NAME] [--weight N] [--capacity 4TB]';

const add: AdminCommand = {
  words: ['provider', 'add'],
  usage: `provider add --id ID (--path DIR | --node URL | --bucket NAME --region NAME) ${labelUsage}`,
  summary:
    'take a provider into the fleet, once it was tried. A node: --key-file FILE or HOLDFAST_PROVIDER_SECRET, [--ca-file FILE]. A bucket: ' +
    '--access-key-id ID, --secret-file FILE or HOLDFAST_PROVIDER_SECRET, [--s3-endpoint URL] [--prefix P/] [--path-style]',
  options: { id: 'text', ...labelOptions, ...placeOptions },
  async prepare(given) {
    const faults: string[] = [];
    const place = await readPlace(given, faults);
    if (given.options.id === undefined)
      faults.push('--id: must be given: a name of lower-case letters, digits and dashes');
    if (place === undefined && faults.length === 0) {
      faults.push('--path, --node or --bucket: one of them must be given: where the provider is');
    }
    const body = { id: given.options.id, ...place, ...readLabels(given.options, faults) };
    refuse(faults);
    return { method: 'POST', target: providersPath, body };
  },
  render(answer) {
    const { provider, warnings } = answer as { provider: ShownProvider; warnings: readonly string[] };
    const lines = warnings.map((warning) => `warning: ${warning}\n`).join('');
    return `${lines}${provider.id} is ${provider.state}: ${describePlace(provider)}\n`;
  },
};

const list: AdminCommand = {
  words: ['provider', 'list'],
  usage: 'provider list',
  summary: 'show the fleet',
  options: {},
  prepare: async () => ({ method: 'GET', target: providersPath }),
  render(answer) {
    const { providers } = answer as { providers: readonly ShownProvider[] };
    const rows = providers.map((provider) => {
      const { id, state, standing, operator, country, zone, weight, freeBytes, totalBytes, heldShards, heldBytes } =
        provider;
      const space = totalBytes === undefined ? '' : `${renderBytes(freeBytes ?? 0)} of ${renderBytes(totalBytes)}`;
      const where = [operator, country, zone].map((name) => name || '-');
      return [
        id,
        state,
        standing,
        ...where,
        String(weight),
        space,
        String(heldShards),
        renderBytes(heldBytes),
        describePlace(provider),
      ];
    });
    const headings = [
      'ID',
      'STATE',
      'STANDING',
      'OPERATOR',
      'COUNTRY',
      'ZONE',
      'WEIGHT',
      'FREE',
      'SHARDS',
      'HOLDS',
      'PLACE',
    ];
    const faults = providers.filter(({ fault }) => fault).map(({ id, fault }) => `${id} does not open: ${fault}\n`);
    return renderColumns(headings, rows) + faults.join('');
  },
};

const set: AdminCommand = {
  words: ['provider', 'set'],
  usage: `provider set ID ${labelUsage} [and where it is now, as with add]`,
  summary: 'change what is known of a provider; --capacity none takes its bound away',
  positional: 'ID',
  options: { ...labelOptions, ...placeOptions },
  async prepare(given) {
    const faults: string[] = [];
    const location = await readPlace(given, faults);
    const labels = readLabels(given.options, faults);
    const body = { ...labels, ...(location && { location }) };
    if (Object.keys(body).length === 0) faults.push('provider set: say what to change');
    refuse(faults);
    return { method: 'PATCH', target: `${providersPath}/${encodeURIComponent(given.positional)}`, body };
  },
  render(answer) {
    const { provider } = answer as { provider: ShownProvider };
    const { id, operator, country, zone, weight } = provider;
    const where = [operator, country, zone].map((name) => name || '-').join(' ');
    return `${id}: ${where}, weight ${weight}, ${describePlace(provider)}\n`;
  },
};

function stateCommand(verb: string, summary: string): AdminCommand {
  return {
    words: ['provider', verb],
    usage: `provider ${verb} ID`,
    summary,
    positional: 'ID',
    options: {},
    prepare: async ({ positional }) => ({
      method: 'POST',
      target: `${providersPath}/${encodeURIComponent(positional)}/${verb}`,
    }),
    render(answer) {
      const { provider } = answer as { provider: ShownProvider };
      const shards = provider.state === 'draining' ? `: ${provider.heldShards} shards to move` : '';
      const fault = provider.fault ? `, but it does not open: ${provider.fault}` : '';
      return `${provider.id} is ${provider.state}${shards}${fault}\n`;
    },
  };
}

const remove: AdminCommand = {
  words: ['provider', 'remove'],
  usage: 'provider remove ID [--lost]',
  summary:
    'take a provider out that holds nothing; with --lost, one that will never come back: its shards are rebuilt elsewhere',
  positional: 'ID',
  options: { lost: 'flag' },
  prepare: async ({ positional, options }) => ({
    method: 'DELETE',
    target: `${providersPath}/${encodeURIComponent(positional)}${options.lost === true ? '?lost=true' : ''}`,
  }),
  render(answer, id) {
    const { isForgotten } = answer as { isForgotten: boolean };
    return isForgotten
      ? `${id} is out of the fleet\n`
      : `${id} is gone: its shards are rebuilt elsewhere, and then it is forgotten\n`;
  },
};

export const providerCommands: readonly AdminCommand[] = [
  add,
  list,
  set,
  stateCommand('suspend', 'stop calling a provider for a while; its shards are not rebuilt meanwhile'),
  stateCommand('resume', 'give a provider new shards again, after suspend, drain or remove --lost'),
  stateCommand('drain', 'give a provider nothing new, and move its shards elsewhere'),
  remove,
];

function readLabels(options: AdminOptions, faults: string[]): Record<string, unknown> {
  const labels: Record<string, unknown> = {};
  for (const name of ['operator', 'country', 'zone']) if (options[name] !== undefined) labels[name] = options[name];
  if (options.weight !== undefined) {
    labels.weight = Number(options.weight);
    if (!(Number(options.weight) > 0)) faults.push('--weight: must be a number above 0');
  }
  if (options.capacity === 'none') labels.capacityBytes = null;
  else if (options.capacity !== undefined) {
    labels.capacityBytes = parseBytes(String(options.capacity));
    if (labels.capacityBytes === undefined) faults.push('--capacity: must be a length such as 4TB, 500GiB or 1000000');
  }
  return labels;
}

/** Where the options say that a provider is; undefined where they say nothing. */
async function readPlace(given: AdminArguments, faults: string[]): Promise<Record<string, unknown> | undefined> {
  const { options } = given;
  const named = ['path', 'node', 'bucket'].filter((name) => options[name] !== undefined);
  if (named.length > 1) faults.push(`--${named.join(' and --')}: a provider is in one place`);
  if (options.path !== undefined) return readDirectory(options, faults);
  if (options.node !== undefined) return readNode(given, faults);
  if (options.bucket !== undefined) return readBucket(given, faults);
  for (const name of Object.keys(placeOptions)) {
    if (options[name] !== undefined) faults.push(`--${name}: goes with --path, --node or --bucket`);
  }
  return undefined;
}

function readDirectory(options: AdminOptions, faults: string[]): Record<string, unknown> {
  const reserve = options['reserve-bytes'];
  const reserveBytes = reserve === undefined ? undefined : parseBytes(String(reserve));
  if (reserve !== undefined && reserveBytes === undefined)
    faults.push('--reserve-bytes: must be a length such as 10GiB');
  // The gateway may run in another folder.
  const path = resolve(String(options.path));
  return { kind: 'directory', path, ...(reserveBytes !== undefined && { reserveBytes }) };
}

async function readNode(given: AdminArguments, faults: string[]): Promise<Record<string, unknown>> {
  const { options, readFile } = given;
  const key = await readSecret(given, 'key-file', faults);
  const caFile = options['ca-file'];
  const ca = caFile === undefined ? undefined : await readFile(String(caFile));
  return { kind: 'node', endpoint: options.node, key, ...(ca !== undefined && { ca }) };
}

async function readBucket(given: AdminArguments, faults: string[]): Promise<Record<string, unknown>> {
  const { options } = given;
  for (const name of ['region', 'access-key-id']) {
    if (options[name] === undefined) faults.push(`--${name}: must be given for a bucket`);
  }
  return {
    kind: 'bucket',
    bucket: options.bucket,
    region: options.region,
    accessKeyId: options['access-key-id'],
    secretAccessKey: await readSecret(given, 'secret-file', faults),
    ...(options['s3-endpoint'] !== undefined && { endpoint: options['s3-endpoint'] }),
    ...(options.prefix !== undefined && { prefix: options.prefix }),
    ...(options['path-style'] === true && { forcePathStyle: true }),
  };
}

/** Secrets come from files or the environment: everybody on a machine can see what a command was called with. */
async function readSecret(
  { options, environment, readFile }: AdminArguments,
  option: string,
  faults: string[],
): Promise<string | undefined> {
  const path = options[option];
  const secret = path === undefined ? environment.HOLDFAST_PROVIDER_SECRET : await readFile(String(path));
  if (!secret) faults.push(`--${option}: must be given: a file that holds the secret, or HOLDFAST_PROVIDER_SECRET`);
  return secret?.trim().split(/\s/)[0];
}

function describePlace({ location }: ShownProvider): string {
  const { kind, path, endpoint, bucket, prefix = '' } = location;
  if (kind === 'directory') return path ?? '';
  if (kind === 'node') return endpoint ?? '';
  return `s3://${bucket}/${prefix}${endpoint ? ` at ${endpoint}` : ''}`;
}

function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new ConfigError(faults);
}
