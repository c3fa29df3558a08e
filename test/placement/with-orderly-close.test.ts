import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { createFaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { withOrderlyClose } from '../../placement/providers/with-orderly-close.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { testProvider } from './provider-conformance.ts';

const id = 'p1' as ProviderId;
const cid = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy' as ShardCid;

/** Calls wait until they are let through; says when it was closed. */
class HeldProvider extends WrappedProvider {
  isClosed = false;
  readonly release: () => void;
  readonly #released: Promise<void>;

  constructor(inner: Provider) {
    super(inner);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#released = promise;
    this.release = resolve;
  }

  protected override async run<T>(_: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    await this.#released;
    return work(signal);
  }

  override async close(): Promise<void> {
    this.isClosed = true;
  }
}

testProvider('memory that is closed in order', async () => ({
  provider: withOrderlyClose(createMemoryProvider({ id }), { waitMs: 1_000 }),
}));

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('a provider that is closed in order', () => {
  it('waits for calls under way', async () => {
    const held = new HeldProvider(createMemoryProvider({ id }));
    const provider = withOrderlyClose(held, { waitMs: 60_000 });
    const put = provider.putShard(cid, [Buffer.from('bytes')]);
    const closing = provider.close();
    await settle();
    assert.equal(held.isClosed, false);
    held.release();
    await put;
    await closing;
    assert.equal(held.isClosed, true);
  });

  it('waits for writers until they are committed or aborted', async () => {
    for (const end of ['commit', 'abort'] as const) {
      const held = new HeldProvider(createMemoryProvider({ id }));
      held.release();
      const provider = withOrderlyClose(held, { waitMs: 60_000 });
      const writer = await provider.createShard();
      await writer.append([Buffer.from('bytes')]);
      const closing = provider.close();
      await settle();
      assert.equal(held.isClosed, false, end);
      if (end === 'commit') await writer.commit(cid);
      await writer.abort();
      await closing;
      assert.equal(held.isClosed, true, end);
    }
  });

  it('does not wait for ever, and closes once', async () => {
    const held = new HeldProvider(createMemoryProvider({ id }));
    const provider = withOrderlyClose(held, { waitMs: 1 });
    const read = provider.readShard(cid, 0, 1);
    await Promise.all([provider.close(), provider.close()]);
    assert.equal(held.isClosed, true);
    held.release();
    await assert.rejects(read);
  });

  it('refuses calls that come later', async () => {
    const provider = withOrderlyClose(createFaultyProvider(createMemoryProvider({ id })), { waitMs: 1_000 });
    await provider.close();
    for (const call of [
      () => provider.putShard(cid, []),
      () => provider.createShard(),
      () => provider.readShard(cid, 0, 1),
      () => provider.deleteShard(cid),
      () => provider.capacity(),
    ]) {
      await assert.rejects(call, (error) => isFailure(error, 'provider-error'));
    }
  });
});
