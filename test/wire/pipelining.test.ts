import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { signHeaders } from '../harness/signed-fetch.ts';

let gateway: TestGateway;
before(async () => {
  gateway = await startGateway();
  await gateway.fetchSigned('PUT', '/bucket');
  await gateway.fetchSigned('PUT', '/bucket/large', { body: Buffer.alloc(4 * 1024 * 1024, 'x') });
});
after(() => gateway.close());

test('a client that pipelines downloads and goes away leaves no request and no memory behind', async () => {
  const { hostname, port, host } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  const headers = signHeaders({
    method: 'GET',
    pathAndQuery: '/bucket/large',
    host,
    region: 'us-east-1',
    key: rootKey,
  });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const request = `GET /bucket/large HTTP/1.1\r\n${lines.join('')}\r\n`;
  socket.write(request.repeat(20));
  await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  const { requestsInFlight, budgetBytes } = gateway.gateway.metrics;
  const isIdle = async (): Promise<boolean> => {
    const taken = (await budgetBytes.get()).values.reduce((sum, { value }) => sum + value, 0);
    return taken === 0 && (await requestsInFlight.get()).values[0]?.value === 0;
  };
  while (!(await isIdle())) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await gateway.fetchSigned('GET', '/bucket/large')).body.length, 4 * 1024 * 1024);
});
