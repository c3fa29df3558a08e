import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { LoadGenerator, type PreparedRequest } from '../../bench/load.ts';

const requests = ['a', 'b', 'c', 'd'].map(
  (name): PreparedRequest => ({
    name,
    head: Buffer.from(`PUT /${name} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n`),
    body: Buffer.from('abc'),
    isRight: ({ status }) => status === 200,
  }),
);

/** Runs a load against a server that answers as it is told. */
async function load<T>(listener: RequestListener, run: (generator: LoadGenerator) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    return await run(new LoadGenerator({ url, requests, clients: 2 }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('the load', () => {
  it('sends every request once, and counts bodies in both directions', async () => {
    const seen: string[] = [];
    const result = await load(
      (request, response) => {
        seen.push(request.url!);
        request.resume().on('end', () => response.end('12345'));
      },
      (generator) => generator.runAll(),
    );
    assert.deepEqual(seen.toSorted(), ['/a', '/b', '/c', '/d']);
    assert.equal(result.requests, 4);
    assert.equal(result.latenciesMs.length, 4);
    assert.equal(result.bytes, 4 * (3 + 5));
    assert.equal(result.refusals, 0);
  });

  it('has at least one request of each client, however short it is', async () => {
    const result = await load(
      (request, response) => void request.resume().on('end', () => response.end()),
      (generator) => generator.run(0),
    );
    assert.equal(result.requests, 2);
  });

  it('sends again what was refused for now, and counts it', async () => {
    let refusalsLeft = 3;
    const result = await load(
      (request, response) => {
        if (refusalsLeft-- > 0) response.statusCode = 503;
        request.resume().on('end', () => response.end());
      },
      (generator) => generator.runAll(),
    );
    assert.equal(result.requests, 4);
    assert.equal(result.refusals, 3);
  });

  it('takes a new connection where the server wants one', async () => {
    const connections = new Set<unknown>();
    const result = await load(
      (request, response) => {
        connections.add(request.socket);
        response.setHeader('connection', 'close');
        request.resume().on('end', () => response.end());
      },
      (generator) => generator.runAll(),
    );
    assert.equal(connections.size, 4);
    assert.equal(result.requests, 4);
  });

  it('fails with any other answer', async () => {
    const failing = load(
      (_request, response) => response.writeHead(403, { 'content-length': 6 }).end('denied'),
      (generator) => generator.runAll(),
    );
    await assert.rejects(failing, /status 403, 6 bytes denied/);
  });
});
