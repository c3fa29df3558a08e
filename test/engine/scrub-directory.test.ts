import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { PlacedShard, ProviderId, ShardCid } from '../../core/model.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { listSegmentFiles, listShardFiles, providerPath } from '../harness/shard-files.ts';
import { assertStatusIsTrue, createWorld, listStripes, providerOf, type UpkeepWorld } from '../upkeep/upkeep-world.ts';
import { get, hourMs, listCids, never, put, readMetric, verifyShards } from './engine-harness.ts';

const MiB = 2 ** 20;

describe('scrub over directories', () => {
  let folder: string;
  let world: UpkeepWorld;
  const opened: Provider[] = [];
  const objects = new Map<string, Uint8Array>();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-scrub-'));
    const openProvider = async (id: ProviderId): Promise<Provider> => {
      const provider = await openDirectoryProvider({ id, path: providerPath(folder, id) });
      opened.push(provider);
      return provider;
    };
    world = await createWorld({ openProvider, timeoutMs: 20_000, limits: { orphanAgeMs: 24 * hourMs } });
    for (let n = 0; n < 24; n++) {
      const bytes = patternBytes(n < 3 ? 3 * MiB : 20_000 + n, `${n}`);
      objects.set(`key-${n}`, bytes);
      await put(world, `key-${n}`, bytes);
    }
  });
  after(async () => {
    await world.close();
    for (const provider of opened) await provider.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function shardsAt(id: string): Promise<{ shard: PlacedShard; bytes: number }[]> {
    return (await listStripes(world)).flatMap((stripe) =>
      stripe.shards
        .filter(({ providerId }) => providerId === id)
        .map((shard) => ({ shard, bytes: shardBytes(stripe, shard.index) })),
    );
  }

  /** Turns a bit over in the middle of a shard where it lies in the file. */
  async function flipInFile(path: string, shard: Uint8Array): Promise<void> {
    const at = (await readFile(path)).indexOf(shard);
    assert.ok(at >= 0, 'the shard lies in the file');
    const file = await open(path, 'r+');
    const place = at + Math.floor(shard.length / 2);
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, place);
    buffer[0]! ^= 16;
    await file.write(buffer, 0, 1, place);
    await file.close();
  }

  const isInSegment = async (id: string, cid: ShardCid): Promise<boolean> =>
    !(await listShardFiles(folder, id)).some((path) => path.endsWith(cid));

  async function readWhole(id: string, { cid }: PlacedShard, bytes: number): Promise<Uint8Array> {
    return providerOf(world, id as ProviderId).readShard(cid, 0, bytes);
  }

  /** Damage of one kind for each provider, never more than two of a stripe. Returns what is damaged. */
  async function plant(): Promise<Set<ShardCid>> {
    const damaged = new Set<ShardCid>();
    // A bit in a segment, and one in a file.
    const [flippedSegment] = await listSegmentFiles(folder, 'p0');
    for (const { shard, bytes } of await shardsAt('p0')) {
      const isSmall = await isInSegment('p0', shard.cid);
      if (damaged.size > 1) break;
      const path = isSmall ? flippedSegment! : (await listShardFiles(folder, 'p0')).find((p) => p.endsWith(shard.cid))!;
      if (isSmall && damaged.size === 0) continue;
      await flipInFile(path, await readWhole('p0', shard, bytes));
      damaged.add(shard.cid);
    }
    assert.equal(damaged.size, 2);
    // A segment without its end, and a file that is gone.
    const [cutSegment] = await listSegmentFiles(folder, 'p1');
    const whole = await readFile(cutSegment!);
    const ends: [number, ShardCid, number][] = [];
    for (const { shard, bytes } of await shardsAt('p1')) {
      if (!(await isInSegment('p1', shard.cid))) continue;
      const at = whole.indexOf(await readWhole('p1', shard, bytes));
      if (at >= 0) ends.push([at + bytes, shard.cid, bytes]);
    }
    ends.sort(([a], [b]) => a - b);
    assert.ok(ends.length > 3);
    const cut = ends.splice(Math.floor(ends.length / 2));
    // In the middle of a shard: its end is zeros, as is what later writes leave between the cut and themselves.
    const [end, , bytes] = cut[0]!;
    await truncate(cutSegment!, end - Math.floor(bytes / 2));
    for (const [, cid] of cut) damaged.add(cid);
    const [gone] = await listShardFiles(folder, 'p1');
    const name = gone!.slice(gone!.lastIndexOf('/') + 1) as ShardCid;
    await rm(gone!);
    damaged.add(name);
    return damaged;
  }

  it('finds what was planted in segments and files, and repair mends it', async () => {
    const damaged = await plant();
    assert.ok(damaged.size >= 4);
    // What a provider that is well fails to read is given up after three tries in ten minutes: the segment says that it is there.
    // Failures in a row make it suspect, and then the rest is put off to a later round.
    let lost: ShardCid[] = [];
    for (let round = 0; round < 12 && lost.length < damaged.size; round++) {
      await world.upkeep.scrub(never);
      world.clock.nowMs += 400_000;
      lost = (await listStripes(world)).flatMap(({ lostShards = [] }) => lostShards.map(({ cid }) => cid));
    }
    assert.deepEqual(new Set(lost), damaged);
    await assertStatusIsTrue(world, 'after scrub');
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, damaged.size);
    for (const [key, bytes] of objects) {
      await verifyShards(world, key);
      assert.ok((await get(world, key)).equals(bytes), key);
    }
    await assertStatusIsTrue(world, 'after repair');
    const before = await readMetric(world.metrics.scrubbedShards, { outcome: 'good' });
    await world.upkeep.scrub(never);
    const { shards, behind } = await world.upkeep.readScrubProgress();
    const stored = (await listStripes(world)).reduce((sum, stripe) => sum + stripe.shards.length, 0);
    assert.equal(shards.good, before + stored);
    assert.equal(shards.missing + shards.corrupt, damaged.size);
    assert.deepEqual(behind, []);
  });

  it('has shards that no stripe knows deleted once they are old', async () => {
    const provider = providerOf(world, 'p2' as ProviderId);
    const before = await listCids(provider);
    const { shard, bytes } = (await shardsAt('p3'))[0]!;
    // A shard of another provider, and one that is nobody's.
    await provider.putShard(shard.cid, [await readWhole('p3', shard, bytes)]);
    await provider.putShard('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy' as ShardCid, [
      new Uint8Array(99),
    ]);
    await world.upkeep.collectOrphans(never);
    assert.equal((await listCids(provider)).length, before.length + 2, 'they are young');
    world.clock.nowMs += 25 * hourMs;
    await world.upkeep.collectOrphans(never);
    assert.deepEqual((await listCids(provider)).sort(), before.sort());
    assert.equal(await readMetric(world.metrics.shardsCollected, { cause: 'orphan' }), 2);
  });
});
