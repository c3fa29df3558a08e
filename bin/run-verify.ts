import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../core/clock.ts';
import { type ClosingStack, closingAfter } from '../core/closing-stack.ts';
import { type Config, ConfigError, listProfiles } from '../core/config.ts';
import { createLog } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import type { ProviderRecord } from '../core/model.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { createEngine } from '../engine/create-engine.ts';
import { followDirectory } from '../engine/fleet/follow-directory.ts';
import { createRecord } from '../engine/fleet/provider-record.ts';
import { type Endangered, isClean, type Owner, type VerifyReport } from '../engine/recovery/verify-report.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import { openSqliteStore } from '../metadata/sqlite/sqlite-store.ts';
import { loadConfig } from './load-config.ts';
import { loadMasterKey } from './load-master-key.ts';
import { openCodec } from './open-codec.ts';
import { closeFleet, configuredProviders, openFleetOf } from './open-fleet.ts';
import { createProgress } from './progress.ts';

/** `holdfast verify`. Returns the exit code: 0 when all is as it should be, 1 when there are findings. */
export async function runVerify(args: string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { deep: { type: 'boolean' }, json: { type: 'boolean' }, config: { type: 'string' } },
  });
  const config = await loadConfig(environment, values.config);
  const path = join(config.dataDir, 'metadata.sqlite');
  await stat(path).catch(() => {
    throw new ConfigError([`${path}: is not there; where the disk was lost, holdfast recover makes a new one`]);
  });
  const { masterKey } = await loadMasterKey(config);
  const report = await closingAfter((opened) =>
    verifyStored({ config, path, masterKey, isDeep: values.deep ?? false }, opened),
  );
  process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : renderReport(report));
  return isClean(report) ? 0 : 1;
}

async function verifyStored(
  request: { config: Config; path: string; masterKey: MasterKey; isDeep: boolean },
  opened: ClosingStack,
): Promise<VerifyReport> {
  const { config, path, masterKey, isDeep } = request;
  const log = createLog(config.logLevel === 'info' ? 'warn' : config.logLevel);
  const metrics = new Metrics();
  const { limits } = config;
  const metadata = opened.adopt(await openSqliteStore({ path, clock: systemClock, log }), (store: MetadataStore) =>
    store.close(),
  );
  const fleet = opened.adopt(
    await openFleetOf(await listRecords(metadata, config), { limits, metrics, log }, ({ id }, error) =>
      log.warn({ provider: id, err: error }, 'provider does not open'),
    ),
    closeFleet,
  );
  const profiles = listProfiles(config);
  const codec = await openCodec({ profiles, config, log, metrics });
  const parts = { metadata, fleet, codec, profiles, clock: systemClock, log, metrics, masterKey, limits };
  const { verify } = createEngine(parts);
  const progress = createProgress();
  const report = await verify({ isDeep, onProgress: progress.show }, new AbortController().signal);
  progress.end();
  return report;
}

/** The fleet as the store knows it; one that was last used before stores knew of fleets lies where the configuration says. */
async function listRecords(metadata: MetadataStore, config: Config): Promise<ProviderRecord[]> {
  const records = await metadata.listProviders();
  const configured = configuredProviders(config).map((settings) => createRecord(settings, 'active', 0));
  if (records.length === 0) return configured;
  return Promise.all(
    records.map((record) => {
      const named = configured.find(({ id }) => id === record.id);
      return named === undefined ? record : followDirectory(record, named);
    }),
  );
}

function renderReport(report: VerifyReport): string {
  const { findings, examples, lost, lostCount, atRisk, atRiskCount } = report;
  const lines = [
    `${report.versions} versions, ${report.parts} parts of uploads, ${report.systemObjects} system objects in ${report.stripes} stripes, ${report.shards} shards`,
    report.isDeep ? 'every block and every package was read' : 'lengths were compared; --deep reads every byte',
    ...Object.entries(findings).map(([kind, count]) => `${kind}: ${count}`),
    ...examples.map((example) => `  ${JSON.stringify(example)}`),
    ...renderEndangered('lost', lost, lostCount),
    ...renderEndangered('at risk', atRisk, atRiskCount),
    `orphans: ${report.orphans} shards, ${report.orphanBytes} bytes (collected when they are old enough)`,
    isClean(report) ? 'all is as it should be' : 'not all is as it should be',
  ];
  return `${lines.join('\n')}\n`;
}

function renderEndangered(what: string, named: readonly Endangered[], count: number): string[] {
  if (count === 0) return [];
  const lines = named.map(({ owner, margin }) => {
    return `  ${renderOwner(owner)}${margin >= 0 ? `: can lose ${margin} more` : ''}`;
  });
  return [`${what}: ${count}`, ...lines, ...(count > named.length ? [`  and ${count - named.length} more`] : [])];
}

function renderOwner(owner: Owner): string {
  if (owner.kind === 'system') return `system object "${owner.name}"`;
  const name = JSON.stringify(`${owner.bucket}/${owner.key}`);
  if (owner.kind === 'part') return `part ${owner.partNumber} of upload ${owner.uploadId} of ${name}`;
  return owner.versionId === 'null' ? name : `${name} version ${owner.versionId}`;
}
