import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../core/clock.ts';
import { type ClosingStack, closingAfter } from '../core/closing-stack.ts';
import { ConfigError, listProfiles, parseConfig } from '../core/config.ts';
import { createLog } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import type { ProviderRecord } from '../core/model.ts';
import type { ProviderSettings } from '../core/provider-settings.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { BlockReader } from '../engine/block-reader.ts';
import { createRecord, describePlace } from '../engine/fleet/provider-record.ts';
import { keepFleet } from '../engine/recovery/keep-fleet.ts';
import { recoverStore } from '../engine/recovery/recover-store.ts';
import type { RecoveryReport } from '../engine/recovery/recovery-report.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import { openSqliteStore } from '../metadata/sqlite/sqlite-store.ts';
import { readMarkerId } from '../placement/providers/directory-marker.ts';
import { makeFolder } from '../placement/providers/durable-files.ts';
import { loadConfig } from './load-config.ts';
import { findMasterKey, masterKeyPath } from './load-master-key.ts';
import { openCodec } from './open-codec.ts';
import { closeFleet, directorySettings, openFleetOf } from './open-fleet.ts';
import { createProgress } from './progress.ts';
import { rootKeyPath, rootKeySetting, writeRootKey } from './root-account.ts';
import { writeFileSafely } from './write-file-safely.ts';

interface RecoverArguments {
  readonly masterKey: string;
  /** Directories, as their markers say. */
  readonly providers: readonly string[];
  /** A configuration file that names providers. */
  readonly configPath: string | undefined;
  readonly dataDir: string;
  readonly isFullScan: boolean;
}

/** `holdfast recover`. Returns the exit code: 0 when all was recovered, 1 when something is missing. */
export async function runRecover(args: string[]): Promise<number> {
  const { masterKey: keyArgument, providers: paths, configPath, dataDir, isFullScan } = parseArguments(args);
  const { masterKey, hex } = await findMasterKey(keyArgument);
  const databasePath = join(dataDir, 'metadata.sqlite');
  if (await exists(databasePath)) {
    throw new ConfigError([`${databasePath} is there already: a recovery makes a new one and overwrites nothing`]);
  }
  const providers = await findProviders(paths, configPath);
  await makeFolder(dataDir);
  const unfinishedPath = `${databasePath}.recovering`;
  await removeDatabase(unfinishedPath);
  const { report, rootKey } = await closingAfter((opened) =>
    recoverInto(unfinishedPath, { masterKey, providers, isFullScan }, opened),
  );
  await keepKeys(dataDir, hex, rootKey);
  await rename(unfinishedPath, databasePath);
  await syncFolder(dirname(databasePath));
  process.stdout.write(renderReport(report, { dataDir, providers, hasRootKey: rootKey !== undefined }));
  return report.problems.length > 0 ? 1 : 0;
}

async function recoverInto(
  path: string,
  request: { masterKey: MasterKey; providers: readonly ProviderRecord[]; isFullScan: boolean },
  opened: ClosingStack,
): Promise<{ report: RecoveryReport; rootKey: unknown }> {
  const { masterKey, providers, isFullScan } = request;
  const config = parseConfig({});
  const { limits } = config;
  const log = createLog('warn');
  const metrics = new Metrics();
  const metadata = opened.adopt(await openSqliteStore({ path, clock: systemClock, log }), (store: MetadataStore) =>
    store.close(),
  );
  // A provider that does not open is as good as a missing one, of which there may be m.
  const onFailure = ({ id }: ProviderRecord, error: unknown): void =>
    log.warn({ provider: id, err: error }, 'provider does not open, and is left out');
  const fleet = opened.adopt(await openFleetOf(providers, { limits, metrics, log }, onFailure), closeFleet);
  const blocks = new BlockReader({ fleet, metrics, log, cacheBytes: 64 * 2 ** 20, onDamage: () => {} });
  const codec = await openCodec({ profiles: listProfiles(config), config, log, metrics });
  const { hedgeMs } = limits;
  const progress = createProgress();
  const parts = { fleet, blocks, codec, metrics, hedgeMs, masterKey, metadata, log };
  const report = await recoverStore(parts, { isFullScan, onProgress: progress.show }, new AbortController().signal);
  progress.end();
  await keepFleet(metadata, providers);
  const rootKey = await metadata.findSetting(rootKeySetting);
  return { report, rootKey: rootKey === undefined ? undefined : JSON.parse(rootKey) };
}

function parseArguments(args: string[]): RecoverArguments {
  const { values } = parseArgs({
    args,
    options: {
      'master-key': { type: 'string' },
      provider: { type: 'string', multiple: true },
      config: { type: 'string' },
      'data-dir': { type: 'string' },
      'full-scan': { type: 'boolean' },
    },
  });
  const { 'master-key': masterKey, provider: providers = [], config: configPath, 'data-dir': dataDir } = values;
  const faults: string[] = [];
  if (masterKey === undefined) faults.push('--master-key: must be given: 64 hex digits, or a file that holds them');
  if (providers.length === 0 && configPath === undefined) {
    faults.push(
      '--provider: must be given, once for each directory that is left, or --config: a file that names providers',
    );
  }
  if (dataDir === undefined) faults.push('--data-dir: must be given: where the recovered metadata store goes');
  if (masterKey === undefined || dataDir === undefined || faults.length > 0) throw new ConfigError(faults);
  return { masterKey, providers, configPath, dataDir, isFullScan: values['full-scan'] ?? false };
}

/** Which providers these directories are, as their markers say, and those that the configuration names. @throws ConfigError */
async function findProviders(paths: readonly string[], configPath: string | undefined): Promise<ProviderRecord[]> {
  const configured = configPath === undefined ? [] : ((await loadConfig({}, configPath)).providers ?? []);
  const found = new Map<string, ProviderSettings>(configured.map((settings) => [settings.id, settings]));
  const faults: string[] = [];
  if (configPath !== undefined && configured.length === 0) faults.push(`--config ${configPath}: names no providers`);
  const byPath = new Map<string, string>();
  for (const path of paths) {
    try {
      const id = await readMarkerId(path);
      const twin = byPath.get(id);
      if (twin !== undefined) faults.push(`--provider ${path}: is provider ${id}, and so is ${twin}`);
      byPath.set(id, path);
      found.set(id, directorySettings(id, resolve(path)));
    } catch (error) {
      faults.push(`--provider ${path}: is no provider's directory: ${(error as Error).message}`);
    }
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return Array.from(found.values(), (settings) => createRecord(settings, 'active', Date.now()));
}

async function keepKeys(dataDir: string, masterKeyHex: string, rootKey: unknown): Promise<void> {
  if (!(await exists(masterKeyPath(dataDir)))) {
    await writeFileSafely(masterKeyPath(dataDir), `${masterKeyHex}\n`, 0o600);
  }
  if (rootKey !== undefined && !(await exists(rootKeyPath(dataDir)))) await writeRootKey(rootKeyPath(dataDir), rootKey);
}

function renderReport(
  report: RecoveryReport,
  made: { dataDir: string; providers: readonly ProviderRecord[]; hasRootKey: boolean },
): string {
  const { imported, manifests, problems } = report;
  const journaledAt = report.journaledAtMs === undefined ? 'never' : new Date(report.journaledAtMs).toISOString();
  const lines = [
    `snapshot chunks: ${report.snapshotChunks}`,
    `journal batches: ${report.batches} (the last one of ${journaledAt})`,
    `from these: ${imported.buckets} buckets, ${imported.versions} versions, ${imported.uploads} uploads, ${imported.parts} parts, ${imported.stripes} stripes`,
    `from manifests: ${manifests.versions} versions, ${manifests.parts} parts (${manifests.refused} entries did not apply)`,
    ...(manifests.shardsMoved > 0 ? [`${manifests.shardsMoved} shards lay elsewhere than the journal says`] : []),
    `shards listed: ${report.shardsListed}`,
    `root key: ${made.hasRootKey ? 'restored' : 'not kept here, since it was configured'}`,
    '',
    ...problems.map((problem) => `MISSING: ${problem}`),
    problems.length > 0 ? `not all could be recovered: ${problems.length} things are missing` : 'all was recovered',
    '',
    `The metadata store is in ${resolve(made.dataDir)}, and these providers with it:`,
    ...made.providers.map(({ id, location }) => `  ${id}: ${describePlace(location)}`),
    `Start the gateway with HOLDFAST_DATA_DIR=${made.dataDir}. It goes on with them where they are; holdfast admin provider list shows`,
    'them, and those that were in the fleet and are not among them: suspend or remove these.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What a recovery that was interrupted has left. */
async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
