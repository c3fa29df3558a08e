import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../core/clock.ts';
import { type Log, silentLog } from '../../core/log.ts';
import type { ProviderId } from '../../core/model.ts';
import { NodeMetrics } from '../../core/node-metrics.ts';
import { createNodeServer, type NodeLimits, type NodeServer } from '../../node/node-server.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { type NodeKey, parseNodeKey } from '../../placement/providers/node/node-key.ts';
import { type NodeProviderOptions, openNodeProvider } from '../../placement/providers/node/node-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';

export const testKey: NodeKey = parseNodeKey('0123456789abcdef'.repeat(4));

/** A node in this process, over a directory or any other provider. */
export interface TestNode {
  readonly url: string;
  /** What the node keeps its shards in. */
  readonly directory: Provider;
  readonly metrics: NodeMetrics;
  readonly nodeServer: NodeServer;
  /** A provider on the gateway's side; closed with the node. */
  connect(options?: Partial<NodeProviderOptions>): Provider;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestNodeOptions {
  readonly provider?: Provider;
  readonly keys?: readonly NodeKey[];
  readonly clock?: Clock;
  readonly limits?: Partial<NodeLimits>;
  readonly log?: Log;
  readonly tls?: { cert: string; key: string };
  readonly port?: number;
}

export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  await using opened = new AsyncDisposableStack();
  const directory = options.provider ?? (await openTemporaryDirectory(opened));
  const metrics = new NodeMetrics();
  const nodeServer = createNodeServer({
    provider: directory,
    keys: options.keys ?? [testKey],
    metrics,
    log: options.log ?? silentLog,
    clock: options.clock ?? systemClock,
    ...(options.limits && { limits: options.limits }),
    tls: options.tls,
    tellsMetrics: true,
  });
  nodeServer.server.listen(options.port ?? 0, '127.0.0.1');
  await once(nodeServer.server, 'listening');
  opened.defer(() => nodeServer.stop(0));
  const clients: Provider[] = [];
  opened.defer(async () => void (await Promise.all(clients.map((client) => client.close()))));
  const url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${(nodeServer.server.address() as AddressInfo).port}`;
  const owned = opened.move();
  return {
    url,
    directory,
    metrics,
    nodeServer,
    connect(connectOptions) {
      const client = openNodeProvider({ id: 'n1' as ProviderId, endpoint: url, key: testKey, ...connectOptions });
      clients.push(client);
      return client;
    },
    stop: () => owned.disposeAsync(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openTemporaryDirectory(opened: AsyncDisposableStack): Promise<Provider> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
  opened.defer(() => rm(path, { recursive: true, force: true }));
  return opened.adopt(await openDirectoryProvider({ id: 'd1' as ProviderId, path }), (provider) => provider.close());
}
