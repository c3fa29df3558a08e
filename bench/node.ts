import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Pool } from 'undici';
import type { ProviderId, ShardCid } from '../core/model.ts';
import { shardCid } from '../erasure/shard-format.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import { generateNodeKey } from '../placement/providers/node/node-key.ts';
import { openNodeProvider } from '../placement/providers/node/node-provider.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { startNodeProcess } from '../test/harness/node-process.ts';
import type { BenchReport } from './bench-command.ts';
import { readCpuSeconds } from './cpu-seconds.ts';
import { type Column, renderRows } from './render-table.ts';
import { summarize } from './statistics.ts';
import { startProgram } from './target.ts';

const smallBytes = 4096;
const blockBytes = 256 * 1024;
const largeBytes = 16 * 2 ** 20;
/** Large shards and files of one sample. */
const streamCount = 4;
const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;

/** Something that is measured: where its work is done, and how its CPU time is read. */
interface Subject {
  readonly name: string;
  /** The server's process; undefined where all is done in this one. */
  readonly pid: number | undefined;
}

interface Sample {
  readonly count: number;
  readonly seconds: number;
  /** Of this process, which is the gateway's side. */
  readonly ownCpuSeconds: number;
  readonly serverCpuSeconds: number;
}

interface SmallRow {
  readonly case: string;
  readonly directoryPerS: number;
  readonly nodePerS: number;
  readonly directoryCpuMicros: number;
  readonly gatewaySideCpuMicros: number;
  readonly nodeCpuMicros: number;
}

const smallColumns: readonly Column<SmallRow>[] = [
  ['case', (row) => row.case],
  ['directory /s', (row) => row.directoryPerS.toFixed(0)],
  ['node /s', (row) => row.nodePerS.toFixed(0)],
  ['directory CPU us', (row) => row.directoryCpuMicros.toFixed(0)],
  ['gateway side CPU us', (row) => row.gatewaySideCpuMicros.toFixed(0)],
  ['node CPU us', (row) => row.nodeCpuMicros.toFixed(0)],
  ['directory calls per CPU s', (row) => (1e6 / row.directoryCpuMicros).toFixed(0)],
  ['node calls per CPU s', (row) => (1e6 / (row.gatewaySideCpuMicros + row.nodeCpuMicros)).toFixed(0)],
];

interface StreamRow {
  readonly case: string;
  readonly mbPerS: number;
  readonly gatewaySideCpuSPerGib: number;
  readonly serverCpuSPerGib: number;
}

const largeColumns: readonly Column<StreamRow>[] = [
  [`one stream of ${largeBytes / mebibyte} MiB`, (row) => row.case],
  ['MB/s', (row) => row.mbPerS.toFixed(0)],
  ['gateway side CPU s/GiB', (row) => row.gatewaySideCpuSPerGib.toFixed(2)],
  ['server CPU s/GiB', (row) => row.serverCpuSPerGib.toFixed(2)],
];

/**
 * What a node costs beside its directory: small puts and reads through a node and straight into a directory, and streams of
 * large shards beside plain node:http that writes and flushes one file.
 */
export async function benchNode({ folder, isQuick }: { folder: string; isQuick: boolean }): Promise<BenchReport> {
  await using opened = new AsyncDisposableStack();
  const path = await mkdtemp(join(folder, 'bench-node-'));
  opened.defer(() => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const { key, text } = generateNodeKey();
  const server = opened.adopt(await startNodeProcess({ dataDir: join(path, 'node'), key: text }), (started) =>
    started.stop(),
  );
  const id = 'b1' as ProviderId;
  const close = (provider: Provider): Promise<void> => provider.close();
  const node = opened.adopt(openNodeProvider({ id, endpoint: server.url, key }), close);
  const directory = opened.adopt(await openDirectoryProvider({ id, path: join(path, 'directory') }), close);
  const durationMs = isQuick ? 500 : 2000;
  const rounds = isQuick ? 3 : 5;
  const setting = { durationMs, rounds };
  const small = await benchSmall({ node, directory, pid: server.pid }, setting);
  const files = await mkdtemp(join(path, 'files-'));
  const raw = opened.adopt(await startProgram('raw-server.ts', ['file', files]), (started) => started.stop());
  const large = await benchLarge({ node, pid: server.pid, raw: { url: raw.access.url, pid: raw.pid } }, setting);
  const tables = `${renderRows(small, smallColumns)}\n${renderRows(large, largeColumns)}`;
  return { text: tables, rows: [...small, ...large] };
}

interface Setting {
  readonly durationMs: number;
  readonly rounds: number;
}

async function benchSmall(
  parts: { node: Provider; directory: Provider; pid: number },
  { durationMs, rounds }: Setting,
): Promise<SmallRow[]> {
  const subjects: readonly (Subject & { provider: Provider })[] = [
    { name: 'directory', pid: undefined, provider: parts.directory },
    { name: 'node', pid: parts.pid, provider: parts.node },
  ];
  const rows: SmallRow[] = [];
  for (const callers of [1, 32, 128]) {
    for (const kind of ['put', 'read'] as const) {
      const samples = new Map<string, Sample[]>();
      for (const { name, pid, provider } of subjects) {
        const work = kind === 'put' ? putSmall(provider) : await readSmall(provider);
        await measure(pid, callers, durationMs / 4, work);
        samples.set(name, []);
        for (let round = 0; round < rounds; round++) {
          samples.get(name)!.push(await measure(pid, callers, durationMs, work));
        }
      }
      const [direct, through] = [samples.get('directory')!, samples.get('node')!];
      const median = (list: readonly Sample[], figure: (sample: Sample) => number) =>
        summarize(list.map(figure)).median;
      rows.push({
        case: `${kind} ${smallBytes / 1024} KiB, ${callers} callers`,
        directoryPerS: median(direct, (sample) => sample.count / sample.seconds),
        nodePerS: median(through, (sample) => sample.count / sample.seconds),
        directoryCpuMicros: median(direct, (sample) => (sample.ownCpuSeconds / sample.count) * 1e6),
        gatewaySideCpuMicros: median(through, (sample) => (sample.ownCpuSeconds / sample.count) * 1e6),
        nodeCpuMicros: median(through, (sample) => (sample.serverCpuSeconds / sample.count) * 1e6),
      });
    }
  }
  return rows;
}

async function benchLarge(
  parts: { node: Provider; pid: number; raw: { url: URL; pid: number } },
  { rounds }: Setting,
): Promise<StreamRow[]> {
  const pool = new Pool(parts.raw.url.origin, { connections: 4 });
  const subjects = listStreams(parts, pool);
  const rows: StreamRow[] = [];
  for (const [name, { pid, work }] of Object.entries(subjects)) {
    for (let warm = 0; warm < streamCount; warm++) await work();
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) samples.push(await measureCount(pid, streamCount, work));
    const total = streamCount * largeBytes;
    const median = (pick: (sample: Sample) => number) => summarize(samples.map(pick)).median;
    rows.push({
      case: name,
      mbPerS: median(({ seconds }) => total / 1e6 / seconds),
      gatewaySideCpuSPerGib: median(({ ownCpuSeconds }) => (ownCpuSeconds / total) * gibibyte),
      serverCpuSPerGib: median(({ serverCpuSeconds }) => (serverCpuSeconds / total) * gibibyte),
    });
  }
  await pool.close();
  return rows;
}

/** What is measured, in this order: later ones read what earlier ones wrote. */
function listStreams(
  parts: { node: Provider; pid: number; raw: { pid: number } },
  pool: Pool,
): Readonly<Record<string, { pid: number; work: () => Promise<void> }>> {
  const bytes = randomBytes(largeBytes);
  let number = 0;
  const cids: ShardCid[] = [];
  return {
    'raw http, PUT a file': {
      pid: parts.raw.pid,
      async work() {
        const { body } = await pool.request({ path: `/${number++ % streamCount}`, method: 'PUT', body: bytes });
        await body.dump();
      },
    },
    'node, write a shard in blocks of 256 KiB': {
      pid: parts.pid,
      async work() {
        const cid = nameOf(randomBytes(32));
        const writer = await parts.node.createShard();
        for (let at = 0; at < largeBytes; at += blockBytes) await writer.append([bytes.subarray(at, at + blockBytes)]);
        await writer.commit(cid);
        cids.push(cid);
      },
    },
    'node, put a shard whole': {
      pid: parts.pid,
      async work() {
        await parts.node.putShard(nameOf(randomBytes(32)), [bytes]);
      },
    },
    'raw http, GET a file': {
      pid: parts.raw.pid,
      async work() {
        const { body } = await pool.request({ path: `/${number++ % streamCount}`, method: 'GET' });
        for await (const _chunk of body);
      },
    },
    'node, read a shard in blocks of 256 KiB': {
      pid: parts.pid,
      async work() {
        const cid = cids[number++ % cids.length]!;
        for (let at = 0; at < largeBytes; at += blockBytes) await parts.node.readShard(cid, at, blockBytes);
      },
    },
    'node, read a shard whole': {
      pid: parts.pid,
      async work() {
        await parts.node.readShard(cids[number++ % cids.length]!, 0, largeBytes);
      },
    },
  };
}

function putSmall(provider: Provider): () => Promise<void> {
  const bytes = randomBytes(smallBytes);
  const name = randomBytes(32);
  let number = 0;
  return () => {
    name.writeUInt32BE(number++);
    return provider.putShard(nameOf(name), [bytes]);
  };
}

async function readSmall(provider: Provider): Promise<() => Promise<void>> {
  const bytes = randomBytes(smallBytes);
  const cids = Array.from({ length: 256 }, () => nameOf(randomBytes(32)));
  await Promise.all(cids.map((cid) => provider.putShard(cid, [bytes])));
  let number = 0;
  return async () => void (await provider.readShard(cids[number++ % cids.length]!, 0, smallBytes));
}

/** `callers` that each call again as soon as they were answered. */
async function measure(
  pid: number | undefined,
  callers: number,
  durationMs: number,
  work: () => Promise<void>,
): Promise<Sample> {
  const endsAtMs = performance.now() + durationMs;
  let count = 0;
  return sample(pid, async () => {
    const caller = async (): Promise<void> => {
      do {
        await work();
        count++;
      } while (performance.now() < endsAtMs);
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return count;
  });
}

function measureCount(pid: number, count: number, work: () => Promise<void>): Promise<Sample> {
  return sample(pid, async () => {
    for (let i = 0; i < count; i++) await work();
    return count;
  });
}

async function sample(pid: number | undefined, work: () => Promise<number>): Promise<Sample> {
  const serverBefore = pid === undefined ? 0 : (await readCpuSeconds(pid)).all;
  const ownBefore = process.cpuUsage();
  const startedAtMs = performance.now();
  const count = await work();
  const seconds = (performance.now() - startedAtMs) / 1000;
  const { user, system } = process.cpuUsage(ownBefore);
  const serverAfter = pid === undefined ? 0 : (await readCpuSeconds(pid)).all;
  return { count, seconds, ownCpuSeconds: (user + system) / 1e6, serverCpuSeconds: serverAfter - serverBefore };
}

function nameOf(bytes: Uint8Array): ShardCid {
  return shardCid(new Uint8Array(0), bytes);
}
