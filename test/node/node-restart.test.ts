import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Clock } from '../../core/clock.ts';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { generateNodeKey } from '../../placement/providers/node/node-key.ts';
import { openNodeProvider } from '../../placement/providers/node/node-provider.ts';
import { type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { nameOf } from '../placement/provider-conformance.ts';
import { startTestNode, testKey } from './node-harness.ts';

const id = 'm1' as ProviderId;
const isProviderError = (error: unknown): boolean => isFailure(error, 'provider-error');
const causeOf = (error: unknown): string => String((error as Error).cause);

/** Its calls end when their signal is aborted, and not before. */
class HangingProvider extends WrappedProvider {
  held = 0;

  protected override async run<T>(_call: ProviderCall, signal: AbortSignal | undefined): Promise<T> {
    this.held++;
    const { promise, reject } = Promise.withResolvers<T>();
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    return promise.finally(() => this.held--);
  }
}

describe('a gateway and its node', () => {
  it('go on after the node was started anew, with no error where no call was under way', async () => {
    const directory = createMemoryProvider({ id });
    const first = await startTestNode({ provider: directory });
    const port = Number(new URL(first.url).port);
    const client = openNodeProvider({ id, endpoint: first.url, key: testKey });
    const bytes = randomBytes(1000);
    await client.putShard(nameOf(bytes), [bytes]);
    await first.stop();
    await assert.rejects(client.capacity(), isProviderError);
    const second = await startTestNode({ provider: directory, port });
    assert.ok(bytes.equals(await client.readShard(nameOf(bytes), 0, 1000)));
    const large = randomBytes(500_000);
    await client.putShard(nameOf(large), [large.subarray(0, 10), large.subarray(10)]);
    assert.ok(large.equals(await client.readShard(nameOf(large), 0, large.length)));
    await client.close();
    await second.stop();
  });

  it('tell a wrong key and a wrong clock clearly', async () => {
    await using node = await startTestNode({ provider: createMemoryProvider({ id }) });
    const stranger = node.connect({ key: generateNodeKey().key });
    await assert.rejects(
      stranger.capacity(),
      (error) => isProviderError(error) && /401 unknown-key/.test(causeOf(error)),
    );
    await assert.rejects(
      stranger.putShard(nameOf(randomBytes(1)), [randomBytes(1)]),
      (error) => isProviderError(error) && /401 unknown-key/.test(causeOf(error)),
    );
    const impostor = node.connect({ key: { ...generateNodeKey().key, id: testKey.id } });
    await assert.rejects(impostor.capacity(), (error) => /401 bad-signature/.test(causeOf(error)));
    const clock: Clock = { now: () => Date.now() + 3_600_000 };
    const late = node.connect({ clock });
    await assert.rejects(late.capacity(), (error) => /401 clock-skew.*dated 3\d{6} ms/.test(causeOf(error)));
    assert.equal((await node.connect().capacity()).totalBytes, 2 ** 30);
  });

  it('change their key without a gap', async () => {
    const { key } = generateNodeKey();
    await using node = await startTestNode({ provider: createMemoryProvider({ id }), keys: [testKey, key] });
    await node.connect().capacity();
    await node.connect({ key }).capacity();
  });

  it('leave nothing in the directory of uploads that a crash ended', async () => {
    const path = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
    try {
      const directory = await openDirectoryProvider({ id, path });
      const node = await startTestNode({ provider: directory });
      const writer = await node.connect().createShard();
      await writer.append([randomBytes(100_000)]);
      assert.equal((await readdir(join(path, 'tmp'))).length, 1);
      // As after a crash: another process opens the directory, and nobody told the first one's writer.
      const again = await openDirectoryProvider({ id, path });
      assert.deepEqual(await readdir(join(path, 'tmp')), []);
      await again.close();
      await node.stop();
      await directory.close();
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  });

  it('put small calls that come together into few requests', async () => {
    await using node = await startTestNode({ provider: createMemoryProvider({ id }) });
    const client = node.connect();
    const shards = Array.from({ length: 300 }, () => randomBytes(1000));
    await Promise.all(shards.map((bytes) => client.putShard(nameOf(bytes), [bytes])));
    await Promise.all(shards.map((bytes) => client.readShard(nameOf(bytes), 10, 500)));
    await Promise.all(shards.map((bytes) => client.deleteShard(nameOf(bytes))));
    const text = await node.metrics.registry.metrics();
    const requests = Number(
      /^holdfast_node_requests_total\{operation="Batch",status="200",code=""\} (\d+)$/m.exec(text)?.[1],
    );
    assert.ok(requests <= 6, `${requests} requests`);
    assert.match(text, /^holdfast_node_calls_total\{call="put",outcome="ok"\} 300$/m);
  });

  it('end a call at the node too when its caller gives up', async () => {
    const hanging = new HangingProvider(createMemoryProvider({ id }));
    await using node = await startTestNode({ provider: hanging });
    const client = node.connect();
    const controller = new AbortController();
    const reason = new Error('not worth the wait');
    const bytes = randomBytes(100);
    const calls = [
      client.readShard(nameOf(bytes), 0, 100, controller.signal),
      client.readShard(nameOf(bytes), 0, 100_000, controller.signal),
      client.putShard(nameOf(bytes), [bytes], controller.signal),
      client.reclaim(controller.signal),
    ];
    await pollUntil('all hang', () => hanging.held === 4);
    controller.abort(reason);
    for (const call of calls) await assert.rejects(call, (error) => error === reason);
    await pollUntil('none hangs', () => hanging.held === 0);
  });

  it('use no more sockets than they may, however many calls there are', async () => {
    await using node = await startTestNode({ provider: createMemoryProvider({ id }) });
    const client = node.connect({ connections: 6 });
    const bytes = randomBytes(200_000);
    await client.putShard(nameOf(bytes), [bytes]);
    let most = 0;
    const count = (): void => {
      node.nodeServer.server.getConnections((_error, found) => {
        most = Math.max(most, found);
      });
    };
    const calls = Array.from({ length: 60 }, async (_, i) => {
      count();
      if (i % 3 === 0) return client.capacity();
      return client.readShard(nameOf(bytes), 0, i % 3 === 1 ? 100 : 200_000);
    });
    await Promise.all(calls);
    count();
    await client.capacity();
    assert.ok(most >= 2 && most <= 6, `${most} sockets`);
  });
});
