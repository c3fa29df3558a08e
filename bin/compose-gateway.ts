import type { Server } from 'node:http';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { type ClosingStack, closingOnFailure } from '../core/closing-stack.ts';
import { type Config, ConfigError, type ListenAddress, listProfiles } from '../core/config.ts';
import { drainServer } from '../core/drain-server.ts';
import { isFailure } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import type { Profile, ProviderId } from '../core/model.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { createMd5Lanes } from '../crypto/md5/create-md5-lanes.ts';
import { createEngine } from '../engine/create-engine.ts';
import type { FleetKeeper } from '../engine/fleet/fleet-keeper.ts';
import { RowThreads } from '../engine/row-work/row-threads.ts';
import type { Upkeep } from '../engine/upkeep/upkeep.ts';
import { Accounts, type AccountWithKeys } from '../gateway/accounts.ts';
import { AdminHandler } from '../gateway/admin/admin-handler.ts';
import { adminRoutes } from '../gateway/admin/admin-routes.ts';
import { createAdminServer } from '../gateway/admin-server.ts';
import { createHttpServer } from '../gateway/http-server.ts';
import { operations } from '../gateway/operations/operation-table.ts';
import { Router } from '../gateway/router.ts';
import { S3Handler } from '../gateway/s3-handler.ts';
import { type MetadataStore, systemProfileName } from '../metadata/metadata-store.ts';
import { openSqliteStore } from '../metadata/sqlite/sqlite-store.ts';
import type { Fleet } from '../placement/fleet.ts';
import { ProviderProber } from '../placement/provider-prober.ts';
import { makeFolder } from '../placement/providers/durable-files.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { AppenderThreads } from '../placement/providers/segments/appender-threads.ts';
import { reportHealth } from '../placement/report-health.ts';
import { reportSpace } from '../placement/report-space.ts';
import { listen } from './listen.ts';
import { openCodec } from './open-codec.ts';
import { configuredProviders, createFleet } from './open-fleet.ts';
import { rootKeySetting } from './root-account.ts';

const maxRowThreads = 8;

export interface GatewayParts {
  readonly config: Config;
  readonly log: Log;
  readonly root: AccountWithKeys;
  /** Whether the root key is one that was generated, which a recovery must bring back. */
  readonly isRootKeyKept?: boolean;
  readonly masterKey: MasterKey;
  /** Tests put faults between the gateway and its providers here. */
  readonly wrapProvider?: (provider: Provider) => Provider;
}

/** A gateway that serves. */
export interface Gateway {
  /** Such as `http://127.0.0.1:9000`. */
  readonly endpoint: string;
  readonly adminEndpoint: string;
  readonly metrics: Metrics;
  readonly upkeep: Upkeep;
  /** Takes no new connections, waits up to `drainMs` for requests under way, then closes everything. */
  stop(drainMs: number): Promise<void>;
}

/** Puts all parts of a gateway together and starts it. What was opened is closed again when a later step fails. */
export function composeGateway(parts: GatewayParts): Promise<Gateway> {
  return closingOnFailure((opened) => openGateway(parts, opened));
}

async function openGateway(parts: GatewayParts, opened: ClosingStack): Promise<Gateway> {
  const { config, log, root, masterKey } = parts;
  await makeFolder(config.dataDir);
  const clock = systemClock;
  const metrics = new Metrics({ processMetrics: true });
  const profiles = listProfiles(config);
  const codec = await openCodec({ profiles, config, log, metrics });
  const md5 = createMd5Lanes({ log, onHashed: metrics.noteMd5 });
  const metadata = opened.adopt(
    await openSqliteStore({ path: join(config.dataDir, 'metadata.sqlite'), clock, log }),
    closeStore,
  );
  await claimStore(metadata, masterKey);
  if (parts.isRootKeyKept) await keepRootKey(metadata, root);
  const { limits } = config;
  const appenders = opened.adopt(new AppenderThreads(), (threads) => threads.close());
  const setting = { limits, metrics, log, appenders, wrapProvider: parts.wrapProvider };
  const settleRemoval = (id: ProviderId): Promise<string | undefined> => upkeep.settleRemoval(id);
  const { fleet, keeper } = createFleet(setting, { metadata, masterKey, settleRemoval });
  opened.defer(() => keeper.close());
  await openConfigured(keeper, metadata, config, profiles);
  warnOfWideProfiles(profiles, fleet, log);
  log.debug({ providers: fleet.members.length }, 'providers opened');
  keeper.start();
  const listProviders = (): Provider[] => fleet.members.map(({ provider }) => provider);
  metrics.observeFleet = () => {
    const ids = listProviders().map(({ id }) => id);
    reportHealth(metrics, fleet.health, ids);
    reportSpace(metrics, fleet);
  };
  const prober = new ProviderProber({ listProviders, health: fleet.health });
  prober.start();
  opened.defer(() => prober.stop());
  const rowThreads = createRowThreads(config, masterKey);
  opened.defer(() => rowThreads?.close());
  const { engine, upkeep, journal } = createEngine({
    rowThreads,
    metadata,
    fleet,
    codec,
    profiles,
    clock,
    log,
    metrics,
    masterKey,
    limits,
    md5,
    etags: config.etags,
    isJournaling: true,
  });
  opened.defer(() => journal?.stop());
  journal?.start();
  upkeep.start();
  opened.defer(() => upkeep.stop());
  const accounts = new Accounts([root, ...config.accounts]);
  const handler = new S3Handler({
    engine,
    accounts,
    router: new Router(operations),
    clock,
    region: config.region,
    domain: config.domain,
    storageClasses: profiles.map(({ name }) => name),
    bodyIdleMs: config.limits.bodyIdleMs,
  });
  const s3 = opened.adopt(
    await startListening(createHttpServer({ handler, metrics, log }), config.listen),
    stopListening,
  );
  const state = { isStopping: false };
  const admin = opened.adopt(
    await startListening(
      createAdminServer({
        metrics,
        isReady: () => !state.isStopping && hasWriteQuorum(fleet, config.profiles.STANDARD),
        handler: new AdminHandler({
          keeper,
          upkeep,
          buckets: engine.buckets,
          routes: adminRoutes,
          accounts,
          rootId: root.canonicalId,
          region: config.region,
          clock,
          log,
        }),
      }),
      config.adminListen,
    ),
    stopListening,
  );
  return {
    endpoint: s3.endpoint,
    adminEndpoint: admin.endpoint,
    metrics,
    upkeep,
    async stop(drainMs) {
      state.isStopping = true;
      await drainServer(s3.server, drainMs);
      await opened.close();
    },
  };
}

/** Unless it is set, one core is left to the event loop; and no more threads than one process can feed. */
function createRowThreads({ rowThreads }: Config, { sealerKeys }: MasterKey): RowThreads | undefined {
  const count = rowThreads ?? Math.min(availableParallelism() - 1, maxRowThreads);
  return count > 0 ? new RowThreads({ count, sealerKeys }) : undefined;
}

/** The store of one master key is worth nothing with another one. @throws ConfigError */
async function claimStore(metadata: MetadataStore, masterKey: MasterKey): Promise<void> {
  const known = await metadata.findSetting('master-key-id');
  if (known === undefined) await metadata.putSetting('master-key-id', masterKey.id);
  else if (known !== masterKey.id) {
    throw new ConfigError([
      `masterKey: the data were sealed with another master key (${known}), not this (${masterKey.id})`,
    ]);
  }
}

/**
 * A generated root key is a setting as well, so that a recovery brings it back, sealed like all metadata. One that was
 * configured is the operator's to keep.
 */
async function keepRootKey(metadata: MetadataStore, root: AccountWithKeys): Promise<void> {
  const text = JSON.stringify(root.accessKeys[0]);
  if ((await metadata.findSetting(rootKeySetting)) !== text) await metadata.putSetting(rootKeySetting, text);
}

/**
 * A new store is not begun with fewer providers than a stripe of any profile has shards; one that has lost some goes on with what
 * is left.
 */
async function openConfigured(
  keeper: FleetKeeper,
  metadata: MetadataStore,
  config: Config,
  profiles: readonly Profile[],
): Promise<void> {
  const seeds = configuredProviders(config);
  const used = await metadata.listUsedProfiles();
  const isNew = used.length === 0 && (await metadata.listProviders()).length === 0;
  const faults = [
    ...profiles
      .filter(({ k, m }) => isNew && seeds.length < k + m)
      .map(({ name, k, m }) => `profiles: ${name} needs ${k}+${m} providers, but there are ${seeds.length}`),
    ...findMissingProfiles(profiles, used),
  ];
  if (faults.length > 0) throw new ConfigError(faults);
  try {
    await keeper.open(seeds, { isDefault: config.providers === undefined });
  } catch (error) {
    if (!isFailure(error, 'provider-refused')) throw error;
    throw new Error(`provider ${error.detail.providerId} cannot be used: ${error.detail.reason}`, { cause: error });
  }
}

/** The fleet may have shrunk, or a profile been added, since the store was begun. */
function warnOfWideProfiles(profiles: readonly Profile[], fleet: Fleet, log: Log): void {
  const providers = fleet.records.filter(({ state }) => state !== 'gone').length;
  for (const { name, k, m } of profiles) {
    if (k + m > providers) log.warn({ profile: name, k, m, providers }, 'fewer providers than a stripe has shards');
  }
}

/** What is stored needs its profile: compaction writes it anew by that. Its k and m may have become others. */
function findMissingProfiles(profiles: readonly Profile[], used: readonly string[]): string[] {
  const known = [systemProfileName, ...profiles.map(({ name }) => name)];
  const missing = used.filter((name) => !known.includes(name));
  return missing.map((name) => `profiles: ${name} is missing, and there are objects stored by it`);
}

/** Whether so many providers are well that a write can be acknowledged: of STANDARD, since all metadata need that too. */
function hasWriteQuorum(fleet: Fleet, { k, m }: Pick<Profile, 'k' | 'm'>): boolean {
  const well = fleet.records.filter(({ id, state }) => state === 'active' && fleet.standingOf(id) === 'up').length;
  return well >= k + Math.ceil(m / 2);
}

interface Listener {
  readonly server: Server;
  readonly endpoint: string;
}

async function startListening(server: Server, address: ListenAddress): Promise<Listener> {
  return { server, endpoint: `http://${await listen(server, address)}` };
}

async function stopListening({ server }: Listener): Promise<void> {
  if (server.listening) await drainServer(server, 0);
}

async function closeStore(store: MetadataStore): Promise<void> {
  await store.close();
}
