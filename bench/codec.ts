import { randomBytes } from 'node:crypto';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { createPackageCodec } from '../erasure/package-codec.ts';
import type { BenchReport } from './bench-command.ts';
import { renderRows, renderSpread } from './render-table.ts';
import { type Spread, summarize } from './statistics.ts';

const k = 4;
const m = 2;
const blockSizes = [64 * 1024, 256 * 1024, 1024 * 1024] as const;

interface CodecRow {
  readonly codec: string;
  readonly operation: string;
  readonly profile: string;
  readonly shardBytes: number;
  /** Data bytes (k blocks) a second, in MB (10^6): the median. */
  readonly mbPerS: number;
  readonly spread: Spread;
}

/** One core, one call after the other, blocks side by side in one buffer as the engine lays them out. */
export async function benchCodecs({ isQuick }: { isQuick: boolean }): Promise<BenchReport> {
  const codec = await createPackageCodec();
  const pace = { rounds: 5, roundMs: isQuick ? 60 : 400 };
  const results = blockSizes.flatMap((blockBytes) => benchCodec(codec, blockBytes, pace));
  const text = renderRows(results, [
    ['codec, RS 4+2', ({ codec, operation }) => `${codec}: ${operation}`],
    ['block', ({ shardBytes }) => `${shardBytes / 1024} KiB`],
    ['MB/s of data', ({ spread }) => renderSpread(spread)],
  ]);
  return { text, rows: results };
}

function benchCodec(codec: ErasureCodec, blockBytes: number, pace: { rounds: number; roundMs: number }): CodecRow[] {
  const row = randomBytes((k + m) * blockBytes);
  const blocks = Array.from({ length: k + m }, (_, index) =>
    row.subarray(index * blockBytes, (index + 1) * blockBytes),
  );
  const data = blocks.slice(0, k);
  const parity = blocks.slice(k);
  codec.encode(data, parity);
  const without = (...lost: number[]): (Uint8Array | undefined)[] =>
    blocks.map((block, index) => (lost.includes(index) ? undefined : block));
  const [lostOne, lostTwo] = [without(0), without(0, 3)];
  const calls: Record<string, () => void> = {
    encode: () => codec.encode(data, parity),
    'reconstruct, 1 data block lost': () => codec.reconstruct(lostOne, k, [0]),
    'reconstruct, 2 data blocks lost': () => codec.reconstruct(lostTwo, k, [0, 3]),
  };
  return Object.entries(calls).map(([operation, run]) => {
    const spread = measure(run, k * blockBytes, pace);
    const profile = `${k}+${m}`;
    return { codec: codec.name, operation, profile, shardBytes: blockBytes, mbPerS: spread.median, spread };
  });
}

function measure(run: () => void, bytes: number, { rounds, roundMs }: { rounds: number; roundMs: number }): Spread {
  repeat(run, roundMs / 2); // Warm-up: the engine compiles what runs often.
  return summarize(Array.from({ length: rounds }, () => (repeat(run, roundMs) * bytes) / 1e6));
}

/** @returns calls a second */
function repeat(run: () => void, durationMs: number): number {
  const startedAtMs = performance.now();
  let calls = 0;
  let elapsedMs = 0;
  do {
    run();
    calls++;
    elapsedMs = performance.now() - startedAtMs;
  } while (elapsedMs < durationMs);
  return (calls * 1000) / elapsedMs;
}
