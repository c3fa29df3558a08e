import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../core/clock.ts';
import { type ClosingStack, closingOnFailure } from '../core/closing-stack.ts';
import { ConfigError, type ListenAddress, parseListenAddress } from '../core/config.ts';
import { createLog, type LogLevel, logLevels } from '../core/log.ts';
import type { ProviderId } from '../core/model.ts';
import { NodeMetrics } from '../core/node-metrics.ts';
import { defaultReserveBytes } from '../core/provider-settings.ts';
import { createNodeServer, createObserver } from '../node/node-server.ts';
import { readMarkerId } from '../placement/providers/directory-marker.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import { hasErrorCode } from '../placement/providers/durable-files.ts';
import { AppenderThreads } from '../placement/providers/segments/appender-threads.ts';
import { listen } from './listen.ts';
import { type LoadedNodeKeys, loadNodeKeys } from './load-node-key.ts';
import { stopOnSignal } from './stop-on-signal.ts';

/** How long a stop waits for requests under way. */
const drainMs = 10_000;

interface NodeArguments {
  readonly dataDir: string;
  readonly listen: ListenAddress;
  readonly metricsListen: ListenAddress | undefined;
  readonly id: string | undefined;
  readonly reserveBytes: number;
  readonly tls: { readonly certPath: string; readonly keyPath: string } | undefined;
}

/** `holdfast node`: serves one directory over HTTP, and stops in order on SIGTERM or SIGINT. */
export function runNode(args: string[], environment: NodeJS.ProcessEnv): Promise<void> {
  return closingOnFailure((opened) => openNode(args, environment, opened));
}

async function openNode(args: string[], environment: NodeJS.ProcessEnv, opened: ClosingStack): Promise<void> {
  const setting = parseNodeArguments(args);
  const log = createLog(parseLogLevel(environment.HOLDFAST_LOG_LEVEL));
  const id = (setting.id ?? (await knownId(setting.dataDir)) ?? `node-${randomBytes(4).toString('hex')}`) as ProviderId;
  const appenders = opened.adopt(new AppenderThreads(), (threads) => threads.close());
  const provider = opened.adopt(
    await openDirectoryProvider({ id, path: setting.dataDir, reserveBytes: setting.reserveBytes, appenders }),
    (directory) => directory.close(),
  );
  // After the directory was claimed, which must be empty the first time.
  const loaded = await loadNodeKeys({ configured: environment.HOLDFAST_NODE_KEY, dataDir: setting.dataDir });
  const metrics = new NodeMetrics({ processMetrics: true });
  const node = createNodeServer({
    provider,
    keys: loaded.keys,
    metrics,
    log,
    clock: systemClock,
    tls: await loadTls(setting.tls),
    tellsMetrics: setting.metricsListen === undefined,
  });
  const state = { isStopping: false };
  opened.defer(() => node.stop(0));
  const address = await listen(node.server, setting.listen);
  const endpoint = `${setting.tls ? 'https' : 'http'}://${address}`;
  let metricsEndpoint = endpoint;
  if (setting.metricsListen !== undefined) {
    const parts = { provider, metrics, isStopping: () => state.isStopping, tellsMetrics: true };
    const server = createServer(createObserver(parts));
    metricsEndpoint = `http://${await listen(server, setting.metricsListen)}`;
    opened.defer(() => server.closeAllConnections());
    opened.defer(() => void server.close());
  }
  stopOnSignal(async () => {
    state.isStopping = true;
    await node.stop(drainMs);
    await opened.close();
  });
  process.stdout.write(renderBanner({ id, setting, endpoint, metricsEndpoint, loaded }));
}

function parseNodeArguments(args: string[]): NodeArguments {
  const { values } = parseArgs({
    args,
    options: {
      data: { type: 'string' },
      listen: { type: 'string', default: '127.0.0.1:9100' },
      'metrics-listen': { type: 'string' },
      id: { type: 'string' },
      'reserve-bytes': { type: 'string', default: String(defaultReserveBytes) },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
    },
  });
  const faults: string[] = [];
  const { data, id, 'tls-cert': certPath, 'tls-key': keyPath } = values;
  if (!data) faults.push('--data: the directory that keeps the shards');
  if (id !== undefined && !/^[a-z0-9][a-z0-9-]{0,62}$/.test(id))
    faults.push('--id: must be lower-case letters, digits and dashes');
  if ((certPath === undefined) !== (keyPath === undefined)) faults.push('--tls-cert and --tls-key: need each other');
  const reserveBytes = /^\d{1,15}$/.test(values['reserve-bytes']) ? Number(values['reserve-bytes']) : Number.NaN;
  if (Number.isNaN(reserveBytes)) faults.push('--reserve-bytes: must be a number of bytes');
  const parseAddress = (name: string, text: string): ListenAddress => {
    const address = parseListenAddress(text);
    if (address === undefined) faults.push(`--${name}: must be host:port, such as 127.0.0.1:9100`);
    return address ?? { host: '', port: 0 };
  };
  const listenAddress = parseAddress('listen', values.listen);
  const metricsText = values['metrics-listen'];
  const metricsListen = metricsText === undefined ? undefined : parseAddress('metrics-listen', metricsText);
  if (faults.length > 0) throw new ConfigError(faults);
  return {
    dataDir: data!,
    listen: listenAddress,
    metricsListen,
    id,
    reserveBytes,
    tls: certPath === undefined || keyPath === undefined ? undefined : { certPath, keyPath },
  };
}

function parseLogLevel(text: string | undefined): LogLevel {
  if (!text) return 'info';
  const level = logLevels.find((name) => name === text);
  if (level === undefined) throw new ConfigError([`HOLDFAST_LOG_LEVEL: must be one of ${logLevels.join(', ')}`]);
  return level;
}

/** The id of a directory that was used before. */
async function knownId(path: string): Promise<ProviderId | undefined> {
  return readMarkerId(path).catch((error: unknown) => {
    if (hasErrorCode(error, 'ENOENT')) return undefined;
    throw error;
  });
}

async function loadTls(paths: NodeArguments['tls']): Promise<{ cert: string; key: string } | undefined> {
  if (paths === undefined) return undefined;
  const read = (option: string, path: string): Promise<string> =>
    readFile(path, 'utf8').catch((error: Error) => {
      throw new ConfigError([`${option}: ${error.message}`]);
    });
  return { cert: await read('--tls-cert', paths.certPath), key: await read('--tls-key', paths.keyPath) };
}

/** The secret is in its file, and nowhere else. */
function renderBanner(facts: {
  id: string;
  setting: NodeArguments;
  endpoint: string;
  metricsEndpoint: string;
  loaded: LoadedNodeKeys;
}): string {
  const { id, setting, endpoint, metricsEndpoint, loaded } = facts;
  const ids = loaded.keys.map((key) => key.id).join(', ');
  const origin = {
    configured: `key ${ids}: from the environment`,
    kept: `key ${ids}: kept in ${loaded.path}`,
    generated: `key ${ids}: GENERATED NOW, kept in ${loaded.path} (mode 0600)

  *******************************************************************************************
  *  Gateways need the key in this file to use this node. Whoever has it can read, add and   *
  *  delete shards here: give it to your gateways, and to nobody else.                       *
  *******************************************************************************************`,
  }[loaded.source];
  return `
Holdfast node ${id} serves ${resolve(setting.dataDir)} on ${endpoint}  (metrics: ${metricsEndpoint}/metrics)
${origin}
`;
}
