import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { forEachBounded } from '../core/for-each-bounded.ts';
import type { ProviderId, Stripe } from '../core/model.ts';
import { shardBytes } from '../erasure/shard-format.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import { never, put, readMetric } from '../test/engine/engine-harness.ts';
import { createMovingWorld, type MovingWorld } from '../test/engine/moving-harness.ts';
import { patternBytes } from '../test/harness/pattern-bytes.ts';
import { listShardFiles, providerPath } from '../test/harness/shard-files.ts';
import type { BenchReport } from './bench-command.ts';
import { renderRows } from './render-table.ts';

const mebibyte = 2 ** 20;
const pieceBytes = mebibyte;
/** As many files are copied at once as shards are moved. */
const width = 4;

interface Sample {
  readonly name: string;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Repair and drain as fast as they can be done, over directories on one disk, beside a raw copy of the same bytes on the same disk:
 * files read in pieces, written, and flushed each. Clients are silent.
 */
export async function benchUpkeep({ folder, isQuick }: { folder: string; isQuick: boolean }): Promise<BenchReport> {
  await using opened = new AsyncDisposableStack();
  const root = await mkdtemp(join(folder, 'bench-upkeep-'));
  opened.defer(() => rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const world = await createMovingWorld({
    providerCount: 8,
    timeoutMs: 60_000,
    limits: { rebalanceSkew: 0 },
    openProvider: async (id) => {
      // All as files, so that those are all its bytes.
      const provider = await openDirectoryProvider({ id, path: providerPath(root, id), segmentShardBytes: 0 });
      opened.defer(() => provider.close());
      return provider;
    },
  });
  opened.defer(() => world.close());
  const objects = isQuick ? 8 : 48;
  for (let n = 0; n < objects; n++) await put(world, `object-${n}`, patternBytes(16 * mebibyte, `${n}`));
  const samples = [
    await copyRaw(root, 'p0'),
    await drain(world, 'p0'),
    await copyRaw(root, 'p1'),
    await repair(world, 'p1'),
    await copyRaw(root, 'p2'),
  ];
  const text = renderRows(samples, [
    ['work', ({ name }) => name],
    ['MiB', ({ bytes }) => (bytes / mebibyte).toFixed(0)],
    ['s', ({ seconds }) => seconds.toFixed(2)],
    ['MB/s', ({ bytes, seconds }) => (bytes / 1e6 / seconds).toFixed(0)],
  ]);
  return { text, rows: samples };
}

async function drain(world: MovingWorld, id: string): Promise<Sample> {
  await world.change({ [id]: 'draining' });
  const startedAtMs = performance.now();
  await world.upkeep.moveShards(never);
  const seconds = (performance.now() - startedAtMs) / 1000;
  const left = (await world.countHeld()).get(id as ProviderId);
  if (left !== 0) throw new Error(`${left} shards are left at ${id}`);
  return { name: `drain of ${id}`, bytes: await readMetric(world.metrics.movedBytes), seconds };
}

async function repair(world: MovingWorld, id: string): Promise<Sample> {
  const bytes = (await world.listStripes()).reduce((sum, stripe) => sum + bytesAt(stripe, id), 0);
  await world.change({ [id]: 'gone' });
  const startedAtMs = performance.now();
  await world.upkeep.runOnce();
  const seconds = (performance.now() - startedAtMs) / 1000;
  const rebuilt = await readMetric(world.metrics.repairedBytes);
  if (rebuilt < bytes) throw new Error(`${rebuilt} of ${bytes} bytes were rebuilt`);
  return { name: `repair of what ${id} held`, bytes, seconds };
}

function bytesAt(stripe: Stripe, id: string): number {
  const shard = stripe.shards.find(({ providerId }) => providerId === id);
  return shard === undefined ? 0 : shardBytes(stripe, shard.index);
}

/** Copies the shards that a provider keeps as files. */
async function copyRaw(root: string, id: string): Promise<Sample> {
  const target = await mkdtemp(join(root, 'raw-'));
  const paths = await listShardFiles(root, id);
  let bytes = 0;
  const startedAtMs = performance.now();
  await forEachBounded(paths.entries(), width, async ([number, path]) => {
    const length = await copyFlushed(path, join(target, String(number)));
    bytes += length;
  });
  const seconds = (performance.now() - startedAtMs) / 1000;
  await rm(target, { recursive: true });
  return { name: `raw copy of ${id}'s files`, bytes, seconds };
}

async function copyFlushed(path: string, target: string): Promise<number> {
  await using source = await open(path, 'r');
  await using copy = await open(target, 'wx');
  const piece = Buffer.alloc(pieceBytes);
  let bytes = 0;
  for (;;) {
    const { bytesRead } = await source.read(piece, 0, pieceBytes);
    if (bytesRead === 0) break;
    await copy.write(piece, 0, bytesRead);
    bytes += bytesRead;
  }
  await copy.sync();
  return bytes;
}
