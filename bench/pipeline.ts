import { createHash, hash, randomBytes } from 'node:crypto';
import { systemClock } from '../core/clock.ts';
import { silentLog } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import type { ProviderId, ShardCid } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { releaseEach, releaseWhole } from '../core/release-memory.ts';
import { createDataKey } from '../crypto/data-key.ts';
import { MasterKey } from '../crypto/master-key.ts';
import { createMd5Lanes } from '../crypto/md5/create-md5-lanes.ts';
import { openPackages } from '../crypto/open-packages.ts';
import { sealedBytes, sealWhole } from '../crypto/sealed-stream.ts';
import { createEngine } from '../engine/create-engine.ts';
import type { Engine } from '../engine/engine.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { maxBlockBytes } from '../erasure/geometry.ts';
import { digestBlock } from '../erasure/shard-format.ts';
import { createWasmCodec } from '../erasure/wasm-codec.ts';
import { openMemoryStore } from '../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../placement/fleet.ts';
import { ProviderHealth } from '../placement/provider-health.ts';
import { createMemoryProvider } from '../placement/providers/memory-provider.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { memberOf } from '../test/harness/member-of.ts';
import type { BenchReport } from './bench-command.ts';
import { type CostlyWork, openLargeObjects } from './large-objects.ts';
import { type Column, renderNumber, renderRows, renderSpread } from './render-table.ts';
import { SinkProvider } from './sink-provider.ts';
import { type Spread, summarize } from './statistics.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const [k, m] = [4, 2];
const bucket = 'bench';
const ownerId = 'a'.repeat(64);
const never = new AbortController().signal;
/** As they come off a socket. */
const chunkBytes = 64 * 1024;
const streams = 8;

interface PipelineRow {
  readonly path: string;
  /** CPU seconds of all threads for a GiB of plain bytes: the median. */
  readonly cpuSecondsPerGiB: number;
  /** Plain bytes for a CPU second, in MB (10^6): the median. */
  readonly mbPerCpuS: number;
  /** What the parts add up to against what the path takes: 1 where nothing comes on top. Empty for the parts themselves. */
  readonly ofSum: Spread | undefined;
  /** The rate against that of one unsigned stream. */
  readonly toOneStream: Spread | undefined;
}

/**
 * The CPU path of large objects, from memory to memory: the engine with all of its parts, over providers that drop what they are
 * given, beside each part alone; and a gateway over loopback and a disk beside node:http, that path, and directories alone. By turns,
 * so that a busy machine is as bad for one as for the others.
 */
export async function benchPipeline({ isQuick, folder }: { isQuick: boolean; folder: string }): Promise<BenchReport> {
  const objectBytes = (isQuick ? 16 : 64) * MiB;
  const codec = createWasmCodec();
  await using bench = await openBench(codec, objectBytes);
  await using large = await openLargeObjects(folder, objectBytes);
  const { receiving, writing, put, sending, reading, get } = large;
  const parts = createParts({ codec, body: bench.body, readRow: await createReads() });
  const signed = hash('sha256', bench.body);
  const works = {
    ...parts,
    onePut: { name: 'PUT, one stream, payload signed', bytes: objectBytes, run: () => bench.put(1, signed) },
    unsignedPut: { name: 'PUT, one stream, unsigned', bytes: objectBytes, run: () => bench.put(1, undefined) },
    putsTogether: {
      name: `PUT, ${streams} streams at once, unsigned`,
      bytes: streams * objectBytes,
      run: () => bench.put(streams, undefined),
    },
    getPath: { name: 'GET, one stream', bytes: objectBytes, run: () => bench.get() },
    receiving,
    writing,
    put,
    sending,
    reading,
    get,
  };
  const costs = await measureByTurns(works, isQuick ? 5 : 9);
  const sumOf = (names: readonly (keyof typeof works)[], round: number): number =>
    names.reduce((sum, name) => sum + costs[name][round]!, 0);
  const putParts = ['md5', 'sealing', 'encoding', 'shardDigests'] as const;
  const sums: Partial<Record<keyof typeof works, readonly (keyof typeof works)[]>> = {
    onePut: [...putParts, 'payloadDigest'],
    unsignedPut: putParts,
    putsTogether: putParts,
    getPath: ['reads', 'blockDigests', 'opening'],
    put: ['receiving', 'unsignedPut', 'writing'],
    get: ['sending', 'blockDigests', 'opening', 'reading'],
  };
  const rows = Object.entries(works).map(([key, { name }]): PipelineRow => {
    const own = costs[key as keyof typeof works];
    const sum = sums[key as keyof typeof works];
    const cpuSecondsPerGiB = summarize(own).median;
    return {
      path: name,
      cpuSecondsPerGiB,
      mbPerCpuS: GiB / 1e6 / cpuSecondsPerGiB,
      ofSum: sum && summarize(own.map((cost, round) => sumOf(sum, round) / cost)),
      toOneStream:
        key === 'putsTogether' ? summarize(own.map((cost, round) => costs.unsignedPut[round]! / cost)) : undefined,
    };
  });
  return { text: renderRows(rows, columns), rows };
}

const columns: readonly Column<PipelineRow>[] = [
  ['path', ({ path }) => path],
  ['CPU s/GiB', ({ cpuSecondsPerGiB }) => renderNumber(cpuSecondsPerGiB)],
  ['MB a CPU second', ({ mbPerCpuS }) => renderNumber(mbPerCpuS)],
  ['of what its parts add up to', ({ ofSum }) => renderSpread(ofSum)],
  ['to one stream', ({ toOneStream }) => renderSpread(toOneStream)],
];

/** @returns of each work its CPU seconds a GiB, round after round */
async function measureByTurns<Name extends string>(
  works: Readonly<Record<Name, CostlyWork>>,
  rounds: number,
): Promise<Record<Name, number[]>> {
  const entries = Object.entries(works) as [Name, CostlyWork][];
  const costs = Object.fromEntries(entries.map(([name]) => [name, []])) as unknown as Record<Name, number[]>;
  // The first round warms up.
  for (let round = -1; round < rounds; round++) {
    for (const [name, { bytes, run, readCpuSeconds = readOwnCpuSeconds }] of entries) {
      const before = await readCpuSeconds();
      await run();
      const seconds = (await readCpuSeconds()) - before;
      if (round >= 0) costs[name].push((seconds / bytes) * GiB);
    }
  }
  return costs;
}

async function readOwnCpuSeconds(): Promise<number> {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Each part of the path alone. What the path finds in caches, since it has just made it, the part finds there too. */
function createParts({ codec, body, readRow }: { codec: ErasureCodec; body: Buffer; readRow: () => Promise<void> }) {
  const workBytes = body.length;
  const dataBytes = k * maxBlockBytes;
  const row = Buffer.allocUnsafeSlow((k + m) * maxBlockBytes);
  const blocks = Array.from({ length: k + m }, (_, at) => row.subarray(at * maxBlockBytes, (at + 1) * maxBlockBytes));
  body.copy(row);
  const dataKey = createDataKey();
  const sealed = Buffer.allocUnsafeSlow(sealedBytes(dataBytes));
  sealWhole(dataKey, body.subarray(0, dataBytes), sealed);
  const opened = Buffer.allocUnsafeSlow(dataBytes);
  const work = (name: string, run: () => void): CostlyWork => ({ name, bytes: workBytes, run });
  const eachRow = (run: (plain: Uint8Array) => void) => (): void => {
    for (let at = 0; at < workBytes; at += dataBytes) run(body.subarray(at, at + dataBytes));
  };
  const stream = (algorithm: string) => (): void => {
    const digest = createHash(algorithm);
    for (let at = 0; at < workBytes; at += chunkBytes) {
      digest.update(body.subarray(at, at + chunkBytes));
    }
    digest.digest();
  };
  const digestAll = (count: number) =>
    eachRow(() => blocks.slice(0, count).forEach((block) => void digestBlock(block)));
  return {
    md5: work('MD5', stream('md5')),
    payloadDigest: work('SHA-256 of the payload', stream('sha256')),
    sealing: work(
      'sealing',
      eachRow((plain) => void sealWhole(dataKey, plain, sealed)),
    ),
    encoding: work(
      `coding ${k}+${m}`,
      eachRow(() => codec.encode(blocks.slice(0, k), blocks.slice(k))),
    ),
    shardDigests: work('digests of all blocks', digestAll(k + m)),
    reads: {
      name: 'reading blocks from memory',
      bytes: workBytes,
      async run() {
        for (let done = 0; done < workBytes; done += dataBytes) await readRow();
      },
    },
    blockDigests: work('digests of the data blocks', digestAll(k)),
    opening: work(
      'opening',
      eachRow(() => void openPackages({ dataKey, streamBytes: dataBytes, first: 0, pieces: [sealed] }, opened)),
    ),
  };
}

/** Reads a row's data blocks from a provider in memory, as the path does, and gives them back. */
async function createReads(): Promise<() => Promise<void>> {
  const provider = createMemoryProvider({ id: 'p' as ProviderId });
  const cid = 'shard' as ShardCid;
  await provider.putShard(cid, [randomBytes(maxBlockBytes)]);
  return async () => {
    const reads = Array.from({ length: k }, () => provider.readShard(cid, 0, maxBlockBytes));
    for (const block of await Promise.all(reads)) releaseWhole(block);
  };
}

async function openBench(codec: ErasureCodec, objectBytes: number) {
  const body = randomBytes(objectBytes);
  const ids = Array.from({ length: k + m }, (_, index) => `p${index}` as ProviderId);
  const sink = await openEngine(
    codec,
    ids.map((id) => new SinkProvider(id)),
  );
  const memory = await openEngine(
    codec,
    ids.map((id) => createMemoryProvider({ id })),
  );
  const put = async (engine: Engine, key: string, sha256Hex: string | undefined): Promise<void> => {
    const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
    await engine.objects.put({ bucket, key, ownerId, attributes, payload: payloadOf(body, sha256Hex) }, never);
  };
  await put(memory.engine, 'key', undefined);
  return {
    body,
    async put(count: number, sha256Hex: string | undefined): Promise<void> {
      await Promise.all(Array.from({ length: count }, (_, at) => put(sink.engine, `key ${at}`, sha256Hex)));
    },
    async get(): Promise<void> {
      const object = await memory.engine.objects.open({ bucket, key: 'key' });
      let bytes = 0;
      for await (const chunk of releaseEach(object.read(never))) bytes += chunk.length;
      if (bytes !== objectBytes) throw new Error(`${bytes} bytes came`);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await sink.close();
      await memory.close();
    },
  };
}

async function openEngine(codec: ErasureCodec, providers: readonly Provider[]) {
  const clock = systemClock;
  const health = new ProviderHealth({ clock, suspectMs: 10_000 });
  const metadata = await openMemoryStore({ clock, log: silentLog });
  const metrics = new Metrics();
  const { engine, upkeep } = createEngine({
    metadata,
    fleet: new Fleet({ members: providers.map((provider) => memberOf(provider)), health }),
    codec,
    profiles: [{ name: 'STANDARD', k, m }],
    clock,
    log: silentLog,
    metrics,
    masterKey: new MasterKey(Buffer.alloc(32, 'bench')),
    md5: createMd5Lanes({ log: silentLog, onHashed: metrics.noteMd5 }),
  });
  await engine.buckets.create({ name: bucket, ownerId, region: 'us-east-1', createdAtMs: clock.now() });
  const close = async (): Promise<void> => {
    await upkeep.stop();
    await metadata.close();
  };
  return { engine, close };
}

/** In chunks as they come off a socket. */
function payloadOf(body: Uint8Array, sha256Hex: string | undefined): Payload {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < body.length; at += chunkBytes) yield body.subarray(at, at + chunkBytes);
  }
  return {
    bytes: chunks(),
    sizeBytes: body.length,
    checksumAlgorithm: undefined,
    declaredDigests: () => (sha256Hex === undefined ? {} : { sha256Hex }),
  };
}
