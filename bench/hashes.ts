import { createCipheriv, createHash, hash, randomBytes } from 'node:crypto';
import { LaneBuffer, laneStrideBytes } from '../crypto/md5/lane-buffer.ts';
import { createMd5Kernels, kernelWidths, type Md5Kernels, maxKernelWidth } from '../crypto/md5/md5-kernels.ts';
import { lanesMemoryBytes, Md5Lanes } from '../crypto/md5/md5-lanes.ts';
import { blockBytes } from '../crypto/md5/md5-steps.ts';
import { selfTestKernels } from '../crypto/md5/self-test-kernels.ts';
import type { BenchReport } from './bench-command.ts';
import { renderNumber, renderRows, renderSpread } from './render-table.ts';
import { type Spread, summarize } from './statistics.ts';

/** As socket reads come. */
const chunkBytes = 64 * 1024;
/** Chunks of each stream that are read in turn, so that they do not all lie in the processor's nearest cache. */
const chunksPerStream = 16;
const smallBytes = 4096;

interface HashRow {
  readonly operation: string;
  /** How many streams take turns, or go together. */
  readonly streams: number;
  /** All streams together, in MB (10^6) a second of CPU time: the median. */
  readonly mbPerS: number;
  /** To node's MD5 of one stream, round by round. */
  readonly ratioToNode: number;
  readonly spread: Spread;
  readonly ratioSpread: Spread;
}

interface Case {
  readonly operation: string;
  readonly streams: number;
  /** What one call hashes, of all streams together. */
  readonly bytes: number;
  readonly run: () => void | Promise<void>;
}

/**
 * Hashes and the cipher on one core: MD5 of one stream by node:crypto, against kernels of all widths with their bytes in place,
 * with the copy that brings them there, and behind the scheduler that uploads go through. All by turns, in CPU time.
 */
export async function benchHashes({ isQuick }: { isQuick: boolean }): Promise<BenchReport> {
  const pace = isQuick ? { rounds: 7, roundMs: 40 } : { rounds: 15, roundMs: 150 };
  const kernels = createMd5Kernels(maxKernelWidth * laneStrideBytes);
  selfTestKernels(kernels);
  const chunks = Array.from({ length: maxKernelWidth }, () =>
    Array.from({ length: chunksPerStream }, () => randomBytes(chunkBytes)),
  );
  const cases = [
    ...nodeCases(chunks),
    ...kernelWidths.flatMap((width) => kernelCases(kernels, width, chunks)),
    ...[1, 2, 3, 4, 8, 16].map((streams) => schedulerCase(streams, chunks)),
    ...smallCases(kernels),
  ];
  const rates = await measure(cases, pace);
  const base = rates[0]!;
  const rows = cases.map(({ operation, streams }, index): HashRow => {
    const spread = summarize(rates[index]!);
    const ratioSpread = summarize(rates[index]!.map((rate, round) => rate / base[round]!));
    return { operation, streams, mbPerS: spread.median, ratioToNode: ratioSpread.median, spread, ratioSpread };
  });
  const text = renderRows(rows, [
    ['one core', ({ operation }) => operation],
    ['streams', ({ streams }) => String(streams)],
    ['MB/s of all', ({ spread }) => renderSpread(spread)],
    ['times node MD5 of one stream', ({ ratioSpread }) => renderSpread(ratioSpread)],
    ['ns a KiB', ({ mbPerS }) => renderNumber((1024 * 1000) / mbPerS)],
  ]);
  return { text, rows };
}

type Chunks = readonly (readonly Uint8Array[])[];

function nodeCases(chunks: Chunks): Case[] {
  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  const key = randomBytes(32);
  const one = (operation: string, run: (chunk: Uint8Array) => void): Case => {
    let at = 0;
    return {
      operation,
      streams: 1,
      bytes: chunkBytes,
      run: () => run(chunks[at++ % chunks.length]![at % chunksPerStream]!),
    };
  };
  return [
    one('node:crypto MD5', (chunk) => md5.update(chunk)),
    one('node:crypto SHA-256', (chunk) => sha256.update(chunk)),
    one('node:crypto AES-256-GCM, a package of 64 KiB', (chunk) => {
      const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12));
      cipher.update(chunk);
      cipher.final();
    }),
  ];
}

function kernelCases(kernels: Md5Kernels, width: (typeof kernelWidths)[number], chunks: Chunks): Case[] {
  const lanes = Array.from({ length: width }, (_, index) => new LaneBuffer(kernels.memory, index));
  const addresses = lanes.map((lane) => {
    lane.reset();
    return { dataAt: lane.dataAt, stateAt: lane.stateAt };
  });
  let at = 0;
  return [
    {
      operation: 'kernel, bytes in place',
      streams: width,
      bytes: width * chunkBytes,
      run: () => kernels.run(width, addresses, chunkBytes / blockBytes),
    },
    {
      operation: 'kernel, with copy-in',
      streams: width,
      bytes: width * chunkBytes,
      run: () => {
        at++;
        for (const [index, lane] of lanes.entries()) {
          lane.reset();
          lane.put(chunks[index]![at % chunksPerStream]!);
        }
        kernels.run(width, addresses, chunkBytes / blockBytes);
      },
    },
  ];
}

/** Streams of 4 MiB each that come in chunks, all of them as fast as they are taken. */
function schedulerCase(streams: number, chunks: Chunks): Case {
  const lanes = new Md5Lanes({
    kernels: createMd5Kernels(lanesMemoryBytes(2 * maxKernelWidth)),
    laneCount: 2 * maxKernelWidth,
    onHashed: () => {},
  });
  const chunkCount = 4 * chunksPerStream;
  const hashOne = async (index: number): Promise<void> => {
    const stream = lanes.openStream();
    for (let at = 0; at < chunkCount; at++) {
      await stream.update(chunks[index % chunks.length]![at % chunksPerStream]!);
    }
    await stream.digest();
  };
  return {
    operation: 'uploads of 4 MiB, by the scheduler',
    streams,
    bytes: streams * chunkCount * chunkBytes,
    run: async () => void (await Promise.all(Array.from({ length: streams }, (_, index) => hashOne(index)))),
  };
}

/** Whether the objects of a pack are worth hashing together. */
function smallCases(kernels: Md5Kernels): Case[] {
  const objects = Array.from({ length: maxKernelWidth }, () => randomBytes(smallBytes));
  const lanes = objects.map((_, index) => new LaneBuffer(kernels.memory, index));
  const common = { streams: objects.length, bytes: objects.length * smallBytes };
  return [
    {
      operation: 'node:crypto MD5, whole objects of 4 KiB',
      ...common,
      run: () => {
        for (const object of objects) hash('md5', object);
      },
    },
    {
      operation: 'kernel, whole objects of 4 KiB with copy-in, padding and digest',
      ...common,
      run: () => {
        for (const [index, lane] of lanes.entries()) {
          lane.reset();
          lane.put(objects[index]!);
          lane.pad();
        }
        kernels.run(maxKernelWidth, lanes, lanes[0]!.readyBlocks);
        for (const lane of lanes) lane.readDigest();
      },
    },
  ];
}

/** By turns, so that what else the machine does falls on all alike. @returns for each case the MB a second of each round */
async function measure(cases: readonly Case[], pace: { rounds: number; roundMs: number }): Promise<number[][]> {
  for (const one of cases) await rate(one, pace.roundMs);
  const rates = cases.map((): number[] => []);
  for (let round = 0; round < pace.rounds; round++) {
    for (const [index, one] of cases.entries()) rates[index]!.push(await rate(one, pace.roundMs));
  }
  return rates;
}

/** In CPU time of the process. */
async function rate({ run, bytes }: Case, roundMs: number): Promise<number> {
  const before = process.cpuUsage();
  const startedAtMs = performance.now();
  let calls = 0;
  do {
    const running = run();
    if (running !== undefined) await running;
    calls++;
  } while (performance.now() - startedAtMs < roundMs);
  const { user, system } = process.cpuUsage(before);
  return (calls * bytes) / (user + system);
}
