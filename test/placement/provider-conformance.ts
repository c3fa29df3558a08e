import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import { shardCid } from '../../erasure/shard-format.ts';
import type { Provider, ShardStat } from '../../placement/providers/provider.ts';

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

/**
 * What every Provider must do; see placement/providers/provider.ts.
 *
 * @param make gives an empty provider with room for at least 16 MiB
 */
export function testProvider(
  name: string,
  make: () => Promise<{ provider: Provider; dispose?(): Promise<void> }>,
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

    it('knows when a shard was committed', async () => {
      // File systems keep time in steps of a few milliseconds.
      const beforeMs = Date.now() - 50;
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
        () => provider.createShard(signal),
        () => provider.readShard(cid, 0, 100, signal),
        () => provider.statShard(cid, signal),
        () => provider.deleteShard(cid, signal),
        () => provider.listShards(undefined, 10, signal),
        () => provider.capacity(signal),
      ];
      for (const call of calls) await assert.rejects(call, (error) => error === reason, String(call));
      assert.ok(await provider.statShard(cid));
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

    it('tells a capacity that can be', async () => {
      await storeShard(provider, randomBytes(1000));
      const { totalBytes, freeBytes } = await provider.capacity();
      assert.ok(Number.isSafeInteger(totalBytes) && Number.isSafeInteger(freeBytes));
      assert.ok(totalBytes >= 2 ** 24 && freeBytes > 0 && freeBytes <= totalBytes, `${freeBytes} of ${totalBytes}`);
    });
  });
}
