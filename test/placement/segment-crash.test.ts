import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { DurableStep } from '../../core/durable-steps.ts';
import type { ShardCid } from '../../core/model.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { onDurableStep } from './durable-step-listener.ts';
import { listAll, nameOf } from './provider-conformance.ts';
import { put, reclaimAll, removeIndex, SegmentFolder } from './segment-harness.ts';

/** What callers know of a shard. */
type Knowledge = 'storing' | 'stored' | 'deleting' | 'deleted';

/** What was left at one moment, and what callers knew then. */
interface Moment {
  readonly step: DurableStep;
  readonly path: string;
  readonly known: ReadonlyMap<ShardCid, Knowledge>;
}

describe('a crash of a directory provider at any durable step', () => {
  let folder: SegmentFolder;
  beforeEach(async () => {
    folder = await SegmentFolder.create();
  });
  afterEach(() => folder.dispose());
  const options = { segmentBytes: 12_000 };

  it('keeps every shard that was stored, deletes that were done, and nothing torn, whatever becomes of the index', async () => {
    const bytesOf = new Map<ShardCid, Buffer>();
    const known = new Map<ShardCid, Knowledge>();
    const moments: Moment[] = [];
    let provider = await folder.open(options);
    let steps = 0;
    const stop = onDurableStep((step) => {
      // Some of the steps that come all the time, and all of the others.
      const isFrequent = step === 'segment-appended' || step === 'segment-flushed' || step === 'index-saved';
      if (isFrequent && steps++ % 4 !== 0) return;
      moments.push({ step, path: folder.copy(), known: new Map(known) });
    });
    const store = async (bytes: Buffer) => {
      bytesOf.set(nameOf(bytes), bytes);
      known.set(nameOf(bytes), 'storing');
      await put(provider, bytes);
      known.set(nameOf(bytes), 'stored');
    };
    const remove = async (cid: ShardCid) => {
      known.set(cid, 'deleting');
      await provider.deleteShard(cid);
      known.set(cid, 'deleted');
    };
    for (let round = 0; round < 6; round++) {
      const shards = Array.from({ length: 16 }, (_, i) => patternBytes(500 + 10 * i, `crash ${round} ${i}`));
      await Promise.all(shards.map(store));
      const stored = [...known].filter(([, knowledge]) => knowledge === 'stored').map(([cid]) => cid);
      await Promise.all([
        ...stored.filter((_, i) => i % 5 !== round % 5).map(remove),
        ...Array.from({ length: 4 }, (_, i) => store(patternBytes(300, `crash more ${round} ${i}`))),
      ]);
      await reclaimAll(provider);
      if (round % 2 === 1) {
        await provider.close();
        provider = await folder.open(options);
      }
    }
    stop();
    const seen = new Set(moments.map(({ step }) => step));
    for (const step of ['segment-created', 'segment-emptied', 'segment-unlinked', 'index-saved'] as const) {
      assert.ok(seen.has(step), `${step} was never reached`);
    }
    for (const { step, path, known: then } of moments) {
      const withoutIndex = await copyOf(folder, path);
      await removeIndex(withoutIndex);
      for (const [name, each] of [
        ['with the index', path],
        ['without the index', withoutIndex],
      ] as const) {
        await assertKnown(await folder.open(options, each), bytesOf, then, `after ${step}, ${name}`);
        const again = await folder.open(options, each);
        await reclaimAll(again);
        await assertKnown(again, bytesOf, then, `after ${step}, ${name}, and reclaim`);
        await again.close();
        await rm(each, { recursive: true });
      }
    }
  });

  it('lets readers go on while segments are emptied', async () => {
    const provider = await folder.open({ segmentBytes: 100_000 });
    const shards = Array.from({ length: 400 }, (_, i) => patternBytes(2000, `readers ${i}`));
    await Promise.all(shards.map((bytes) => put(provider, bytes)));
    const live = shards.filter((_, i) => i % 3 === 0);
    let isDone = false;
    let reads = 0;
    const readers = Array.from({ length: 8 }, async (_, reader) => {
      for (let i = reader; !isDone || reads < 500; i++) {
        const bytes = live[(i * 37) % live.length]!;
        const offset = (i * 13) % 1000;
        const read = await provider.readShard(nameOf(bytes), offset, 1000);
        assert.ok(bytes.subarray(offset, offset + 1000).equals(read));
        reads++;
      }
    });
    const deletes = shards.filter((_, i) => i % 3 !== 0).map((bytes) => provider.deleteShard(nameOf(bytes)));
    const before = new Set((await folder.segmentSizes()).keys());
    await Promise.all(deletes);
    await reclaimAll(provider);
    isDone = true;
    await Promise.all(readers);
    const after = [...(await folder.segmentSizes()).keys()];
    assert.ok(after.filter((name) => before.has(name)).length < before.size / 2, 'few segments were emptied');
    assert.equal((await listAll(provider, 100)).length, live.length);
  });

  it('deletes a shard for good also while reclaim is moving it', async () => {
    const provider = await folder.open({ segmentBytes: 50_000 });
    const shards = Array.from({ length: 200 }, (_, i) => patternBytes(1000, `moving ${i}`));
    await Promise.all(shards.map((bytes) => put(provider, bytes)));
    for (const [i, bytes] of shards.entries()) if (i % 2 === 0) await provider.deleteShard(nameOf(bytes));
    const moving = reclaimAll(provider);
    // Deletes that come between the reading of a record and the flush of its copy.
    const stop = onDurableStep((step) => {
      if (step !== 'segment-appended') return;
      for (const [i, bytes] of shards.entries()) if (i % 4 === 1) void provider.deleteShard(nameOf(bytes));
    });
    await moving;
    stop();
    for (const [i, bytes] of shards.entries()) if (i % 4 === 1) await provider.deleteShard(nameOf(bytes));
    const left = shards.filter((_, i) => i % 4 === 3).map(nameOf);
    const names = async (each: Provider) => (await listAll(each, 50)).map(({ cid }) => cid).sort();
    assert.deepEqual(await names(provider), left.toSorted());
    await provider.close();
    await removeIndex(folder.path);
    assert.deepEqual(await names(await folder.open()), left.toSorted());
  });
});

async function copyOf(folder: SegmentFolder, path: string): Promise<string> {
  const { cp } = await import('node:fs/promises');
  const target = `${path}-bare`;
  assert.ok(target.startsWith(folder.root));
  await cp(path, target, { recursive: true });
  return target;
}

async function assertKnown(
  provider: Provider,
  bytesOf: ReadonlyMap<ShardCid, Buffer>,
  known: ReadonlyMap<ShardCid, Knowledge>,
  message: string,
): Promise<void> {
  const listed = new Set((await listAll(provider, 1000)).map(({ cid }) => cid));
  for (const cid of listed) {
    const bytes = bytesOf.get(cid);
    assert.ok(bytes !== undefined && known.get(cid) !== undefined, `a shard that nobody wrote ${message}`);
    assert.ok(bytes.equals(await provider.readShard(cid, 0, bytes.length)), `a shard is torn ${message}`);
  }
  for (const [cid, knowledge] of known) {
    if (knowledge === 'stored') assert.ok(listed.has(cid), `a shard is lost ${message}`);
    if (knowledge === 'deleted') assert.ok(!listed.has(cid), `a deleted shard is back ${message}`);
  }
}
