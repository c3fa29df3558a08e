import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { storeShard, testProvider } from './provider-conformance.ts';

const id = 'm1' as ProviderId;

testProvider('memory', async () => ({ provider: createMemoryProvider({ id }) }));

it('memory provider is full at its capacity, and has room again after a delete or an abort', async () => {
  const provider = createMemoryProvider({ id, capacityBytes: 1000 });
  const cid = await storeShard(provider, new Uint8Array(600));
  const writer = await provider.createShard();
  await writer.append([new Uint8Array(400)]);
  await assert.rejects(writer.append([new Uint8Array(1)]), (error) => isFailure(error, 'provider-full'));
  await writer.abort();
  assert.deepEqual(await provider.capacity(), { totalBytes: 1000, freeBytes: 400 });
  await provider.deleteShard(cid);
  await storeShard(provider, new Uint8Array(400));
  await storeShard(provider, new Uint8Array(400));
  assert.deepEqual(await provider.capacity(), { totalBytes: 1000, freeBytes: 600 });
});
