import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Stripe } from '../../core/model.ts';
import { storedBlockBytes } from '../../erasure/geometry.ts';
import { digestBlock, encodeShardFooter, encodeShardHeader, shardCid } from '../../erasure/shard-format.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { createBucket, get, never, ownerId, put, RecoveryWorld, readEverything } from './recovery-harness.ts';

/** A provider that keeps a root of its own choosing. */
class RootLiar extends WrappedProvider {
  readonly #root: Uint8Array | undefined;

  constructor(provider: Provider, root: Uint8Array | undefined) {
    super(provider);
    this.#root = root;
  }

  override async readRoot(): Promise<Uint8Array | undefined> {
    return this.#root;
  }

  protected run<T>(_call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    return work(signal);
  }
}

describe('recovery from providers of which up to m lie', () => {
  it('believes the newest root, whatever others say', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    const oldRoot = await world.providers[0]!.readRoot();
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.runOnce();
    await live.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    await live.journal.runOnce({ isSnapshotDue: true });
    const before = await readEverything(live);
    await world.lose(live);
    const providers = world.providers.map((provider, index) => {
      if (index === 0) return new RootLiar(provider, oldRoot);
      return index === 1 ? new RootLiar(provider, randomBytes(500)) : provider;
    });
    const { metadata, report } = await world.recover({ providers });
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('believes the root of the recovered gateway, also where its clock is behind that of the lost one', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.runOnce();
    const lastNumber = live.metadata.drawNumber();
    await world.lose(live);
    world.clock.nowMs -= 3_600_000;
    const [absent, ...present] = world.providers;
    const { metadata } = await world.recover({ providers: present });
    assert.ok(metadata.drawNumber() > lastNumber);
    const next = await world.start(metadata);
    absent!.faults.always('writeRoot', 'error');
    await next.engine.objects.delete({ bucket: 'first', key: 'a', ownerId, nowMs: world.clock.now() });
    await next.journal.runOnce();
    const before = await readEverything(next);
    await world.lose(next);
    const again = await world.recover();
    assert.deepEqual(again.report.problems, []);
    assert.deepEqual(await readEverything(await world.start(again.metadata)), before);
  });

  it('rebuilds batches, chunks and manifests from parity', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    for (let index = 0; index < 10; index++) await put(live, 'first', `key ${index}`, randomBytes(2_000 * index));
    await live.journal.runOnce({ isSnapshotDue: true });
    for (let index = 0; index < 10; index++) await put(live, 'first', `more ${index}`, randomBytes(2_000 * index));
    await createBucket(live, 'second');
    const before = await readEverything(live);
    await world.lose(live);
    for (const liars of [
      [0, 1],
      [2, 3],
      [4, 5],
    ]) {
      for (const [index, provider] of world.providers.entries()) {
        provider.faults.clear();
        if (liars.includes(index)) provider.faults.always('readShard', 'flip');
      }
      const { metadata, report } = await world.recover();
      assert.deepEqual(report.problems, []);
      assert.deepEqual(await readEverything(await world.start(metadata)), before);
    }
  });

  it('tells the shards of a stripe that no metadata name from those that two providers made up', async () => {
    const codec = createWasmCodec();
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    await put(live, 'first', 'small', 'a small object');
    await put(live, 'first', 'large', randomBytes(900_000));
    const before = await readEverything(live);
    const stripes: Stripe[] = [];
    for (const key of ['small', 'large']) {
      const { version } = await live.engine.objects.open({ bucket: 'first', key });
      const ids = version.spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId));
      stripes.push(...(await live.metadata.findStripes(ids)).values());
    }
    await world.lose(live);
    // Two providers invent a stripe of the same id and geometry, and show its shards in place of theirs.
    for (const stripe of stripes) {
      const { k, m, blockBytes, id: stripeId, profileName, dataBytes } = stripe;
      assert.ok(dataBytes <= k * blockBytes);
      const data = Array.from({ length: k }, () => randomBytes(storedBlockBytes(stripe, 0, 0)));
      for (let index = 0; index < k; index++) data[index]!.fill(0, storedBlockBytes(stripe, index, 0));
      const parity = Array.from({ length: m }, () => Buffer.alloc(data[0]!.length));
      codec.encode(data, parity);
      for (const { index, providerId, cid } of stripe.shards.slice(-2)) {
        const block = [...data, ...parity][index]!.subarray(0, storedBlockBytes(stripe, index, 0));
        const identity = { stripeId, profileName, k, m, index, blockBytes };
        const header = encodeShardHeader(identity);
        const footer = encodeShardFooter(identity, stripe, [digestBlock(block)]);
        const liar = world.providers.find(({ id }) => id === providerId)!;
        await liar.deleteShard(cid);
        await liar.putShard(shardCid(header, footer), [header, block, footer]);
      }
    }
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.equal(report.manifests.versions, 2);
    const after = await world.start(metadata);
    assert.deepEqual(await readEverything(after), before);
    await after.upkeep.runOnce();
    const { findings, lostCount, atRiskCount } = await after.verify({ isDeep: true, onProgress: () => {} }, never);
    assert.deepEqual({ findings, lostCount, atRiskCount }, { findings: {}, lostCount: 0, atRiskCount: 0 });
  });

  it('is not misled by providers that claim to have what others have', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    await put(live, 'first', 'a', randomBytes(300_000));
    const before = await readEverything(live);
    await world.lose(live);
    for (const liar of [world.providers[0]!, world.providers[5]!]) {
      for (const provider of world.providers) {
        for (const { cid, bytes } of (await provider.listShards(undefined, 1_000)).shards) {
          // Header and footer are right, and all in between is not.
          const shard = await provider.readShard(cid, 0, bytes);
          shard.fill(0, 64, 96);
          await liar.putShard(cid, [shard]);
        }
      }
    }
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.deepEqual(await readEverything(await world.start(metadata)), before);
  });

  it('finds shards that were moved since the journal said where they are', async () => {
    const world = new RecoveryWorld({ providerCount: 9 });
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'a', 'bytes of a');
    await live.journal.runOnce({ isSnapshotDue: true });
    await world.lose(live);
    // Three more than a stripe needs: each provider's shards go to the next but three.
    const shards = await Promise.all(
      world.providers.map(async (provider) => (await provider.listShards(undefined, 1_000)).shards),
    );
    for (const [index, listed] of shards.entries()) {
      for (const { cid, bytes } of listed) {
        const from = world.providers[index]!;
        await world.providers[(index + 3) % 9]!.putShard(cid, [await from.readShard(cid, 0, bytes)]);
        await from.deleteShard(cid);
      }
    }
    const { metadata, report } = await world.recover();
    assert.deepEqual(report.problems, []);
    assert.equal(report.imported.versions, 1);
    assert.ok((await metadata.listSystemObjects()).length > 0);
  });

  it('says what is missing where more than m providers are gone, and recovers the rest', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await put(live, 'first', 'old', 'bytes of old');
    await live.journal.runOnce();
    await put(live, 'first', 'lost', randomBytes(300_000));
    await world.lose(live);
    const recent = await Promise.all(
      world.providers.map(async (provider) => (await provider.listShards(undefined, 1_000)).shards),
    );
    // Of the large object's stripe so much is lost that it cannot be read; its manifest may be readable or not.
    for (const [index, listed] of recent.entries()) {
      if (index < 3)
        for (const { cid, bytes } of listed) if (bytes > 50_000) await world.providers[index]!.deleteShard(cid);
    }
    const { metadata } = await world.recover();
    const after = await world.start(metadata);
    assert.equal(await get(after, 'first', 'old'), 'bytes of old');
    await assert.rejects(get(after, 'first', 'lost'));
  });

  it('names a batch that nothing can rebuild, and falls back on what is older', async () => {
    const world = new RecoveryWorld();
    const live = await world.start();
    await createBucket(live, 'first');
    await live.journal.runOnce();
    const rootsBefore = await Promise.all(world.providers.map((provider) => provider.readRoot()));
    const known = new Set<string>();
    for (const provider of world.providers)
      for (const { cid } of (await provider.listShards(undefined, 1_000)).shards) known.add(cid);
    await createBucket(live, 'second');
    await live.journal.runOnce();
    await world.lose(live);
    for (const [index, provider] of world.providers.entries()) {
      // Half of the providers missed the last root; and the batch that it points to is gone.
      if (index % 2 === 0) await provider.writeRoot(rootsBefore[index]!);
      for (const { cid } of (await provider.listShards(undefined, 1_000)).shards) {
        if (!known.has(cid)) await provider.deleteShard(cid);
      }
    }
    const { metadata, report } = await world.recover();
    assert.equal(report.problems.length, 1);
    assert.match(report.problems[0]!, /batch "journal \d+" of the journal leads nowhere/);
    assert.deepEqual(Object.keys(await readEverything(await world.start(metadata))), ['first']);
  });
});
