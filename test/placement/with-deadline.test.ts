import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { createFaultyProvider, type FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider, ShardWriter } from '../../placement/providers/provider.ts';
import { withDeadline } from '../../placement/providers/with-deadline.ts';
import { nameOf, storeShard } from './provider-conformance.ts';

const id = 'm1' as ProviderId;
const timeoutMs = 20;
const bytes = new Uint8Array(100).fill(1);
const cid = nameOf(bytes);

async function setUp(): Promise<{ inner: FaultyProvider; provider: Provider }> {
  const inner = createFaultyProvider(createMemoryProvider({ id, capacityBytes: 1000 }));
  await storeShard(inner, bytes);
  return { inner, provider: withDeadline(inner, { timeoutMs }) };
}

function isTimeout(call: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isFailure(error, 'provider-timeout'), String(error));
    const failure: Failure<'provider-timeout'> = error;
    assert.deepEqual(failure.detail, { providerId: id, call, timeoutMs });
    return true;
  };
}

/** A provider whose calls do not even obey their signal; what they were given is kept. */
function createDeafProvider(): {
  provider: Provider;
  signals: AbortSignal[];
  answerCreate: (writer: ShardWriter) => void;
} {
  const signals: AbortSignal[] = [];
  const created = Promise.withResolvers<ShardWriter>();
  const hang = (signal?: AbortSignal) => {
    if (signal) signals.push(signal);
    return new Promise<never>(() => {});
  };
  const provider: Provider = {
    id,
    putShard: (_cid, _buffers, signal) => hang(signal),
    readRoot: (signal) => hang(signal),
    writeRoot: (_bytes, signal) => hang(signal),
    reclaim: (signal) => hang(signal),
    createShard: (signal) => {
      if (signal) signals.push(signal);
      return created.promise;
    },
    readShard: (_cid, _offset, _length, signal) => hang(signal),
    statShard: (_cid, signal) => hang(signal),
    deleteShard: (_cid, signal) => hang(signal),
    listShards: (_cursor, _limit, signal) => hang(signal),
    capacity: (signal) => hang(signal),
    close: async () => {},
  };
  return { provider, signals, answerCreate: created.resolve };
}

/** A writer that notes what is done to it; calls named in `hanging` never settle. */
function createNotingWriter(hanging: readonly (keyof ShardWriter)[]): { writer: ShardWriter; calls: string[] } {
  const calls: string[] = [];
  const act = (call: keyof ShardWriter) => {
    calls.push(call);
    return hanging.includes(call) ? new Promise<never>(() => {}) : Promise.resolve();
  };
  return { writer: { append: () => act('append'), commit: () => act('commit'), abort: () => act('abort') }, calls };
}

describe('provider with a deadline', () => {
  it('fails with provider-timeout when a call hangs, and tells the call to stop', async () => {
    const deaf = createDeafProvider();
    const provider = withDeadline(deaf.provider, { timeoutMs });
    const calls: Record<string, () => Promise<unknown>> = {
      putShard: () => provider.putShard(cid, []),
      readRoot: () => provider.readRoot(),
      writeRoot: () => provider.writeRoot(new Uint8Array(1)),
      reclaim: () => provider.reclaim(),
      createShard: () => provider.createShard(),
      readShard: () => provider.readShard(cid, 0, 1),
      statShard: () => provider.statShard(cid),
      deleteShard: () => provider.deleteShard(cid),
      listShards: () => provider.listShards(undefined, 10),
      capacity: () => provider.capacity(),
    };
    for (const [call, start] of Object.entries(calls)) await assert.rejects(start, isTimeout(call));
    assert.equal(deaf.signals.length, Object.keys(calls).length);
    for (const signal of deaf.signals) assert.ok(isFailure(signal.reason, 'provider-timeout'));
  });

  it('leaves calls alone that are done in time', async () => {
    const { inner, provider } = await setUp();
    inner.faults.always('all', { slowMs: 1 });
    assert.equal((await provider.readShard(cid, 0, 100)).length, 100);
    await storeShard(provider, new Uint8Array(10));
    inner.faults.next('readShard', 'missing');
    await assert.rejects(provider.readShard(cid, 0, 1), (error) => isFailure(error, 'shard-missing'));
  });

  it('gives calls that send bytes as long as a slow link takes, where that was said', async () => {
    const { inner } = await setUp();
    const provider = withDeadline(inner, { timeoutMs, writeTimeoutMs: 60_000 });
    for (const call of ['append', 'commit', 'putShard'] as const) inner.faults.always(call, { slowMs: 3 * timeoutMs });
    await storeShard(provider, new Uint8Array(7));
    await provider.putShard(nameOf(new Uint8Array(9)), [new Uint8Array(9)]);
    inner.faults.always('readShard', { slowMs: 60_000 });
    await assert.rejects(provider.readShard(cid, 0, 1), isTimeout('readShard'));
  });

  it('counts the time of each call, not of the whole shard', async () => {
    const { inner } = await setUp();
    // Far enough apart for a busy machine.
    const provider = withDeadline(inner, { timeoutMs: 400 });
    inner.faults.always('append', { slowMs: 120 });
    const writer = await provider.createShard();
    for (let count = 0; count < 4; count++) await writer.append([new Uint8Array([count])]);
    await writer.commit(nameOf(Uint8Array.of(0, 1, 2, 3)));
    assert.equal((await provider.statShard(nameOf(Uint8Array.of(0, 1, 2, 3)))).bytes, 4);
  });

  it('aborts a writer that comes too late', async () => {
    const deaf = createDeafProvider();
    const provider = withDeadline(deaf.provider, { timeoutMs });
    await assert.rejects(provider.createShard(), isTimeout('createShard'));
    const late = createNotingWriter([]);
    deaf.answerCreate(late.writer);
    await new Promise(setImmediate);
    assert.deepEqual(late.calls, ['abort']);
  });

  it('lets nothing be committed after an append that hung', async () => {
    const { inner, provider } = await setUp();
    const other = nameOf(new Uint8Array(7));
    const writer = await provider.createShard();
    inner.faults.next('append', 'hang');
    await assert.rejects(writer.append([new Uint8Array(7)]), isTimeout('append'));
    await assert.rejects(writer.append([new Uint8Array(7)]), isTimeout('append'));
    await assert.rejects(writer.commit(other), isTimeout('append'));
    await writer.abort();
    await assert.rejects(inner.statShard(other), (error) => isFailure(error, 'shard-missing'));
    assert.equal((await inner.capacity()).freeBytes, 900);
  });

  it('gives up a commit that hangs', async () => {
    const deaf = createDeafProvider();
    const provider = withDeadline(deaf.provider, { timeoutMs });
    const noting = createNotingWriter(['commit']);
    deaf.answerCreate(noting.writer);
    const writer = await provider.createShard();
    await assert.rejects(writer.commit(cid), isTimeout('commit'));
    assert.deepEqual(noting.calls, ['commit', 'abort']);
  });

  it('ends an abort, even one that hangs', async () => {
    const deaf = createDeafProvider();
    const provider = withDeadline(deaf.provider, { timeoutMs });
    deaf.answerCreate(createNotingWriter(['abort']).writer);
    const writer = await provider.createShard();
    await writer.abort();
  });

  it('hands the caller’s abort on, and does not wait for an answer', async () => {
    const deaf = createDeafProvider();
    const provider = withDeadline(deaf.provider, { timeoutMs: 60_000 });
    const controller = new AbortController();
    const reason = new Error('the client went away');
    const countTimers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const timers = countTimers();
    const reading = provider.readShard(cid, 0, 1, controller.signal);
    const creating = provider.createShard(controller.signal);
    controller.abort(reason);
    await assert.rejects(reading, (error) => error === reason);
    await assert.rejects(creating, (error) => error === reason);
    assert.equal(countTimers(), timers);
    assert.deepEqual(
      deaf.signals.map((signal) => signal.reason),
      [reason, reason],
    );
  });

  it('leaves no listener on a signal that outlives its calls', async () => {
    const { provider } = await setUp();
    let listeners = 0;
    const { signal } = new AbortController();
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    await provider.readShard(cid, 0, 1, signal);
    await storeShard(provider, new Uint8Array(5), signal);
    const writer = await provider.createShard(signal);
    assert.equal(listeners, 1);
    await writer.abort();
    assert.equal(listeners, 0);
  });
});
