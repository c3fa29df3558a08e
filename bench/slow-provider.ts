import { systemClock } from '../core/clock.ts';
import { silentLog } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import type { ProviderId } from '../core/model.ts';
import { MasterKey } from '../crypto/master-key.ts';
import { createEngine } from '../engine/create-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { createWasmCodec } from '../erasure/wasm-codec.ts';
import { openMemoryStore } from '../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../placement/fleet.ts';
import { ProviderHealth } from '../placement/provider-health.ts';
import { createMemoryProvider } from '../placement/providers/memory-provider.ts';
import { withDeadline } from '../placement/providers/with-deadline.ts';
import { withObservation } from '../placement/providers/with-observation.ts';
import { Random } from '../test/crash/random.ts';
import { memberOf } from '../test/harness/member-of.ts';
import { patternBytes } from '../test/harness/pattern-bytes.ts';
import type { BenchReport } from './bench-command.ts';
import { DelayedProvider } from './delayed-provider.ts';
import { type Column, renderRows } from './render-table.ts';
import { quantile } from './statistics.ts';

/** Long beside what a busy machine adds. */
const baseMs = 50;
const slowFactor = 10;
const providerCount = 6;
const bucket = 'bench';
const ownerId = 'a'.repeat(64);

interface ReadCase {
  readonly name: string;
  readonly bytes: number;
  readonly objects: number;
  readonly clients: number;
  readonly reads: number;
}

/** Small objects lie in one block each, of packs that they share; of a large one, blocks of four providers are needed. */
const cases: readonly ReadCase[] = [
  { name: 'get-4KiB-16', bytes: 4 * 1024, objects: 400, clients: 16, reads: 6_000 },
  { name: 'get-900KiB-4', bytes: 900 * 1024, objects: 40, clients: 4, reads: 2_000 },
];

/** `none`: blocks are waited for, whoever holds them, and are only rebuilt when a call fails. */
type Hedging = 'by p95' | 'none';

interface Bench {
  readonly engine: Engine;
  readonly metrics: Metrics;
  readonly providers: readonly DelayedProvider[];
  close(): Promise<void>;
}

interface Measured {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly callsPerRead: number;
}

interface SlowProviderRow {
  readonly case: string;
  readonly hedging: Hedging;
  readonly healthy: Measured;
  readonly slow: Measured;
  readonly p99Ratio: number;
}

const columns: readonly Column<SlowProviderRow>[] = [
  ['case', (row) => row.case],
  ['hedging', (row) => row.hedging],
  ['healthy p50 ms', ({ healthy }) => healthy.p50Ms.toFixed(1)],
  ['p99 ms', ({ healthy }) => healthy.p99Ms.toFixed(1)],
  ['one slow: p50 ms', ({ slow }) => slow.p50Ms.toFixed(1)],
  ['p99 ms', ({ slow }) => slow.p99Ms.toFixed(1)],
  ['p99 slow / healthy', ({ p99Ratio }) => p99Ratio.toFixed(2)],
  ['calls a GET, healthy', ({ healthy }) => healthy.callsPerRead.toFixed(2)],
  ['one slow', ({ slow }) => slow.callsPerRead.toFixed(2)],
];

/**
 * What one slow provider of six does to GET, with hedging and without: the engine over providers in memory, whose calls take a
 * log-normal time around 50 ms, of one of them ten times as long. Objects are coded 4+2. The slow phase begins at the moment at which
 * the provider turns slow, and so has in it what it takes to find out.
 */
export async function benchSlowProvider({ isQuick, seed }: { isQuick: boolean; seed: number }): Promise<BenchReport> {
  const rows: SlowProviderRow[] = [];
  for (const one of cases) {
    const readCase = { ...one, reads: isQuick ? one.reads / 4 : one.reads };
    for (const hedging of ['by p95', 'none'] as const) {
      const { healthy, slow } = await measureCase(readCase, hedging, seed);
      rows.push({ case: readCase.name, hedging, healthy, slow, p99Ratio: slow.p99Ms / healthy.p99Ms });
    }
  }
  return { text: renderRows(rows, columns), rows };
}

async function measureCase(
  readCase: ReadCase,
  hedging: Hedging,
  seed: number,
): Promise<{ healthy: Measured; slow: Measured }> {
  const bench = await openBench(hedging, seed);
  try {
    await store(bench.engine, readCase);
    for (const provider of bench.providers) provider.medianMs = baseMs;
    const random = new Random(seed);
    // Code gets warm, and the usual times known.
    await measureReads(bench, { ...readCase, reads: Math.min(readCase.reads, 500) }, random);
    const healthy = await measureReads(bench, readCase, random);
    bench.providers[0]!.medianMs = baseMs * slowFactor;
    const slow = await measureReads(bench, readCase, random);
    return { healthy, slow };
  } finally {
    await bench.close();
  }
}

async function openBench(hedging: Hedging, seed: number): Promise<Bench> {
  const clock = systemClock;
  const metrics = new Metrics();
  const health = new ProviderHealth({ clock, suspectMs: 10_000 });
  // Where nobody is told how fast providers are, no block is ever late.
  const told = hedging === 'none' ? new ProviderHealth({ clock, suspectMs: 10_000 }) : health;
  const providers = Array.from({ length: providerCount }, (_, index) => {
    const id = `p${index}` as ProviderId;
    return new DelayedProvider(createMemoryProvider({ id }), new Random(seed + index));
  });
  const members = providers.map((provider) =>
    memberOf(withObservation(withDeadline(provider, { timeoutMs: 15_000 }), { metrics, health: told })),
  );
  const metadata = await openMemoryStore({ clock, log: silentLog });
  const { engine, upkeep } = createEngine({
    metadata,
    fleet: new Fleet({ members, health }),
    codec: createWasmCodec(),
    profiles: [{ name: 'STANDARD', k: 4, m: 2 }],
    clock,
    log: silentLog,
    metrics,
    masterKey: new MasterKey(Buffer.alloc(32, 'bench')),
    // What is read again is to be read from providers.
    limits: { pieceCacheBytes: 0, ...(hedging === 'none' && { hedgeMs: 60_000 }) },
  });
  const close = async (): Promise<void> => {
    await upkeep.stop();
    await metadata.close();
  };
  return { engine, metrics, providers, close };
}

async function store(engine: Engine, { bytes, objects }: ReadCase): Promise<void> {
  await engine.buckets.create({ name: bucket, ownerId, region: 'us-east-1', createdAtMs: Date.now() });
  const attributes = { headers: {}, userMetadata: {}, tags: {}, storageClass: 'STANDARD' };
  const put = async (index: number): Promise<void> => {
    const content = patternBytes(bytes, index);
    const payload = {
      bytes: (async function* () {
        yield new Uint8Array(content);
      })(),
      sizeBytes: bytes,
      checksumAlgorithm: undefined,
      declaredDigests: () => ({}),
    };
    await engine.objects.put(
      { bucket, key: `key ${index}`, ownerId, payload, attributes },
      new AbortController().signal,
    );
  };
  await Promise.all(Array.from({ length: objects }, (_, index) => put(index)));
}

/** A closed loop: each client reads a random object, and when it has it, the next. */
async function measureReads(
  { engine, providers }: Bench,
  { bytes, objects, clients, reads }: ReadCase,
  random: Random,
): Promise<Measured> {
  const countCalls = (): number => providers.reduce((sum, { readCalls }) => sum + readCalls, 0);
  const callsBefore = countCalls();
  const times: number[] = [];
  let left = reads;
  const client = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const key = `key ${random.between(0, objects - 1)}`;
      const startedAtMs = performance.now();
      const object = await engine.objects.open({ bucket, key });
      let readBytes = 0;
      for await (const chunk of object.read(new AbortController().signal)) readBytes += chunk.length;
      if (readBytes !== bytes) throw new Error(`${key} has ${readBytes} bytes`);
      times.push(performance.now() - startedAtMs);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  times.sort((a, b) => a - b);
  return {
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
    callsPerRead: (countCalls() - callsBefore) / reads,
  };
}
