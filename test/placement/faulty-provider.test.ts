import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { createFaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { providerCalls } from '../../placement/providers/wrapped-provider.ts';
import { listAll, nameOf, storeShard } from './provider-conformance.ts';

const id = 'm1' as ProviderId;
const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
const cid = nameOf(bytes);

async function setUp() {
  const inner = createMemoryProvider({ id });
  const provider = createFaultyProvider(inner);
  await storeShard(inner, bytes);
  return { inner, provider, faults: provider.faults, read: () => provider.readShard(cid, 0, 100) };
}

function countDifferentBits(a: Uint8Array, b: Uint8Array): number {
  assert.equal(a.length, b.length);
  let count = 0;
  for (let bit = 0; bit < a.length * 8; bit++) if ((a[bit >> 3]! ^ b[bit >> 3]!) & (1 << (bit & 7))) count++;
  return count;
}

describe('faulty provider', () => {
  it('does what it was told, as often, in that order', async () => {
    const { faults, read } = await setUp();
    faults.next('readShard', 'error', 2);
    faults.next('readShard', 'missing');
    await assert.rejects(read(), (error) => isFailure(error, 'provider-error'));
    await assert.rejects(read(), (error) => isFailure(error, 'provider-error'));
    await assert.rejects(read(), (error) => isFailure(error, 'shard-missing'));
    assert.deepEqual(Uint8Array.from(await read()), bytes);
  });

  it('does it always until it is told otherwise', async () => {
    const { provider, faults, read } = await setUp();
    faults.always('all', 'error');
    faults.always('statShard', 'missing');
    for (let count = 0; count < 3; count++) await assert.rejects(read());
    await assert.rejects(provider.statShard(cid), (error) => isFailure(error, 'shard-missing'));
    await assert.rejects(provider.createShard());
    await assert.rejects(provider.capacity());
    await assert.rejects(provider.listShards(undefined, 1));
    await assert.rejects(provider.deleteShard(cid));
    faults.clear();
    assert.deepEqual(Uint8Array.from(await read()), bytes);
  });

  it('refuses faults that could not happen', async () => {
    const { faults } = await setUp();
    assert.throws(() => faults.next('statShard', 'flip'), RangeError);
    assert.throws(() => faults.always('readShard', 'lose'), RangeError);
    for (const call of providerCalls) faults.next(call, 'hang');
  });

  it('flips one bit of what is read, and leaves what is stored alone', async () => {
    const { inner, faults, read } = await setUp();
    faults.next('readShard', 'flip');
    assert.equal(countDifferentBits(await read(), bytes), 1);
    assert.deepEqual(Uint8Array.from(await inner.readShard(cid, 0, 100)), bytes);
  });

  it('flips one bit of what is written, and leaves the caller’s buffers alone', async () => {
    const { inner, provider, faults } = await setUp();
    const other = new Uint8Array(50).fill(9);
    faults.next('append', 'flip');
    const name = await storeShard(provider, other);
    assert.equal(countDifferentBits(await inner.readShard(name, 0, 50), new Uint8Array(50).fill(9)), 1);
    assert.deepEqual(other, new Uint8Array(50).fill(9));
  });

  it('cuts short what is read or written', async () => {
    const { inner, provider, faults, read } = await setUp();
    faults.next('readShard', 'truncate');
    assert.equal((await read()).length, 99);
    faults.next('append', 'truncate');
    const name = await storeShard(provider, new Uint8Array(50));
    assert.equal((await inner.statShard(name)).bytes, 49);
  });

  it('gives another shard of the same length, or fails where there is none', async () => {
    const { provider, faults, read } = await setUp();
    faults.always('readShard', 'wrong-shard');
    await storeShard(provider, new Uint8Array(99));
    await assert.rejects(read(), (error) => isFailure(error, 'provider-error'));
    await storeShard(provider, new Uint8Array(100).fill(7));
    assert.deepEqual(Uint8Array.from(await read()), new Uint8Array(100).fill(7));
  });

  it('acknowledges a commit and drops the shard', async () => {
    const { inner, provider, faults } = await setUp();
    faults.next('commit', 'lose');
    await storeShard(provider, new Uint8Array(50));
    assert.equal((await listAll(inner, 10)).length, 1);
  });

  it('spoils whole shards and roots as it does pieces of them', async () => {
    const { inner, provider, faults } = await setUp();
    const other = new Uint8Array(50).fill(9);
    const name = nameOf(other);
    faults.next('putShard', 'lose');
    faults.next('putShard', 'full');
    faults.next('putShard', 'flip');
    await provider.putShard(name, [other]);
    await assert.rejects(provider.putShard(name, [other]), (error) => isFailure(error, 'provider-full'));
    assert.equal((await listAll(inner, 10)).length, 1);
    await provider.putShard(name, [other.subarray(0, 20), other.subarray(20)]);
    assert.equal(countDifferentBits(await inner.readShard(name, 0, 50), other), 1);
    faults.next('putShard', 'truncate');
    const short = new Uint8Array(40).fill(3);
    await provider.putShard(nameOf(short), [short]);
    assert.equal((await inner.statShard(nameOf(short))).bytes, 39);
    await provider.writeRoot(other);
    faults.next('writeRoot', 'lose');
    await provider.writeRoot(short);
    assert.deepEqual(await provider.readRoot(), other);
    faults.next('readRoot', 'flip');
    assert.equal(countDifferentBits((await provider.readRoot())!, other), 1);
    assert.deepEqual(other, new Uint8Array(50).fill(9));
  });

  it('keeps nothing of a shard whose commit fails', async () => {
    const { inner, provider, faults } = await setUp();
    const before = await inner.capacity();
    faults.next('commit', 'full');
    await assert.rejects(storeShard(provider, new Uint8Array(50)), (error) => isFailure(error, 'provider-full'));
    assert.deepEqual(await inner.capacity(), before);
  });

  it('hangs and dawdles until its signal is aborted', async () => {
    const { provider, faults } = await setUp();
    const reason = new Error('enough');
    for (const fault of ['hang', { slowMs: 60_000 }] as const) {
      const controller = new AbortController();
      faults.next('readShard', fault);
      faults.next('append', fault);
      const writer = await provider.createShard(controller.signal);
      const waiting = [provider.readShard(cid, 0, 1, controller.signal), writer.append([bytes])];
      controller.abort(reason);
      for (const call of waiting) await assert.rejects(call, (error) => error === reason);
      await writer.abort();
    }
  });
});
