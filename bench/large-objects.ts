import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProviderId, ShardCid } from '../core/model.ts';
import { releaseWhole } from '../core/release-memory.ts';
import { maxBlockBytes } from '../erasure/geometry.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { readCpuSeconds } from './cpu-seconds.ts';
import { HeadSigner } from './head-signer.ts';
import { createBucket, LoadGenerator, type PreparedRequest } from './load.ts';
import { type ServerTarget, startTarget } from './target.ts';

/** As many as shards of 4+2; a GET reads those of the data. */
const shardCount = 6;
const dataShards = 4;

/** Something that takes CPU time, in this process or in another one. */
export interface CostlyWork {
  readonly name: string;
  /** Plain bytes that one run is about. */
  readonly bytes: number;
  run(): Promise<void> | void;
  /** CPU seconds so far, of all threads of the process that does it; this one unless given. */
  readCpuSeconds?(): Promise<number>;
}

export interface LargeObjects extends AsyncDisposable {
  /** node:http alone: bytes are dropped, or sent from memory. */
  readonly receiving: CostlyWork;
  readonly sending: CostlyWork;
  /** What directories do alone, called as stripes call them. */
  readonly writing: CostlyWork;
  readonly reading: CostlyWork;
  /** All of it: a gateway as its users run it. */
  readonly put: CostlyWork;
  readonly get: CostlyWork;
}

/** Objects of one size over loopback and a disk, and each part of what that takes alone. */
export async function openLargeObjects(folder: string, objectBytes: number): Promise<LargeObjects> {
  await using stack = new AsyncDisposableStack();
  const setting = {
    folder,
    bytes: objectBytes,
    providerCount: shardCount,
    isReadingProviders: false,
    nodeArguments: [],
  };
  const start = async (name: 'null' | 'gateway'): Promise<ServerTarget> =>
    stack.adopt((await startTarget(name, setting)) as ServerTarget, (target) => target.stop());
  const server = await start('null');
  const gateway = await start('gateway');
  await createBucket(gateway.access, gateway.bucket);
  const body = randomBytes(objectBytes);
  const files = await openFiles(folder, objectBytes);
  stack.defer(() => files[Symbol.asyncDispose]());
  const request = (target: ServerTarget, method: 'PUT' | 'GET', name: string): CostlyWork => ({
    name,
    bytes: objectBytes,
    run: () => send(target, method, body),
    readCpuSeconds: async () => (await readCpuSeconds(target.pid!)).all,
  });
  const works = {
    receiving: request(server, 'PUT', 'node:http, receiving'),
    sending: request(server, 'GET', 'node:http, sending'),
    put: request(gateway, 'PUT', 'gateway, PUT'),
    get: request(gateway, 'GET', 'gateway, GET'),
    ...files.works,
  };
  await works.put.run();
  await works.writing.run();
  const owned = stack.move();
  return { ...works, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** One object up, or down. */
async function send({ access, bucket }: ServerTarget, method: 'PUT' | 'GET', body: Buffer): Promise<void> {
  const path = `/${bucket}/large`;
  const isPut = method === 'PUT';
  const request: PreparedRequest = {
    name: `${method} ${path}`,
    head: new HeadSigner(access).sign({ method, path, bodyBytes: isPut ? body.length : 0 }),
    body: isPut ? body : undefined,
    isRight: ({ status, bodyBytes }) => status === 200 && (isPut || bodyBytes === body.length),
  };
  await new LoadGenerator({ url: access.url, requests: [request], clients: 1 }).runAll();
}

/** Directories that take the shards of an object block by block, and give its data back block by block. */
async function openFiles(folder: string, objectBytes: number) {
  const path = await mkdtemp(join(folder, 'bench-files-'));
  const providers = await Promise.all(
    Array.from({ length: shardCount }, (_, at) =>
      openDirectoryProvider({ id: `p${at}` as ProviderId, path: join(path, `p${at}`) }),
    ),
  );
  const block = randomBytes(maxBlockBytes);
  const rows = Math.ceil(objectBytes / (dataShards * maxBlockBytes));
  const cid = `b${'a'.repeat(58)}` as ShardCid;
  const writeShard = async (provider: Provider): Promise<void> => {
    const writer = await provider.createShard();
    for (let row = 0; row < rows; row++) await writer.append([block]);
    // What is there already would not be written once more.
    await provider.deleteShard(cid);
    await writer.commit(cid);
  };
  return {
    works: {
      writing: {
        name: 'directories, writing',
        bytes: objectBytes,
        run: async () => void (await Promise.all(providers.map(writeShard))),
      },
      reading: {
        name: 'directories, reading',
        bytes: objectBytes,
        async run() {
          for (let row = 0; row < rows; row++) {
            const reads = providers
              .slice(0, dataShards)
              .map((provider) => provider.readShard(cid, row * maxBlockBytes, maxBlockBytes));
            for (const bytes of await Promise.all(reads)) releaseWhole(bytes);
          }
        },
      },
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const provider of providers) await provider.close();
      await rm(path, { recursive: true, force: true });
    },
  };
}
