import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { signHeaders } from '../harness/signed-fetch.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway();
  await gateway.fetchSigned('PUT', '/bucket');
});
after(() => gateway.close());

test('a refused request that waits for 100-continue gets 403 before its body, and the connection serves the next request', async () => {
  const socket = await openSocket();
  for (let round = 0; round < 3; round++) {
    socket.write(
      head('PUT', '/bucket/refused', {
        secret: 'wrong',
        headers: { expect: '100-continue', 'content-length': '1000000' },
      }),
    );
    assert.match(await readAnswer(socket), /^HTTP\/1\.1 403 Forbidden\r\n(?!.*connection: close)/is);
    socket.write(head('GET', '/bucket', { secret: rootKey.secretAccessKey }));
    assert.match(await readAnswer(socket), /^HTTP\/1\.1 200 OK\r\n/);
  }
  socket.destroy();
});

test('a client that sends the refused body all the same has nothing stored and is cut off', async () => {
  const socket = await openSocket();
  socket.write(
    head('PUT', '/bucket/refused', { secret: 'wrong', headers: { expect: '100-continue', 'content-length': '50000' } }),
  );
  assert.match(await readAnswer(socket), /^HTTP\/1\.1 403 /);
  socket.write(Buffer.alloc(50_000, 'x'));
  assert.match(await readAnswer(socket), /^HTTP\/1\.1 400 /);
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  assert.equal((await gateway.fetchSigned('GET', '/bucket/refused')).status, 404);
});

test('behind a proxy the connection is closed instead, since the body might be taken for a request of another client', async () => {
  const socket = await openSocket();
  const headers = { expect: '100-continue', 'content-length': '10', via: '1.1 proxy' };
  socket.write(head('PUT', '/bucket/refused', { secret: 'wrong', headers }));
  assert.match(await readAnswer(socket), /^HTTP\/1\.1 403 .*connection: close/is);
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
});

function openSocket(): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.once('error', reject);
  });
}

function head(
  method: string,
  path: string,
  { secret, headers = {} }: { secret: string; headers?: Record<string, string> },
): string {
  const { host } = new URL(gateway.url);
  const key = { ...rootKey, secretAccessKey: secret };
  const signed = signHeaders({
    method,
    pathAndQuery: path,
    host,
    region: 'us-east-1',
    key,
    options: { payloadHash: 'UNSIGNED-PAYLOAD' },
  });
  const lines = Object.entries({ ...signed, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** One whole answer: its head, and as much body as Content-Length says. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const settle = (finish: () => void): void => {
      socket.off('data', onData);
      socket.off('close', onClose);
      finish();
    };
    const onClose = (): void => settle(() => reject(new Error(`closed after ${JSON.stringify(text)}`)));
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (end >= 0 && text.length >= end + 4 + length) settle(() => resolve(text));
    };
    socket.on('data', onData);
    socket.on('close', onClose);
  });
}
