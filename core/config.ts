import { z } from 'zod';
import { logLevels } from './log.ts';
import { etagKinds, type Profile } from './model.ts';
import { type ProviderSettings, providerSchema } from './provider-settings.ts';

/** Every fault of a configuration at once, one line each. The process that meets it exits 2. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`bad configuration:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

const mebibyte = 1024 * 1024;

/** Where to listen, from `host:port`, `[host]:port` or `:port`; undefined for what is none of them. */
export function parseListenAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return undefined;
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

const address = z.string().transform((text, context) => {
  const parsed = parseListenAddress(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({
    code: 'custom',
    message: `must be host:port, such as 127.0.0.1:9000, not ${JSON.stringify(text)}`,
  });
  return z.NEVER;
});

const accessKey = z.strictObject({
  accessKeyId: z.string().regex(/^[\w.-]{3,128}$/, 'must be 3 to 128 letters, digits, dots, dashes or underscores'),
  secretAccessKey: z.string().min(8, 'must have at least 8 characters'),
});

const account = z.strictObject({
  accountId: z.string().regex(/^\d{12}$/, 'must be 12 digits'),
  canonicalId: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits'),
  displayName: z.string().min(1),
  email: z.email(),
  accessKeys: z.array(accessKey).min(1),
});

/** 32 bytes in hex. */
export const masterKeyPattern = /^[0-9a-fA-F]{64}$/;

const profile = z.strictObject({ k: z.int().min(1).max(32), m: z.int().min(0).max(16) });
/** What a shard's header has room for (docs/shard-format.md). */
const maxProfileNameLength = 16;
/** Clients refuse to read objects of these classes before they were restored, which is nothing that Holdfast does. */
const archiveClasses: readonly string[] = ['GLACIER', 'DEEP_ARCHIVE'];

const limits = z
  .strictObject({
    /** Memory for rows of uploads on their way to providers; past it, uploads wait. */
    writeBudgetBytes: z
      .int()
      .min(4 * mebibyte)
      .default(48 * mebibyte),
    /** Memory for rows of downloads on their way to clients; past it, downloads wait. */
    readBudgetBytes: z
      .int()
      .min(4 * mebibyte)
      .default(48 * mebibyte),
    /** Memory for small objects that were read lately; 0: none. */
    pieceCacheBytes: z
      .int()
      .min(0)
      .default(16 * mebibyte),
    /** How long a request waits for memory before 503 SlowDown. */
    budgetWaitMs: z.int().min(0).default(30_000),
    /** Objects up to this length share stripes with others that arrive together; 0: each has stripes of its own. */
    packObjectBytes: z
      .int()
      .min(0)
      .max(128 * 1024)
      .default(128 * 1024),
    /** From one journal of metadata changes to the next: how much a lost gateway disk can cost of deletes and settings. */
    journalIntervalMs: z.int().min(10).max(60_000).default(10_000),
    /** After how many batches of the journal there is a new snapshot of all metadata, however little changed: recovery reads them all. */
    snapshotBatches: z.int().min(1).default(1_000),
    /** How old a stripe must be before compaction looks at it. */
    compactAgeMs: z.int().min(0).default(60_000),
    /** How much compaction reads a second at most. */
    compactBytesPerS: z
      .int()
      .min(1)
      .default(16 * mebibyte),
    /**
     * How much repair reads from providers and writes to them a second at most, and how many calls it makes; less while clients suffer
     * from it. A stripe that can bear no further loss is not held up.
     */
    repairBytesPerS: z
      .int()
      .min(1)
      .default(128 * mebibyte),
    repairOpsPerS: z.int().min(1).default(1_000),
    /** How much drain and rebalance read and write a second at most. */
    moveBytesPerS: z
      .int()
      .min(1)
      .default(64 * mebibyte),
    /** How far a provider may be from what it should hold before shards are moved, 0.1 for 10 %; 0: drain alone moves shards. */
    rebalanceSkew: z.number().min(0).max(10).default(0.1),
    /** And how many bytes it must be from that, since where little is stored it is chance what falls where. */
    rebalanceBytes: z
      .int()
      .min(0)
      .default(64 * mebibyte),
    /** Within how long scrub reads every shard, and how much it reads a second at most, also when it is late. */
    scrubPeriodMs: z
      .int()
      .min(60_000)
      .default(14 * 24 * 3_600_000),
    scrubBytesPerS: z
      .int()
      .min(1)
      .default(64 * mebibyte),
    /** How long a call to a provider may take before another is asked in its place. */
    providerTimeoutMs: z.int().min(10).default(15_000),
    /** The same for a call that sends a shard's bytes to a bucket, which may lie behind a slow link; `providerTimeoutMs` at least. */
    bucketWriteTimeoutMs: z.int().min(10).default(60_000),
    /** How long a read waits at the most for a block before it is rebuilt from others as well; it waits less once it is known how fast the provider is. */
    hedgeMs: z.int().min(1).default(300),
    /** How long a provider may be away before its shards are rebuilt elsewhere. */
    lostAfterMs: z
      .int()
      .min(0)
      .default(15 * 60_000),
    /** From one try to open a provider that does not open to the next. */
    providerRetryMs: z.int().min(10).default(5_000),
    /** Memory for long shards on their way to buckets; past it, uploads wait. Each upload takes 5 MiB for each such shard, or twice that. */
    bucketBudgetBytes: z
      .int()
      .min(32 * mebibyte)
      .default(96 * mebibyte),
    /** How long a provider is asked last after it failed, and is left alone after it failed often; longer each time, up to six times this. 0: never. */
    suspectMs: z.int().min(0).default(10_000),
    /** How long a client may send nothing in the middle of a body. */
    bodyIdleMs: z.int().min(100).default(30_000),
    /** How long a stop waits for requests under way. */
    drainMs: z.int().min(0).default(30_000),
    /** Shards that no metadata know are deleted when they are older than this; longer than any upload takes. */
    orphanAgeMs: z
      .int()
      .min(60_000)
      .default(24 * 3_600_000),
    /** How long a stripe stays readable after its last reference went; then its shards are deleted. */
    freedGraceMs: z.int().min(0).default(30_000),
    /** From one pass of upkeep over freed and degraded stripes to the next. */
    upkeepIntervalMs: z.int().min(10).default(5_000),
  })
  .prefault({});

/** Directories under the data directory, where no providers are configured. */
export const defaultProviderCount = 6;

const schema = z.strictObject({
  dataDir: z.string().min(1).default('./data'),
  listen: address.prefault('127.0.0.1:9000'),
  adminListen: address.prefault('127.0.0.1:9001'),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,32}$/, 'must be lower-case letters, digits and dashes')
    .default('us-east-1'),
  /** Virtual-host style: requests to `bucket.domain` are about that bucket. */
  domain: z
    .string()
    .regex(/^[a-z0-9.-]+$/, 'must be a host name in lower case')
    .optional(),
  logLevel: z.enum(logLevels).default('info'),
  /** Seals and opens everything that providers keep. Generated into a file unless it or a file is given. */
  masterKey: z.string().regex(masterKeyPattern, 'must be 64 hex digits').optional(),
  masterKeyFile: z.string().min(1).optional(),
  root: z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() }).optional(),
  accounts: z.array(account).default([]),
  /** Those that the metadata store does not know yet are added at the start. Six directories under the data directory unless given. */
  providers: z.array(providerSchema).min(1).optional(),
  /** Storage classes by name. STANDARD is always there, and codes the metadata as well. */
  profiles: z
    .object({ STANDARD: profile.default({ k: 4, m: 2 }) })
    .catchall(profile)
    .prefault({}),
  codec: z
    .strictObject({
      /** Whether V8 shall make 256-bit operations of the erasure codec's kernels. It calls that experimental. */
      revectorize: z.boolean().default(false),
    })
    .prefault({}),
  /** Threads that code rows of large objects and open what is read of them. One fewer than there are cores, and eight at most, unless given; 0: none. */
  rowThreads: z.int().min(0).max(64).optional(),
  /** What the ETag of new objects and parts is, where their bucket does not say. */
  etags: z.enum(etagKinds).default('md5'),
  limits,
});

/** What no single setting shows. Settings that are faulty themselves are taken at their defaults, so that all faults come at once. */
function findCrossFaults(input: Record<string, unknown>): string[] {
  const { shape } = schema;
  const providers = shape.providers.safeParse(input.providers).data;
  const accounts = shape.accounts.safeParse(input.accounts).data ?? [];
  const faults: string[] = [];
  if (input.masterKey !== undefined && input.masterKeyFile !== undefined) {
    faults.push('masterKey: must not be given together with masterKeyFile');
  }
  return [
    ...faults,
    ...findProfileNameFaults(input.profiles),
    ...findRepeats(providers?.map(({ id }) => id) ?? [], 'providers: id'),
    ...findRepeats(providers?.map(describePlace) ?? [], 'providers:'),
    ...findRepeats(
      accounts.map(({ canonicalId }) => canonicalId),
      'accounts: canonicalId',
    ),
    ...findRepeats(
      accounts.flatMap(({ accessKeys }) => accessKeys.map((key) => key.accessKeyId)),
      'accounts: access key',
    ),
  ];
}

function findProfileNameFaults(profiles: unknown): string[] {
  if (typeof profiles !== 'object' || profiles === null) return [];
  return Object.keys(profiles).flatMap((name) => {
    const fault = findProfileNameFault(name);
    return fault === undefined ? [] : [`profiles: the name ${JSON.stringify(name)} ${fault}`];
  });
}

function findProfileNameFault(name: string): string | undefined {
  if (!/^[A-Z][A-Z0-9_]*$/.test(name)) {
    return 'must be capital letters, digits and underscores, as storage classes are written, and begin with a letter';
  }
  if (name.length > maxProfileNameLength) {
    return `has ${name.length} characters: shards have room for ${maxProfileNameLength}`;
  }
  if (name === 'SYSTEM') return 'is that of the metadata, which are coded as STANDARD says';
  if (archiveClasses.includes(name)) return 'is that of an archive: clients would not read it before a restore';
  return undefined;
}

/** Where a provider keeps its shards: two in one place would be lost together. */
function describePlace(provider: ProviderSettings): string {
  if (provider.kind === 'directory') return `the directory ${provider.path}`;
  if (provider.kind === 'node') return `the node ${provider.endpoint}`;
  return `the bucket ${[provider.endpoint ?? 'aws', provider.bucket, provider.prefix].join('/')}`;
}

function findRepeats(names: readonly string[], what: string): string[] {
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  return [...new Set(repeated)].map((name) => `${what} ${name} is used twice`);
}

export type Config = z.output<typeof schema>;
export type ListenAddress = Config['listen'];

/** The profiles in a list, STANDARD first. */
export function listProfiles({ profiles: { STANDARD, ...others } }: Pick<Config, 'profiles'>): Profile[] {
  return Object.entries({ STANDARD, ...others }).map(([name, { k, m }]) => ({ name, k, m }));
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Which variable sets which top-level setting. The environment wins over the file. */
const variables = {
  HOLDFAST_DATA_DIR: 'dataDir',
  HOLDFAST_LISTEN: 'listen',
  HOLDFAST_ADMIN_LISTEN: 'adminListen',
  HOLDFAST_REGION: 'region',
  HOLDFAST_DOMAIN: 'domain',
  HOLDFAST_MASTER_KEY: 'masterKey',
  HOLDFAST_MASTER_KEY_FILE: 'masterKeyFile',
  HOLDFAST_LOG_LEVEL: 'logLevel',
} as const;

/**
 * Checks a configuration file's text (JSON) together with the environment.
 * @throws ConfigError naming every fault
 */
export function parseConfig(environment: Environment, fileText?: string): Config {
  const input: Record<string, unknown> = fileText === undefined ? {} : parseJson(fileText);
  for (const [variable, setting] of Object.entries(variables)) {
    const value = environment[variable];
    if (value !== undefined && value !== '') input[setting] = value;
  }
  const faults: string[] = [];
  const root = parseRoot(environment, faults);
  if (root) input.root = root;
  const parsed = schema.safeParse(input);
  faults.push(...findCrossFaults(input));
  if (!parsed.success)
    faults.push(...parsed.error.issues.map((issue) => `${issue.path.join('.') || 'configuration'}: ${issue.message}`));
  if (faults.length > 0 || !parsed.success) throw new ConfigError(faults);
  return parsed.data;
}

function parseRoot(
  environment: Environment,
  faults: string[],
): { accessKeyId: string; secretAccessKey: string } | undefined {
  const pairs = [
    ['HOLDFAST_ROOT_USER', 'HOLDFAST_ROOT_PASSWORD'],
    ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
  ] as const;
  for (const [user, password] of pairs) {
    const accessKeyId = environment[user];
    const secretAccessKey = environment[password];
    if (!accessKeyId && !secretAccessKey) continue;
    if (!accessKeyId || !secretAccessKey) {
      faults.push(`${accessKeyId ? password : user}: must be set together with ${accessKeyId ? user : password}`);
      continue;
    }
    return { accessKeyId, secretAccessKey };
  }
  return undefined;
}

function parseJson(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  } catch (error) {
    throw new ConfigError([`configuration file: not JSON: ${(error as Error).message}`]);
  }
  throw new ConfigError(['configuration file: must be a JSON object']);
}
