import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { type BucketProviderOptions, openBucketProvider } from '../../placement/providers/bucket/bucket-provider.ts';
import { unlimitedCapacityBytes } from '../../placement/providers/bucket/bucket-usage.ts';
import { withDeadline } from '../../placement/providers/with-deadline.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { createWriteBudget, MiB, openStubBucket, stubAddress } from './bucket-harness.ts';
import { nameOf } from './provider-conformance.ts';
import { type StubS3, sendError } from './stub-s3.ts';

const dayMs = 24 * 3_600_000;

/** A clock that a test sets ahead. */
function createClock() {
  let aheadMs = 0;
  return { now: () => Date.now() + aheadMs, advance: (ms: number) => (aheadMs += ms) };
}

function openAnother(stub: StubS3, options: Partial<BucketProviderOptions> = {}) {
  return openBucketProvider({
    id: 'b1' as ProviderId,
    ...stubAddress(stub),
    writeBudget: createWriteBudget(),
    ...options,
  });
}

describe('opening a bucket', () => {
  it('sends nothing, and refuses what is no endpoint', async () => {
    await using bucket = await openStubBucket();
    assert.equal(bucket.stub.requests.length, 0);
    for (const endpoint of ['nonsense', 'ftp://127.0.0.1']) {
      await assert.rejects(openAnother(bucket.stub, { endpoint }), (error) => isFailure(error, 'provider-error'));
    }
  });

  it('works while the endpoint is down, and every call does as soon as it is up', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const bytes = randomBytes(100);
    stub.fault = (_, response) => {
      response.socket?.resetAndDestroy();
      return true;
    };
    for (let i = 0; i < 2; i++) {
      await assert.rejects(provider.putShard(nameOf(bytes), [bytes]), (error) => isFailure(error, 'provider-error'));
      await assert.rejects(provider.capacity(), (error) => isFailure(error, 'provider-error'));
    }
    stub.fault = undefined;
    await provider.putShard(nameOf(bytes), [bytes]);
    assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, 100)));
  });

  it('goes to the endpoint of its settings, whatever the environment says', async () => {
    await using bucket = await openStubBucket();
    const { stub } = bucket;
    process.env.AWS_ENDPOINT_URL = stub.url;
    try {
      // No such region, and so no such host.
      const provider = await openAnother(stub, { endpoint: undefined, region: 'nowhere-0' });
      await assert.rejects(provider.readRoot(AbortSignal.timeout(2_000)));
      await provider.close();
    } finally {
      delete process.env.AWS_ENDPOINT_URL;
    }
    assert.equal(stub.requests.length, 0);
  });

  it('gives a caller up whose signal is aborted while it is asked whose the prefix is, and serves the others', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    let answer = () => {};
    stub.fault = (request, response) => {
      if (request.key !== 'p/provider.json' || request.method !== 'GET') return false;
      answer = () => sendError(response, 404, 'NoSuchKey');
      return true;
    };
    const reason = new Error('gave up');
    const controller = new AbortController();
    const first = provider.readRoot(controller.signal);
    const second = provider.readRoot();
    await pollUntil('the marker was asked for', () => stub.requests.length === 1);
    controller.abort(reason);
    await assert.rejects(first, (error) => error === reason);
    answer();
    assert.equal(await second, undefined);
  });

  it('refuses the prefix of another provider, and shards without a marker', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const bytes = randomBytes(100);
    await provider.putShard(nameOf(bytes), [bytes]);
    const again = await openAnother(stub);
    assert.ok(bytes.equals(await again.readShard(nameOf(bytes), 0, 100)));
    await again.close();
    for (const prepare of [() => {}, () => stub.objects.delete('p/provider.json')]) {
      prepare();
      const other = await openAnother(stub, { id: 'b2' as ProviderId });
      for (const call of [() => other.readShard(nameOf(bytes), 0, 100), () => other.putShard(nameOf(bytes), [bytes])]) {
        await assert.rejects(call, (error) => isFailure(error, 'provider-error') && /prefix/.test(String(error.cause)));
      }
      await other.close();
    }
    const elsewhere = await openAnother(stub, { id: 'b2' as ProviderId, prefix: 'q/' });
    await elsewhere.putShard(nameOf(bytes), [bytes]);
    await elsewhere.close();
  });
});

describe('closing a bucket', () => {
  it('ends soon, and with it what is under way, although the endpoint hangs', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const writer = await provider.createShard();
    await writer.append([randomBytes(6 * MiB)]);
    await pollUntil('the upload is begun', () => stub.uploads.size === 1);
    stub.fault = () => true;
    await writer.abort();
    const reading = provider.readRoot();
    reading.catch(() => {});
    const before = stub.requests.length;
    await provider.close();
    await assert.rejects(reading, (error) => isFailure(error, 'provider-error'));
    assert.ok(stub.requests.length <= before + 2, 'nothing is asked again');
  });

  it('ends calls that have only just begun', async () => {
    for (let turns = 0; turns < 20; turns++) {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      await provider.readRoot();
      stub.fault = () => true;
      const reading = provider.readRoot();
      reading.catch(() => {});
      for (let i = 0; i < turns; i++) await Promise.resolve();
      await provider.close();
      await assert.rejects(reading, (error) => isFailure(error, 'provider-error'));
    }
  });

  it('breaks off the question whose the prefix is', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    stub.fault = () => true;
    const reading = provider.readRoot();
    reading.catch(() => {});
    await pollUntil('the marker was asked for', () => stub.requests.length === 1);
    await provider.close();
    await assert.rejects(reading, (error) => isFailure(error, 'provider-error'));
    assert.equal(stub.requests.length, 1);
  });
});

describe('memory of writers to a bucket', () => {
  const bytes = randomBytes(6 * MiB);

  it('is taken before a shard begins, and given back however it ends', async () => {
    const writeBudget = createWriteBudget(15 * MiB, 20);
    await using bucket = await openStubBucket({ writeBudget });
    const { stub, provider } = bucket;
    const write = async (end: 'commit' | 'abort') => {
      const writer = await provider.createShard();
      await writer.append([bytes]);
      if (end === 'abort') await writer.abort();
      else await writer.commit(nameOf(bytes));
    };
    await write('commit');
    assert.equal(writeBudget.takenBytes, 0);
    await write('abort');
    assert.equal(writeBudget.takenBytes, 0);
    stub.fault = ({ query }, response) => {
      if (!query.has('partNumber')) return false;
      sendError(response, 500, 'InternalError');
      return true;
    };
    await assert.rejects(write('commit'));
    assert.equal(writeBudget.takenBytes, 0);
    const signal = AbortSignal.timeout(10);
    await assert.rejects(async () => {
      const writer = await provider.createShard(signal);
      await pollUntil('the signal came', () => signal.aborted);
      await writer.commit(nameOf(bytes));
    });
    assert.equal(writeBudget.takenBytes, 0);
    const writers = await Promise.all([provider.createShard(), provider.createShard(), provider.createShard()]);
    await assert.rejects(provider.createShard(), (error) => isFailure(error, 'overloaded'));
    await Promise.all(writers.map((writer) => writer.abort()));
    assert.equal(writeBudget.takenBytes, 0);
  });

  it('is one part where there is no more, and the shard is written all the same', async () => {
    const writeBudget = createWriteBudget(5 * MiB);
    await using bucket = await openStubBucket({ writeBudget });
    const { provider } = bucket;
    const shards = [bytes, randomBytes(11 * MiB), randomBytes(100)];
    await Promise.all(
      shards.map(async (shard) => {
        const writer = await provider.createShard();
        await writer.append([shard]);
        await writer.commit(nameOf(shard));
      }),
    );
    for (const shard of shards) assert.ok(shard.equals(await provider.readShard(nameOf(shard), 0, shard.length)));
  });

  it('and an upload end soon when the writer is aborted in the middle of a part', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    let isHanging = false;
    stub.fault = ({ query }) => {
      isHanging = query.has('partNumber');
      return isHanging;
    };
    const writer = await withDeadline(provider, { timeoutMs: 5_000 }).createShard();
    await writer.append([randomBytes(5 * MiB)]);
    const append = writer.append([randomBytes(11 * MiB)]);
    append.catch(() => {});
    await pollUntil('a part is on its way', () => isHanging);
    stub.fault = undefined;
    await writer.abort();
    await assert.rejects(append);
    await pollUntil('the upload is aborted', () => stub.uploads.size === 0);
  });
});

describe('reclaiming a bucket', () => {
  it('removes uploads and incoming objects that are older than a day, in pieces, and nothing else', async () => {
    const clock = createClock();
    await using bucket = await openStubBucket({ clock });
    const { stub, provider } = bucket;
    const bytes = randomBytes(100);
    await provider.putShard(nameOf(bytes), [bytes]);
    const old = new Date(Date.now() - dayMs - 60_000);
    const young = new Date(Date.now() - dayMs + 60_000);
    for (let i = 0; i < 250; i++) {
      const number = String(i).padStart(3, '0');
      stub.uploads.set(`old-${i}`, { key: `p/incoming/${number}`, startedAt: old, parts: new Map() });
      stub.objects.set(`p/incoming/${number}`, { body: Buffer.from('old'), modifiedAt: old });
    }
    stub.uploads.set('young', { key: 'p/incoming/young', startedAt: young, parts: new Map() });
    stub.objects.set('p/incoming/young', { body: Buffer.from('young'), modifiedAt: young });
    stub.uploads.set('of another', { key: 'p/backups/x', startedAt: old, parts: new Map() });
    let pieces = 0;
    for (let isMore = true; isMore; pieces++) {
      const before = stub.requests.length;
      isMore = await provider.reclaim();
      assert.ok(stub.requests.length - before <= 101, 'a piece is bounded');
      assert.ok(pieces < 20, 'it ends');
    }
    assert.deepEqual([...stub.uploads.keys()], ['young', 'of another']);
    const left = [...stub.objects.keys()].sort();
    assert.deepEqual(left, ['p/incoming/young', 'p/provider.json', `p/shards/${nameOf(bytes)}`]);
    const before = stub.requests.length;
    assert.equal(await provider.reclaim(), false);
    assert.equal(stub.requests.length, before, 'asked every few seconds, it looks every few hours');
    clock.advance(dayMs);
    while (await provider.reclaim());
    assert.ok(!stub.objects.has('p/incoming/young'));
  });

  it('spares a writer that takes longer than a day', async () => {
    const clock = createClock();
    await using bucket = await openStubBucket({ clock });
    const { stub, provider } = bucket;
    const bytes = randomBytes(11 * MiB);
    const writer = await provider.createShard();
    await writer.append([bytes.subarray(0, 6 * MiB)]);
    await pollUntil('the upload is begun', () => stub.uploads.size === 1);
    clock.advance(2 * dayMs);
    while (await provider.reclaim());
    await writer.append([bytes.subarray(6 * MiB)]);
    await writer.commit(nameOf(bytes));
    assert.ok(bytes.equals(await provider.readShard(nameOf(bytes), 0, bytes.length)));
  });

  it('does without a list of uploads where the endpoint has none', async () => {
    const clock = createClock();
    await using bucket = await openStubBucket({ clock });
    const { stub, provider } = bucket;
    stub.objects.set('p/incoming/old', { body: Buffer.from('old'), modifiedAt: new Date(Date.now() - 2 * dayMs) });
    stub.fault = ({ query, key }, response) => {
      if (key !== '' || !query.has('uploads')) return false;
      sendError(response, 501, 'NotImplemented');
      return true;
    };
    while (await provider.reclaim());
    assert.deepEqual([...stub.objects.keys()], ['p/provider.json']);
  });
});

describe('the capacity of a bucket', () => {
  it('is a pebibyte where none is given', async () => {
    await using bucket = await openStubBucket();
    const capacity = { totalBytes: unlimitedCapacityBytes, freeBytes: unlimitedCapacityBytes };
    assert.deepEqual(await bucket.provider.capacity(), capacity);
  });

  it('is what was given less what is there and what is written, and refuses more', async () => {
    const clock = createClock();
    await using bucket = await openStubBucket({ capacityBytes: 10_000, clock });
    const { stub, provider } = bucket;
    for (let i = 0; i < 5; i++) {
      const bytes = randomBytes(1000 + i);
      stub.objects.set(`p/shards/${nameOf(bytes)}`, { body: bytes, modifiedAt: new Date() });
    }
    stub.objects.set('p/provider.json', {
      body: Buffer.from('{"format":"holdfast-provider","version":1,"id":"b1"}'),
      modifiedAt: new Date(),
    });
    await provider.capacity();
    await pollUntil('it is counted', async () => (await provider.capacity()).freeBytes === 10_000 - 5010);
    const bytes = randomBytes(4000);
    await provider.putShard(nameOf(bytes), [bytes]);
    assert.equal((await provider.capacity()).freeBytes, 990);
    const isFull = (error: unknown) => isFailure(error, 'provider-full');
    await assert.rejects(provider.putShard(nameOf(randomBytes(1)), [randomBytes(991)]), isFull);
    const writer = await provider.createShard();
    await writer.append([randomBytes(900)]);
    await assert.rejects(writer.append([randomBytes(91)]), isFull);
    await writer.abort();
    assert.equal((await provider.capacity()).freeBytes, 990);
    await provider.deleteShard(nameOf(bytes));
    clock.advance(3_600_000);
    await assert.rejects(provider.putShard(nameOf(bytes), [bytes]), isFull);
    await pollUntil('it is counted anew, being full', async () => (await provider.capacity()).freeBytes === 4990);
    await provider.putShard(nameOf(bytes), [bytes]);
  });
});
