import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { BodyReader } from '../../gateway/payload/body-reader.ts';
import { createPayload } from '../../gateway/payload/create-payload.ts';
import { collect, seedSignature, signedBy } from './chunked-body.ts';

/** A body that is fed by hand. */
class FedBody implements AsyncIterable<Uint8Array> {
  #feed: ((result: IteratorResult<Uint8Array>) => void) | undefined;
  returned = false;

  feed(text: string): void {
    this.#feed?.({ done: false, value: Buffer.from(text) });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () =>
        new Promise((resolve) => {
          this.#feed = resolve;
        }),
      return: async () => {
        this.returned = true;
        return { done: true, value: undefined };
      },
    };
  }
}

/** A clock moved by hand for the one timer that a reader sets (node's own mock does not know refresh). */
function fakeTimer(context: TestContext): (ms: number) => void {
  let nowMs = 0;
  let dueMs = Number.POSITIVE_INFINITY;
  let fire = (): void => {};
  context.mock.method(globalThis, 'setTimeout', (callback: () => void, ms: number) => {
    const arm = () => {
      dueMs = nowMs + ms;
    };
    arm();
    fire = callback;
    return { refresh: arm, unref() {} };
  });
  return (ms) => {
    nowMs += ms;
    if (nowMs < dueMs) return;
    dueMs = Number.POSITIVE_INFINITY;
    fire();
  };
}

test('a client that sends nothing for too long is given up, however often it was quick before', async (context) => {
  const pass = fakeTimer(context);
  const body = new FedBody();
  const reader = new BodyReader({ body, idleTimeoutMs: 1000 });
  for (const text of ['a', 'b', 'c']) {
    const next = reader.next();
    pass(999);
    body.feed(text);
    assert.equal(Buffer.from((await next)!).toString(), text);
  }
  const next = reader.next();
  pass(1000);
  await assert.rejects(next, { code: 'RequestTimeout' });
});

test('the time that the reader takes does not count against the client', async (context) => {
  const pass = fakeTimer(context);
  const body = new FedBody();
  const reader = new BodyReader({ body, idleTimeoutMs: 1000 });
  const first = reader.next();
  body.feed('a');
  await first;
  pass(60_000);
  const second = reader.next();
  pass(999);
  body.feed('b');
  assert.equal(Buffer.from((await second)!).toString(), 'b');
});

test('giving up leaves the connection alone, so that the error can be sent', async () => {
  const body = new FedBody();
  const payload = createPayload({
    body,
    headers: { 'content-length': '10' },
    authentication: signedBy(seedSignature, 'UNSIGNED-PAYLOAD'),
    idleTimeoutMs: 1000,
  });
  const iterator = payload.bytes[Symbol.asyncIterator]();
  const first = iterator.next();
  body.feed('a');
  await first;
  await iterator.return?.();
  assert.equal(body.returned, false);
});

test('mistakes of our own are not blamed on the client', async () => {
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('a');
    throw new TypeError('a mistake');
  };
  const reader = new BodyReader({ body: failing(), idleTimeoutMs: 1000 });
  await reader.next();
  await assert.rejects(reader.next(), TypeError);
  reader.close();
});

test('over HTTP, a client that hangs up is IncompleteBody, and one that stalls RequestTimeout', async (context) => {
  const outcomes: ((outcome: unknown) => void)[] = [];
  const server = createServer((message, response) => {
    const payload = createPayload({
      body: message,
      headers: message.headers,
      authentication: signedBy(seedSignature, 'UNSIGNED-PAYLOAD'),
      idleTimeoutMs: 50,
    });
    collect(payload.bytes).then(
      (bytes) => outcomes.shift()?.(bytes.toString()),
      (error: { code: string }) => {
        outcomes.shift()?.(error.code);
        response.writeHead(400, { connection: 'close' }).end(error.code);
      },
    );
  });
  server.listen(0);
  context.after(() => server.close());
  await once(server, 'listening');
  const send = (body: string) => {
    const outcome = new Promise((resolve) => outcomes.push(resolve));
    const socket = connect((server.address() as AddressInfo).port);
    socket.write(`PUT /b/k HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n${body}`);
    return { outcome, socket };
  };
  const whole = send('abc');
  assert.equal(await whole.outcome, 'abc');
  whole.socket.destroy();

  const hangsUp = send('ab');
  server.once('request', () => hangsUp.socket.destroy());
  assert.equal(await hangsUp.outcome, 'IncompleteBody');

  const stalls = send('ab');
  assert.equal(await stalls.outcome, 'RequestTimeout');
  const [answer] = await once(stalls.socket, 'data');
  assert.match(String(answer), /^HTTP\/1.1 400 Bad Request\r\n.*\r\nRequestTimeout\r\n/s);
});
