import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { composeGateway, type Gateway } from '../../bin/compose-gateway.ts';
import { parseConfig } from '../../core/config.ts';
import { silentLog } from '../../core/log.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import type { AccountWithKeys } from '../../gateway/accounts.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { providerIds, providerPath } from './shard-files.ts';
import { createSignedFetch, type SignedFetch } from './signed-fetch.ts';

export interface TestGatewayOptions {
  /** Kept, and kept after close, where given; else a temporary folder. */
  readonly dataDir?: string;
  /** Where to listen for S3; a free port unless given. */
  readonly listen?: string;
  /** As in the configuration file. */
  readonly config?: Record<string, unknown>;
  /** From which length its six directories keep a shard in a file of its own; as by default unless given. */
  readonly segmentShardBytes?: number;
  /** Puts faults between the gateway and its providers. */
  readonly wrapProvider?: (provider: Provider) => Provider;
}

/** A whole gateway in this process, on free ports, and clients for its two accounts. */
export interface TestGateway {
  readonly url: string;
  readonly adminUrl: string;
  readonly dataDir: string;
  readonly gateway: Gateway;
  /** Signs as the root account; path style, no retries. */
  readonly client: S3Client;
  /** Signs as another account, which owns nothing. */
  readonly stranger: S3Client;
  /** Signs by hand, for headers and bodies that no SDK would send. */
  readonly fetchSigned: SignedFetch;
  readonly fetchAsStranger: SignedFetch;
  /** A new client with settings of its own. */
  createClient(settings?: ConstructorParameters<typeof S3Client>[0]): S3Client;
  close(): Promise<void>;
}

export const rootKey = { accessKeyId: 'HFROOTTESTKEY', secretAccessKey: 'root-secret-of-the-tests' };
export const strangerKey = { accessKeyId: 'HFSTRANGERKEY', secretAccessKey: 'stranger-secret-of-the-tests' };

/** What the gateways of tests seal with. */
export const masterKey = new MasterKey(Buffer.alloc(32, 'gateway'));

const root: AccountWithKeys = {
  accountId: '000000000000',
  canonicalId: 'a'.repeat(64),
  displayName: 'root',
  email: 'root@example.com',
  accessKeys: [rootKey],
};
export const stranger: AccountWithKeys = {
  accountId: '111111111111',
  canonicalId: 'b'.repeat(64),
  displayName: 'stranger',
  email: 'stranger@example.com',
  accessKeys: [strangerKey],
};

/** The same directories as by default. */
function directoriesOf(dataDir: string, segmentShardBytes: number): unknown[] {
  return providerIds.map((id) => ({ id, kind: 'directory', path: providerPath(dataDir, id), segmentShardBytes }));
}

export async function startGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'holdfast-')));
  const config = parseConfig(
    {
      HOLDFAST_DATA_DIR: dataDir,
      HOLDFAST_LISTEN: options.listen ?? '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
    },
    JSON.stringify({
      accounts: [stranger],
      ...(options.segmentShardBytes && { providers: directoriesOf(dataDir, options.segmentShardBytes) }),
      ...options.config,
    }),
  );
  const gateway = await composeGateway({
    config,
    log: silentLog,
    root,
    masterKey,
    ...(options.wrapProvider && { wrapProvider: options.wrapProvider }),
  });
  const clients: S3Client[] = [];
  const createClient: TestGateway['createClient'] = (settings) => {
    const client = new S3Client({
      endpoint: gateway.endpoint,
      region: config.region,
      forcePathStyle: true,
      maxAttempts: 1,
      credentials: { ...rootKey },
      ...settings,
    });
    clients.push(client);
    return client;
  };
  return {
    url: gateway.endpoint,
    adminUrl: gateway.adminEndpoint,
    dataDir,
    gateway,
    client: createClient(),
    stranger: createClient({ credentials: { ...strangerKey } }),
    fetchSigned: createSignedFetch(gateway.endpoint, rootKey, config.region),
    fetchAsStranger: createSignedFetch(gateway.endpoint, strangerKey, config.region),
    createClient,
    async close() {
      for (const client of clients) client.destroy();
      await gateway.stop(0);
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
