import { randomFillSync } from 'node:crypto';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { createPackageCodec } from '../erasure/package-codec.ts';
import { createWasmCodec } from '../erasure/wasm-codec.ts';
import type { BenchReport } from './bench-command.ts';
import { type Column, renderNumber, renderRows, renderSpread } from './render-table.ts';
import { type Spread, summarize } from './statistics.ts';
import { threadCpuMs } from './thread-cpu.ts';

const profiles = [
  { k: 4, m: 2 },
  { k: 8, m: 3 },
  { k: 10, m: 4 },
  { k: 16, m: 4 },
] as const;
const shardSizes = [64 * 1024, 256 * 1024, 1024 * 1024] as const;
const operations = ['encode', 'reconstruct-1', 'reconstruct-m'] as const;
type Operation = (typeof operations)[number];

interface CodecRow {
  readonly codec: string;
  /** With `-copy` where shards lie in buffers from elsewhere, else they lie in the codec's slots; those of the package are always copied. */
  readonly operation: Operation | `${Operation}-copy`;
  readonly profile: string;
  readonly shardBytes: number;
  /** Data bytes (k shards) a second of the thread's CPU time, in MB (10^6): the median. */
  readonly mbPerS: number;
  /** The median of the rounds; in each of them both were measured one after the other. */
  readonly ratioToPackage: number;
  readonly spread: Spread;
  readonly ratioSpread: Spread;
}

/** A codec in one situation, ready to be run. */
interface Subject {
  readonly codec: string;
  readonly operation: CodecRow['operation'];
  readonly run: () => void;
}

interface Pace {
  readonly rounds: number;
  readonly turnMs: number;
}

/**
 * One core, one call after the other, by turns with the package. Times are those of the thread's CPU, so that other work
 * on the machine hardly shows, but for what it does to the caches.
 */
export async function benchCodecs({ isQuick }: { isQuick: boolean }): Promise<BenchReport> {
  const pace = isQuick ? { rounds: 7, turnMs: 2 } : { rounds: 31, turnMs: 5 };
  const reference = await createPackageCodec();
  const codecs = [createWasmCodec(), createWasmCodec({ isRevectorizing: true })];
  const rows = profiles.flatMap((profile) =>
    shardSizes.flatMap((shardBytes) =>
      operations.flatMap((operation) => {
        const task = { ...profile, shardBytes, operation };
        const subjects = [
          prepare(reference, task, false),
          ...codecs.flatMap((codec) => [prepare(codec, task, true), prepare(codec, task, false)]),
        ];
        const measured = measure(subjects, profile.k * shardBytes, pace);
        const where = { profile: `${profile.k}+${profile.m}`, shardBytes };
        return measured.map((row) => ({ ...row, ...where }));
      }),
    ),
  );
  const tables = Object.values(Object.groupBy(rows, ({ codec }) => codec)).map((group) => renderCodec(group!));
  return { text: [...tables, renderSummary(rows)].join('\n'), rows };
}

function prepare(
  codec: ErasureCodec,
  { k, m, shardBytes, operation }: { k: number; m: number; shardBytes: number; operation: Operation },
  isInSlots: boolean,
): Subject {
  // The package has no place of its own, and gets what is best for it: shards side by side.
  const joined = Buffer.allocUnsafeSlow((k + m) * shardBytes);
  const shards = isInSlots
    ? codec.allocateSlots(k + m, shardBytes).views
    : Array.from({ length: k + m }, (_, index) => joined.subarray(index * shardBytes, (index + 1) * shardBytes));
  for (const shard of shards) randomFillSync(shard);
  const [data, parity] = [shards.slice(0, k), shards.slice(k)];
  codec.encode(data, parity);
  const lost = Array.from({ length: operation === 'reconstruct-1' ? 1 : m }, (_, index) => index);
  const given = shards.map((shard, index) => (lost.includes(index) ? undefined : shard));
  const into = lost.map((index) => shards[index]!);
  const run =
    operation === 'encode' ? () => codec.encode(data, parity) : () => void codec.reconstruct(given, k, lost, into);
  return {
    codec: codec.name,
    operation: isInSlots || codec.name === 'wasm-package' ? operation : `${operation}-copy`,
    run,
  };
}

/** The first subject is what the others are compared with. */
function measure(
  subjects: readonly Subject[],
  bytes: number,
  { rounds, turnMs }: Pace,
): Omit<CodecRow, 'profile' | 'shardBytes'>[] {
  // V8 compiles what runs often; the package is warm after few calls, which are long.
  for (const [at, { run }] of subjects.entries()) takeTurn(run, at === 0 ? 0 : 20);
  const rates = Array.from({ length: rounds }, () => subjects.map(({ run }) => (takeTurn(run, turnMs) * bytes) / 1e6));
  return subjects.map(({ codec, operation }, at) => {
    const spread = summarize(rates.map((round) => round[at]!));
    const ratioSpread = summarize(rates.map((round) => round[at]! / round[0]!));
    return { codec, operation, mbPerS: spread.median, ratioToPackage: ratioSpread.median, spread, ratioSpread };
  });
}

/** @returns calls a second of CPU time */
function takeTurn(run: () => void, turnMs: number): number {
  const startedAtMs = threadCpuMs();
  for (let calls = 1; ; calls++) {
    run();
    const elapsedMs = threadCpuMs() - startedAtMs;
    if (elapsedMs > 0 && elapsedMs >= turnMs) return (calls * 1000) / elapsedMs;
  }
}

/** A line for each profile and length, a column for each operation: MB of data a second, and how many times the package that is. */
function renderCodec(rows: readonly CodecRow[]): string {
  const cells = Object.values(Object.groupBy(rows, ({ profile, shardBytes }) => `${profile} ${shardBytes}`));
  const names = [...new Set(rows.map(({ operation }) => operation))];
  const columns = names.map(
    (name): Column<readonly CodecRow[]> => [
      name,
      (cell) => {
        const { mbPerS, ratioSpread } = cell.find(({ operation }) => operation === name)!;
        return `${renderNumber(mbPerS)}; ${renderSpread(ratioSpread)} x`;
      },
    ],
  );
  return renderRows(cells as CodecRow[][], [
    [rows[0]!.codec, (cell) => cell[0]!.profile],
    ['shard', (cell) => `${cell[0]!.shardBytes / 1024} KiB`],
    ...columns,
  ]);
}

function renderSummary(rows: readonly CodecRow[]): string {
  const groups = Object.groupBy(rows, ({ codec, operation }) => `${codec}: ${operation}`);
  const summaries = Object.entries(groups).map(([name, group]) => ({
    name,
    ratios: summarize(group!.map(({ ratioToPackage }) => ratioToPackage)),
  }));
  return renderRows(summaries, [
    ['over all cells', ({ name }) => name],
    ['least', ({ ratios }) => renderNumber(ratios.min)],
    ['median', ({ ratios }) => renderNumber(ratios.median)],
    ['most', ({ ratios }) => renderNumber(ratios.max)],
  ]);
}
