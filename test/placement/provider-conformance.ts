import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import { shardCid } from '../../erasure/shard-format.ts';
import { maxRootBytes, type Provider, type ShardStat } from '../../placement/providers/provider.ts';

/** A CID that fits the bytes, as far as a provider can know. */
export function nameOf(bytes: Uint8Array): ShardCid {
  return shardCid(new Uint8Array(0), bytes);
}

export async function storeShard(provider: Provider, bytes: Uint8Array, signal?: AbortSignal): Promise<ShardCid> {
  const cid = nameOf(bytes);
  const writer = await provider.createShard(signal);
  await writer.append([bytes]);
  await writer.commit(cid);
  return cid;
}

export async function listAll(provider: Provider, limit: number): Promise<(ShardStat & { cid: ShardCid })[]> {
  const shards: (ShardStat & { cid: ShardCid })[] = [];
  let cursor: string | undefined;
  do {
    const page = await provider.listShards(cursor, limit);
    assert.ok(page.shards.length <= limit, `${page.shards.length} shards in a page of ${limit}`);
    shards.push(...page.shards);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return shards;
}

/** In what a provider may differ from others without breaking the contract. */
export interface ProviderTraits {
  /** In what steps it tells the time of a commit; 50 ms at most unless given, since file systems have a few milliseconds. */
  readonly clockStepMs?: number;
  /** A shard that is put again is written again, and so has a new time. */
  readonly renewsTimes?: boolean;
}

/**
 * What every Provider must do; see placement/providers/provider.ts.
 *
 * @param make gives an empty provider with room for at least 16 MiB
 */
export function testProvider(
  name: string,
  make: () => Promise<{ provider: Provider; dispose?(): Promise<void> }>,
  { clockStepMs = 50, renewsTimes = false }: ProviderTraits = {},
): void {
  describe(`provider ${name}`, () => {
    let provider: Provider;
    let dispose: (() => Promise<void>) | undefined;
    beforeEach(async () => {
      ({ provider, dispose } = await make());
    });
    afterEach(async () => {
      await provider.close();
      await dispose?.();
    });
    const assertMissing = async (cid: ShardCid) => {
      const isMissing = (error: unknown) => isFailure(error, 'shard-missing') && error.detail.cid === cid;
      await assert.rejects(provider.readShard(cid, 0, 1), isMissing);
      await assert.rejects(provider.statShard(cid), isMissing);
      assert.deepEqual(
        (await listAll(provider, 100)).filter((shard) => shard.cid === cid),
        [],
      );
    };

    it('shows nothing of a shard before it is committed, and all of it after', async () => {
      const bytes = randomBytes(3000);
      const cid = nameOf(bytes);
      const writer = await provider.createShard();
      await assertMissing(cid);
      await writer.append([bytes.subarray(0, 1000)]);
      await writer.append([bytes.subarray(1000, 1001), bytes.subarray(1001)]);
      await assertMissing(cid);
      await writer.commit(cid);
      assert.deepEqual(Buffer.from(await provider.readShard(cid, 0, 3000)), bytes);
      assert.equal((await provider.statShard(cid)).bytes, 3000);
    });

    it('keeps what was appended when the caller reuses the buffers', async () => {
      const bytes = randomBytes(100_000);
      const writer = await provider.createShard();
      const buffer = Buffer.alloc(1000);
      for (let offset = 0; offset < bytes.length; offset += buffer.length) {
        bytes.copy(buffer, 0, offset);
        await writer.append([buffer.subarray(0, 10), buffer.subarray(10)]);
        buffer.fill(0);
      }
      await writer.commit(nameOf(bytes));
      assert.deepEqual(Buffer.from(await provider.readShard(nameOf(bytes), 0, bytes.length)), bytes);
    });

    it('takes bytes out of memory that threads share', async () => {
      for (const length of [3000, 270_000, 700_000]) {
        const bytes = Buffer.from(new SharedArrayBuffer(length + 5), 5).fill(randomBytes(length));
        const cid = nameOf(bytes);
        await provider.putShard(cid, [bytes.subarray(0, 64), bytes.subarray(64)]);
        assert.ok(Buffer.from(await provider.readShard(cid, 0, length)).equals(bytes));
        await provider.deleteShard(cid);
        await storeShard(provider, bytes);
        assert.ok(Buffer.from(await provider.readShard(cid, 0, length)).equals(bytes));
      }
    });

    it('takes many small buffers at once, and empty ones', async () => {
      const bytes = randomBytes(5000);
      const buffers = Array.from({ length: 2500 }, (_, i) => bytes.subarray(2 * i, 2 * i + 2));
      const writer = await provider.createShard();
      await writer.append([]);
      await writer.append([new Uint8Array(0), ...buffers, new Uint8Array(0)]);
      await writer.commit(nameOf(bytes));
      assert.deepEqual(Buffer.from(await provider.readShard(nameOf(bytes), 0, bytes.length)), bytes);
    });

    it('shows nothing after an abort, which may be called at any time and more than once', async () => {
      const bytes = randomBytes(500);
      const cid = nameOf(bytes);
      const untouched = await provider.createShard();
      await untouched.abort();
      const written = await provider.createShard();
      await written.append([bytes]);
      await written.abort();
      await written.abort();
      await assert.rejects(written.commit(cid));
      await written.abort();
      const busy = await provider.createShard();
      const append = busy.append([bytes]).catch(() => {});
      await Promise.all([busy.abort(), busy.abort(), append]);
      await assertMissing(cid);
    });

    it('keeps a committed shard when its writer is aborted afterwards', async () => {
      const bytes = randomBytes(500);
      const writer = await provider.createShard();
      await writer.append([bytes]);
      await writer.commit(nameOf(bytes));
      await writer.abort();
      assert.deepEqual(Buffer.from(await provider.readShard(nameOf(bytes), 0, 500)), bytes);
    });

    it('takes a shard that it has already, also from two writers at once', async () => {
      const bytes = randomBytes(700);
      const cid = await storeShard(provider, bytes);
      await storeShard(provider, bytes);
      await Promise.all([storeShard(provider, bytes), storeShard(provider, bytes)]);
      assert.deepEqual(Buffer.from(await provider.readShard(cid, 0, 700)), bytes);
      assert.equal((await listAll(provider, 10)).length, 1);
    });

    it('reads any range', async () => {
      const bytes = randomBytes(10_000);
      const cid = await storeShard(provider, bytes);
      const range = fc.tuple(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 10_000 }));
      await fc.assert(
        fc.asyncProperty(range, async ([a, b]) => {
          const [start, end] = a < b ? [a, b] : [b, a];
          const read = await provider.readShard(cid, start, end - start);
          assert.deepEqual(Buffer.from(read), bytes.subarray(start, end));
        }),
      );
    });

    it('gives every reader a buffer of its own', async () => {
      const bytes = randomBytes(100);
      const cid = await storeShard(provider, bytes);
      const first = await provider.readShard(cid, 0, 100);
      first.fill(0);
      assert.deepEqual(Buffer.from(await provider.readShard(cid, 0, 100)), bytes);
    });

    it('gives memory with what is read that is nobody else’s, however short it is', async () => {
      const bytes = randomBytes(300);
      await storeShard(provider, bytes);
      const read = await Promise.all([0, 100, 200].map((offset) => provider.readShard(nameOf(bytes), offset, 100)));
      const [first, ...others] = read as [Uint8Array, ...Uint8Array[]];
      // Whoever owns a buffer may give its memory back, which must not take anything from others.
      (first.buffer as ArrayBuffer).transfer(0);
      assert.deepEqual(
        others.map((other) => Buffer.from(other)),
        [bytes.subarray(100, 200), bytes.subarray(200)].map((other) => Buffer.from(other)),
      );
    });

    it('fails to read past the end', async () => {
      const cid = await storeShard(provider, randomBytes(100));
      for (const [offset, length] of [
        [0, 101],
        [99, 2],
        [100, 1],
        [5000, 10],
      ] as const) {
        await assert.rejects(provider.readShard(cid, offset, length), (error) => isFailure(error, 'provider-error'));
      }
    });

    it('says that a shard is missing', async () => {
      await assertMissing(nameOf(randomBytes(10)));
    });

    it('deletes, and deletes what is not there', async () => {
      const kept = await storeShard(provider, randomBytes(100));
      const cid = await storeShard(provider, randomBytes(101));
      await provider.deleteShard(cid);
      await assertMissing(cid);
      await provider.deleteShard(cid);
      await provider.deleteShard(nameOf(randomBytes(10)));
      assert.deepEqual(
        (await listAll(provider, 10)).map((shard) => shard.cid),
        [kept],
      );
    });

    it('lists every shard once, in pages', async () => {
      assert.deepEqual(await listAll(provider, 10), []);
      const expected = new Map<ShardCid, number>();
      for (let count = 1; count <= 30; count++) expected.set(await storeShard(provider, randomBytes(count)), count);
      for (const limit of [1, 7, 30, 100]) {
        const shards = await listAll(provider, limit);
        assert.equal(shards.length, 30);
        assert.deepEqual(new Map(shards.map(({ cid, bytes }) => [cid, bytes])), expected);
      }
    });

    it('lists the shards that stay, whatever comes and goes meanwhile', async () => {
      const cids: ShardCid[] = [];
      for (let count = 0; count < 20; count++) cids.push(await storeShard(provider, randomBytes(50)));
      const first = await provider.listShards(undefined, 5);
      const seen = first.shards.map((shard) => shard.cid);
      const unseen = cids.filter((cid) => !seen.includes(cid));
      await provider.deleteShard(unseen[0]!);
      await provider.deleteShard(seen.at(-1)!);
      await storeShard(provider, randomBytes(50));
      let cursor = first.cursor;
      while (cursor !== undefined) {
        const page = await provider.listShards(cursor, 5);
        seen.push(...page.shards.map((shard) => shard.cid));
        cursor = page.cursor;
      }
      assert.equal(new Set(seen).size, seen.length);
      for (const cid of unseen.slice(1)) assert.ok(seen.includes(cid));
    });

    it('puts whole shards of any length, in any number of buffers', async () => {
      const expected = new Map<ShardCid, number>();
      for (const length of [0, 1, 63, 4096, 65_536, 262_143, 262_144, 300_000, 1_000_000]) {
        const bytes = randomBytes(length);
        const cut = length >> 2;
        await provider.putShard(nameOf(bytes), [
          bytes.subarray(0, cut),
          new Uint8Array(0),
          ...Array.from({ length: Math.min(cut, 1500) }, (_, i) => bytes.subarray(cut + i, cut + i + 1)),
          bytes.subarray(cut + Math.min(cut, 1500)),
        ]);
        expected.set(nameOf(bytes), length);
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, length)), `${length} bytes`);
        assert.equal((await provider.statShard(nameOf(bytes))).bytes, length);
        await assert.rejects(provider.readShard(nameOf(bytes), 0, length + 1), (error) =>
          isFailure(error, 'provider-error'),
        );
      }
      for (const limit of [1, 2, 4, 9, 100]) {
        const shards = await listAll(provider, limit);
        assert.equal(shards.length, expected.size);
        assert.deepEqual(new Map(shards.map(({ cid, bytes }) => [cid, bytes])), expected, `in pages of ${limit}`);
      }
    });

    it('puts many shards at once, and the same one many times', async () => {
      const shards = Array.from({ length: 200 }, (_, i) => randomBytes(10 * i));
      await Promise.all(
        [...shards, ...shards, ...shards.slice(0, 50)].map((bytes) => provider.putShard(nameOf(bytes), [bytes])),
      );
      for (const bytes of shards) {
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
      }
      assert.equal((await listAll(provider, 30)).length, 200);
    });

    it('changes nothing when a shard is put that is there', async () => {
      const bytes = randomBytes(500);
      await provider.putShard(nameOf(bytes), [bytes]);
      const before = await provider.statShard(nameOf(bytes));
      await provider.putShard(nameOf(bytes), [bytes.subarray(0, 100), bytes.subarray(100)]);
      const after = await provider.statShard(nameOf(bytes));
      assert.deepEqual(renewsTimes ? { ...after, modifiedAtMs: before.modifiedAtMs } : after, before);
      assert.equal((await listAll(provider, 10)).length, 1);
    });

    it('has a shard once, in whichever ways it was written', async () => {
      const first = randomBytes(500);
      const second = randomBytes(600);
      await provider.putShard(nameOf(first), [first]);
      await storeShard(provider, first);
      await storeShard(provider, second);
      await provider.putShard(nameOf(second), [second]);
      assert.equal((await listAll(provider, 1)).length, 2);
      for (const bytes of [first, second]) {
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
        await provider.deleteShard(nameOf(bytes));
        await assertMissing(nameOf(bytes));
      }
    });

    it('puts a shard again that was deleted', async () => {
      const bytes = randomBytes(500);
      for (let count = 0; count < 3; count++) {
        await provider.putShard(nameOf(bytes), [bytes]);
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, 500)));
        await provider.deleteShard(nameOf(bytes));
        await assertMissing(nameOf(bytes));
      }
    });

    it('lists shards of every kind that stay, whatever comes and goes meanwhile', async () => {
      const cids: ShardCid[] = [];
      for (let count = 0; count < 20; count++) {
        const bytes = randomBytes(50);
        if (count % 2 === 0) await storeShard(provider, bytes);
        else await provider.putShard(nameOf(bytes), [bytes]);
        cids.push(nameOf(bytes));
      }
      const seen: ShardCid[] = [];
      let cursor: string | undefined;
      const gone = new Set<ShardCid>();
      do {
        const page = await provider.listShards(cursor, 3);
        seen.push(...page.shards.map((shard) => shard.cid));
        const victim = cids.find((cid) => !seen.includes(cid) && !gone.has(cid));
        if (victim !== undefined && gone.size < 4) {
          gone.add(victim);
          await provider.deleteShard(victim);
        }
        if (page.shards[0] !== undefined) await provider.deleteShard(page.shards[0].cid);
        const bytes = randomBytes(51);
        await provider.putShard(nameOf(bytes), [bytes]);
        await provider.reclaim();
        cursor = page.cursor;
      } while (cursor !== undefined && seen.length < 200);
      assert.equal(new Set(seen).size, seen.length);
      for (const cid of cids) assert.ok(seen.includes(cid) || gone.has(cid), `${cid} was not listed`);
    });

    it('keeps one root, the newest', async () => {
      assert.equal(await provider.readRoot(), undefined);
      const roots = [randomBytes(10), new Uint8Array(0), randomBytes(maxRootBytes)];
      for (const root of roots) {
        await provider.writeRoot(root);
        assert.ok(Buffer.from(root).equals((await provider.readRoot())!));
      }
      const read = (await provider.readRoot())!;
      read.fill(0);
      assert.ok(Buffer.from(roots[2]!).equals((await provider.readRoot())!), 'the buffer belongs to the caller');
      await assert.rejects(provider.writeRoot(new Uint8Array(maxRootBytes + 1)), RangeError);
      await Promise.all(roots.map((root) => provider.writeRoot(root)));
      assert.ok(Buffer.from(roots[2]!).equals((await provider.readRoot())!));
      assert.deepEqual(await listAll(provider, 10), []);
    });

    it('reclaims space in pieces until there is no more to do, and keeps every shard', async () => {
      const shards = Array.from({ length: 60 }, () => randomBytes(20_000));
      await Promise.all(shards.map((bytes) => provider.putShard(nameOf(bytes), [bytes])));
      for (const [i, bytes] of shards.entries()) if (i % 3 !== 0) await provider.deleteShard(nameOf(bytes));
      const reading = shards.map((bytes, i) =>
        i % 3 === 0 ? provider.readShard(nameOf(bytes), 0, bytes.length) : undefined,
      );
      let pieces = 0;
      while (await provider.reclaim()) assert.ok(++pieces < 100, 'it never ends');
      for (const [i, bytes] of shards.entries()) {
        if (i % 3 !== 0) {
          await assertMissing(nameOf(bytes));
          continue;
        }
        assert.ok(bytes.equals((await reading[i])!));
        assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
      }
      assert.equal((await listAll(provider, 7)).length, 20);
      assert.equal(await provider.reclaim(), false);
    });

    it('knows when a shard was put', async () => {
      const beforeMs = Date.now() - clockStepMs;
      const bytes = randomBytes(100);
      await provider.putShard(nameOf(bytes), [bytes]);
      const { modifiedAtMs } = await provider.statShard(nameOf(bytes));
      assert.ok(modifiedAtMs >= beforeMs && modifiedAtMs <= Date.now() + 50, `${modifiedAtMs}, now ${Date.now()}`);
      assert.equal((await listAll(provider, 10))[0]?.modifiedAtMs, modifiedAtMs);
    });

    it('knows when a shard was committed', async () => {
      const beforeMs = Date.now() - clockStepMs;
      const cid = await storeShard(provider, randomBytes(100));
      const { modifiedAtMs } = await provider.statShard(cid);
      assert.ok(modifiedAtMs >= beforeMs && modifiedAtMs <= Date.now() + 50, `${modifiedAtMs}, now ${Date.now()}`);
      assert.equal((await listAll(provider, 10))[0]?.modifiedAtMs, modifiedAtMs);
    });

    it('takes 32 shards at once', async () => {
      const shards = Array.from({ length: 32 }, (_, i) => randomBytes(20_000 + i));
      const cids = await Promise.all(
        shards.map(async (bytes) => {
          const writer = await provider.createShard();
          for (let offset = 0; offset < bytes.length; offset += 6000) {
            await writer.append([bytes.subarray(offset, offset + 6000)]);
          }
          await writer.commit(nameOf(bytes));
          return nameOf(bytes);
        }),
      );
      const read = await Promise.all(cids.map((cid, i) => provider.readShard(cid, 0, shards[i]!.length)));
      for (const [i, bytes] of read.entries()) assert.ok(shards[i]!.equals(bytes));
      assert.equal((await listAll(provider, 10)).length, 32);
    });

    it('ends every call whose signal is aborted, with the signal’s reason', async () => {
      const bytes = randomBytes(100);
      const cid = await storeShard(provider, bytes);
      const reason = new Error('the client went away');
      const signal = AbortSignal.abort(reason);
      const calls = [
        () => provider.putShard(nameOf(bytes.subarray(1)), [bytes.subarray(1)], signal),
        () => provider.createShard(signal),
        () => provider.readRoot(signal),
        () => provider.writeRoot(bytes, signal),
        () => provider.reclaim(signal),
        () => provider.readShard(cid, 0, 100, signal),
        () => provider.statShard(cid, signal),
        () => provider.deleteShard(cid, signal),
        () => provider.listShards(undefined, 10, signal),
        () => provider.capacity(signal),
      ];
      for (const call of calls) await assert.rejects(call, (error) => error === reason, String(call));
      assert.ok(await provider.statShard(cid));
      await assertMissing(nameOf(bytes.subarray(1)));
      assert.equal(await provider.readRoot(), undefined);
    });

    it('ends a writer whose signal is aborted, and shows nothing of it', async () => {
      const bytes = randomBytes(100);
      const reason = new Error('the client went away');
      for (const step of ['append', 'commit'] as const) {
        const controller = new AbortController();
        const writer = await provider.createShard(controller.signal);
        await writer.append([bytes]);
        controller.abort(reason);
        const call = step === 'append' ? writer.append([bytes]) : writer.commit(nameOf(bytes));
        await assert.rejects(call, (error) => error === reason, step);
        await writer.abort();
        await assertMissing(nameOf(bytes));
      }
    });

    it('reads any range of a shard that is long', async () => {
      const bytes = randomBytes(1_500_000);
      const cid = nameOf(bytes);
      await provider.putShard(cid, [bytes.subarray(0, 700_000), bytes.subarray(700_000)]);
      const edges = [0, 1, 65_536, 65_537, 262_144, 262_145, 524_288, 1_499_999, 1_500_000];
      const range = fc.tuple(fc.constantFrom(...edges), fc.constantFrom(...edges));
      await fc.assert(
        fc.asyncProperty(range, async ([a, b]) => {
          const [start, end] = a < b ? [a, b] : [b, a];
          assert.ok(bytes.subarray(start, end).equals(await provider.readShard(cid, start, end - start)));
        }),
        { numRuns: 30 },
      );
      for (const [offset, length] of [
        [0, 1_500_001],
        [1_400_000, 100_001],
        [1_500_000, 300_000],
      ] as const) {
        await assert.rejects(provider.readShard(cid, offset, length), (error) => isFailure(error, 'provider-error'));
      }
    });

    it('shows nothing of a shard whose writer was left in the middle, and takes it whole afterwards', async () => {
      const bytes = randomBytes(600_000);
      const cid = nameOf(bytes);
      const left = await provider.createShard();
      await left.append([bytes.subarray(0, 300_000)]);
      await assertMissing(cid);
      await storeShard(provider, bytes);
      assert.ok(bytes.equals(await provider.readShard(cid, 0, bytes.length)));
      await left.abort();
      assert.ok(bytes.equals(await provider.readShard(cid, 0, bytes.length)));
      assert.equal((await listAll(provider, 10)).length, 1);
    });

    it('takes every write again that a caller repeats, as one that did not hear the answer would', async () => {
      for (const length of [500, 300_000, 700_000]) {
        const bytes = randomBytes(length);
        const cid = nameOf(bytes);
        for (let attempt = 0; attempt < 3; attempt++) await provider.putShard(cid, [bytes]);
        for (let attempt = 0; attempt < 2; attempt++) await storeShard(provider, bytes);
        assert.ok(bytes.equals(await provider.readShard(cid, 0, length)));
        assert.equal((await listAll(provider, 10)).length, 1);
        await Promise.all([provider.deleteShard(cid), provider.deleteShard(cid)]);
        await provider.deleteShard(cid);
        await assertMissing(cid);
      }
    });

    it('gives the same page again to who asks with the same cursor', async () => {
      for (let count = 1; count <= 12; count++) {
        const bytes = randomBytes(count);
        if (count % 2 === 0) await storeShard(provider, bytes);
        else await provider.putShard(nameOf(bytes), [bytes]);
      }
      let cursor: string | undefined;
      do {
        const page = await provider.listShards(cursor, 5);
        assert.deepEqual(await provider.listShards(cursor, 5), page);
        cursor = page.cursor;
      } while (cursor !== undefined);
    });

    it('ends calls that are aborted while they run, and no others', async () => {
      const kept = Array.from({ length: 20 }, (_, i) => randomBytes(100 + 20_000 * i));
      await Promise.all(kept.map((bytes) => provider.putShard(nameOf(bytes), [bytes])));
      const reason = new Error('the client went away');
      const controller = new AbortController();
      const { signal } = controller;
      const fresh = Array.from({ length: 20 }, (_, i) => randomBytes(101 + 20_000 * i));
      const calls = kept.flatMap((bytes, i) => [
        provider.readShard(nameOf(bytes), 0, bytes.length, signal),
        provider.statShard(nameOf(bytes), signal),
        provider.putShard(nameOf(fresh[i]!), [fresh[i]!], signal),
      ]);
      const others = kept.flatMap((bytes) => [
        provider.readShard(nameOf(bytes), 0, bytes.length),
        provider.putShard(nameOf(bytes), [bytes]),
      ]);
      await Promise.resolve();
      controller.abort(reason);
      // Some were quicker than the abort; what fails fails with the reason.
      for (const result of await Promise.allSettled(calls)) {
        if (result.status === 'rejected') assert.equal(result.reason, reason);
      }
      const results = await Promise.all(others);
      for (const [i, bytes] of kept.entries()) assert.ok(bytes.equals(results[2 * i] as Uint8Array));
      // Each is there whole or not at all, and can be put.
      await Promise.all(fresh.map((bytes) => provider.putShard(nameOf(bytes), [bytes])));
      for (const bytes of fresh) assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
      assert.equal((await listAll(provider, 100)).length, 40);
    });

    it('tells a capacity that can be', async () => {
      await storeShard(provider, randomBytes(1000));
      const { totalBytes, freeBytes } = await provider.capacity();
      assert.ok(Number.isSafeInteger(totalBytes) && Number.isSafeInteger(freeBytes));
      assert.ok(totalBytes >= 2 ** 24 && freeBytes > 0 && freeBytes <= totalBytes, `${freeBytes} of ${totalBytes}`);
    });
  });
}
