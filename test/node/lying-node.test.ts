import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { encodeResultHeader } from '../../placement/providers/node/batch-frames.ts';
import { openNodeProvider } from '../../placement/providers/node/node-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { nameOf } from '../placement/provider-conformance.ts';
import { testKey } from './node-harness.ts';

/** What a node does that does not keep to the protocol. */
type Lie = (message: IncomingMessage, response: ServerResponse) => void;

const cid = nameOf(randomBytes(10));

describe('a node that lies', () => {
  let server: Server;
  let provider: Provider;
  let lie: Lie;
  let bodies: number;
  let sentBytes: number;

  beforeEach(async () => {
    bodies = 0;
    sentBytes = 0;
    server = createServer(async (message, response) => {
      if (message.url === '/v1/instance') return void response.end(JSON.stringify({ instance: 'ab'.repeat(16) }));
      for await (const chunk of message) bodies += (chunk as Buffer).length;
      lie(message, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    provider = openNodeProvider({ id: 'n1' as ProviderId, endpoint: `http://127.0.0.1:${port}`, key: testKey });
  });
  afterEach(async () => {
    await provider.close();
    server.closeAllConnections();
    server.close();
  });

  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    putShard: () => provider.putShard(cid, [randomBytes(10)]),
    'putShard of a large one': () => provider.putShard(cid, [randomBytes(500_000)]),
    createShard: () => provider.createShard(),
    readShard: () => provider.readShard(cid, 0, 100),
    'readShard of much': () => provider.readShard(cid, 0, 100_000),
    statShard: () => provider.statShard(cid),
    deleteShard: () => provider.deleteShard(cid),
    listShards: () => provider.listShards(undefined, 10),
    readRoot: () => provider.readRoot(),
    writeRoot: () => provider.writeRoot(randomBytes(10)),
    reclaim: () => provider.reclaim(),
    capacity: () => provider.capacity(),
  };

  async function assertAllFail(names: readonly string[] = Object.keys(calls)): Promise<void> {
    for (const name of names) {
      await assert.rejects(calls[name]!(), (error) => isFailure(error, 'provider-error'), name);
    }
  }

  /** Sends without end; counts what the connection takes. */
  const flood: Lie = (_message, response) => {
    const chunk = Buffer.alloc(65_536, 'x');
    const go = (): void => {
      while (!response.destroyed && response.write(chunk)) sentBytes += chunk.length;
    };
    response.on('drain', go);
    go();
  };

  it('by garbage fails every call', async () => {
    lie = (_message, response) => void response.end('garbage that is no answer to anything');
    await assertAllFail();
  });

  it('by answers without end fails every call, and little of them is read', async () => {
    lie = flood;
    await assertAllFail();
    assert.ok(sentBytes < 50 * 2 ** 20, `${sentBytes} bytes`);
    await pollUntil('the connections are cut', async () => {
      const [count] = await Promise.all([
        new Promise<number>((resolve) => server.getConnections((_error, found) => resolve(found))),
      ]);
      return count <= 1;
    });
  });

  it('by errors without end fails every call', async () => {
    lie = (message, response) => {
      response.statusCode = 500;
      flood(message, response);
    };
    await assertAllFail();
  });

  it('by empty answers fails every call that asks for something', async () => {
    lie = (_message, response) => void response.end();
    const successes = ['putShard of a large one', 'writeRoot'];
    await assertAllFail(Object.keys(calls).filter((name) => !successes.includes(name)));
  });

  it('by answers of the wrong shape fails the calls', async () => {
    const documents: unknown[] = [
      null,
      7,
      [],
      {},
      { upload: '../../etc', root: 'no base64!', more: 'yes', totalBytes: -1, freeBytes: 1, shards: [[cid, -1, 0]] },
      { upload: 7, root: 7, more: 1, totalBytes: 1e300, freeBytes: 0, shards: [['../x', 1, 0]] },
      { root: Buffer.alloc(70_000).toString('base64'), shards: Array.from({ length: 11 }, () => [cid, 1, 1]) },
      { shards: [], cursor: { length: 1 } },
      { shards: [], cursor: 'x'.repeat(600) },
      { shards: { length: 0 } },
      { shards: [[cid, 1.5, 0]] },
      { shards: [[cid, 1, 'yesterday']] },
      { shards: [[cid, 1, -1]] },
    ];
    for (const document of documents) {
      lie = (_message, response) => void response.end(JSON.stringify(document));
      await assertAllFail(['createShard', 'listShards', 'reclaim', 'capacity', 'readRoot']);
    }
  });

  it('by a page that leads back to itself fails the call', async () => {
    lie = (_message, response) => void response.end(JSON.stringify({ shards: [], cursor: 'c' }));
    assert.deepEqual(await provider.listShards('b', 10), { shards: [], cursor: 'c' });
    await assert.rejects(provider.listShards('c', 10), (error) => isFailure(error, 'provider-error'));
  });

  it('by frames that are none of the batch’s fails the calls', async () => {
    const results = [
      [encodeResultHeader(0, 'ok', 101), randomBytes(101)],
      [encodeResultHeader(0, 'ok', 99), randomBytes(99)],
      [encodeResultHeader(1, 'ok', 100), randomBytes(100)],
      [encodeResultHeader(0, 'ok', 100), randomBytes(50)],
      [encodeResultHeader(0, 'ok', 0xffffffff), randomBytes(50)],
      [encodeResultHeader(0xffffffff, 'ok', 100), randomBytes(100)],
      [randomBytes(12), randomBytes(100)],
    ];
    for (const result of results) {
      lie = (_message, response) => void response.end(Buffer.concat(result));
      await assertAllFail(['readShard']);
    }
    lie = (_message, response) =>
      void response.end(Buffer.concat([encodeResultHeader(0, 'ok', 16), Buffer.alloc(16, 0xff)]));
    await assertAllFail(['statShard']);
  });

  it('by answers that are too short or cut off fails the calls', async () => {
    lie = (_message, response) => void response.end(randomBytes(99_999));
    await assertAllFail(['readShard of much']);
    lie = (_message, response) => {
      response.writeHead(200, { 'content-length': 100_000 });
      response.write(randomBytes(50_000), () => response.destroy());
    };
    await assertAllFail(['readShard of much', 'readShard', 'capacity']);
    lie = (_message, response) => void response.destroy();
    await assertAllFail();
  });

  it('of missing shards is believed only where a shard can be missing, and of what is full at once', async () => {
    lie = (_message, response) => {
      response.writeHead(404);
      response.end(JSON.stringify({ error: 'shard-missing' }));
    };
    await assert.rejects(calls['readShard of much']!(), (error) => isFailure(error, 'shard-missing'));
    await assertAllFail(['capacity', 'createShard', 'listShards', 'putShard of a large one', 'writeRoot', 'readRoot']);
    lie = (_message, response) => void response.end(encodeResultHeader(0, 'shard-missing', 0));
    await assert.rejects(calls.statShard!(), (error) => isFailure(error, 'shard-missing'));
    await assertAllFail(['putShard', 'deleteShard']);
    lie = (_message, response) => void response.end(encodeResultHeader(0, 'provider-full', 0));
    await assert.rejects(calls.putShard!(), (error) => isFailure(error, 'provider-full'));
    lie = (_message, response) => {
      response.writeHead(507);
      response.end(JSON.stringify({ error: 'provider-full' }));
    };
    await assert.rejects(calls['putShard of a large one']!(), (error) => isFailure(error, 'provider-full'));
  });

  it('by saying again and again that it was started anew is asked twice and no more', async () => {
    let count = 0;
    lie = (_message, response) => {
      response.writeHead(401);
      const instance = (++count).toString(16).padStart(32, '0');
      response.end(JSON.stringify({ error: 'instance-changed', instance }));
    };
    await assertAllFail(['capacity']);
    assert.equal(count, 2);
  });

  it('by silence holds a call until its caller gives up, and then the connection is cut', async () => {
    let closedCount = 0;
    let heldCount = 0;
    lie = (_message, response) => {
      heldCount++;
      response.on('close', () => closedCount++);
    };
    const reason = new Error('the caller has waited long enough');
    const controller = new AbortController();
    const waiting = [
      provider.readShard(cid, 0, 100, controller.signal),
      provider.readShard(cid, 0, 100_000, controller.signal),
      provider.putShard(cid, [randomBytes(10)], controller.signal),
      provider.capacity(controller.signal),
    ];
    await pollUntil('all are held', () => heldCount === 4);
    controller.abort(reason);
    for (const call of waiting) await assert.rejects(call, (error) => error === reason);
    await pollUntil('all are closed', () => closedCount === 4);
  });

  it('about one call of a batch does not hold up the others, and one that gives up leaves them alone', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    lie = async (_message, response) => {
      response.write(Buffer.concat([encodeResultHeader(1, 'ok', 100), Buffer.alloc(100, 'b')]));
      await released;
      response.end(
        Buffer.concat([
          encodeResultHeader(2, 'ok', 100),
          Buffer.alloc(100, 'c'),
          encodeResultHeader(0, 'ok', 100),
          Buffer.alloc(100, 'a'),
        ]),
      );
    };
    const reason = new Error('not worth the wait');
    const controller = new AbortController();
    const first = provider.readShard(cid, 0, 100, controller.signal);
    const second = provider.readShard(cid, 0, 100);
    const third = provider.readShard(cid, 0, 100);
    assert.equal(Buffer.from(await second).toString(), 'b'.repeat(100));
    controller.abort(reason);
    await assert.rejects(first, (error) => error === reason);
    release();
    assert.equal(Buffer.from(await third).toString(), 'c'.repeat(100));
    assert.ok(bodies > 0);
  });
});
