import { randomBytes } from 'node:crypto';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { createPackageCodec } from '../erasure/package-codec.ts';
import { type Spread, summarize } from './statistics.ts';

const k = 4;
const m = 2;
const blockSizes = [64 * 1024, 256 * 1024, 1024 * 1024] as const;

export interface CodecResult {
  readonly codec: string;
  readonly call: string;
  readonly blockBytes: number;
  /** Data bytes (k blocks) a second, in MB (10^6). */
  readonly megabytesPerSecond: Spread;
}

/** One core, one call after the other, blocks side by side in one buffer as the engine lays them out. */
export async function benchCodecs(pace: { rounds: number; roundMs: number }): Promise<CodecResult[]> {
  const codec = await createPackageCodec();
  return blockSizes.flatMap((blockBytes) => benchCodec(codec, blockBytes, pace));
}

function benchCodec(codec: ErasureCodec, blockBytes: number, pace: { rounds: number; roundMs: number }): CodecResult[] {
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
  return Object.entries(calls).map(([call, run]) => ({
    codec: codec.name,
    call,
    blockBytes,
    megabytesPerSecond: measure(run, k * blockBytes, pace),
  }));
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
