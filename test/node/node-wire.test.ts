import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { digestOfCid } from '../../core/cid-digest.ts';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { NodeLimits } from '../../node/node-server.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { callHeaderBytes, writeCallHeader } from '../../placement/providers/node/batch-frames.ts';
import { generateNodeKey, type NodeKey } from '../../placement/providers/node/node-key.ts';
import {
  digestContent,
  noContent,
  RequestSigner,
  type SignedRequest,
} from '../../placement/providers/node/request-signature.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { type RawAnswer, RawConnection } from '../harness/raw-connection.ts';
import { listAll, nameOf, storeShard } from '../placement/provider-conformance.ts';
import { startTestNode, type TestNode, testKey } from './node-harness.ts';

describe('a node on the wire', () => {
  let node: TestNode;
  let instance: string;
  let sequence = 0;
  const session = randomBytes(16).toString('hex');

  /** In memory: what is tested here is what stands before the directory. */
  async function startNode(limits: Partial<NodeLimits>): Promise<void> {
    node = await startTestNode({ provider: createMemoryProvider({ id: 'm1' as ProviderId }), limits });
    ({ instance } = (await (await fetch(`${node.url}/v1/instance`)).json()) as { instance: string });
  }
  async function restartNode(limits: Partial<NodeLimits>): Promise<void> {
    await node.stop();
    await startNode(limits);
  }

  beforeEach(() => startNode({}));
  afterEach(() => node.stop());

  interface Change {
    readonly key?: NodeKey;
    readonly signed?: Partial<SignedRequest>;
    readonly headers?: Readonly<Record<string, string>>;
    readonly sentBody?: Uint8Array;
    readonly sentTarget?: string;
    readonly sentMethod?: string;
  }

  /** The bytes of a request that is as it should be but for `change`. */
  function render(method: string, target: string, body?: Uint8Array, change: Change = {}): Buffer {
    const request: SignedRequest = {
      method,
      target,
      instance,
      session,
      sequence: sequence++,
      dateMs: Date.now(),
      contentBytes: body?.length ?? 0,
      content: body === undefined || body.length === 0 ? noContent : digestContent([body]),
      ...change.signed,
    };
    const headers = {
      host: 'node',
      authorization: new RequestSigner(change.key ?? testKey).sign(request),
      ...(body && { 'content-length': String(body.length) }),
      ...change.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `${change.sentMethod ?? method} ${change.sentTarget ?? target} HTTP/1.1\r\n${lines.join('')}\r\n`;
    return Buffer.concat([Buffer.from(head), change.sentBody ?? body ?? new Uint8Array(0)]);
  }

  async function send(bytes: Uint8Array): Promise<RawAnswer> {
    const connection = await RawConnection.open(node.url);
    try {
      await connection.write(bytes);
      return await connection.readAnswer();
    } finally {
      connection.destroy();
    }
  }

  async function assertRefused(bytes: Uint8Array, status: number, error: string): Promise<void> {
    const answer = await send(bytes);
    assert.equal(answer.status, status, answer.text);
    assert.equal((JSON.parse(answer.text) as { error: string }).error, error);
  }

  function renderPut(cid: ShardCid, bytes: Uint8Array): Buffer {
    const header = Buffer.alloc(callHeaderBytes);
    writeCallHeader(header, 0, { kind: 'put', digest: digestOfCid(cid)!, offset: 0, length: bytes.length });
    return Buffer.concat([header, bytes]);
  }

  const requestsInFlight = () => node.metrics.requestTally.inFlight;
  const assertNothingStored = async () => assert.deepEqual(await listAll(node.directory, 10), []);

  it('answers what is signed as it should be', async () => {
    const answer = await send(render('GET', '/v1/capacity'));
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.text), await node.directory.capacity());
  });

  it('refuses a request that came before, on whatever connection', async () => {
    const bytes = randomBytes(100);
    const put = render('POST', '/v1/batch', renderPut(nameOf(bytes), bytes));
    assert.equal((await send(put)).status, 200);
    await node.directory.deleteShard(nameOf(bytes));
    await assertRefused(put, 403, 'replayed');
    await assertNothingStored();
  });

  it('refuses what is not signed, or with another key', async () => {
    await assertRefused(Buffer.from('GET /v1/capacity HTTP/1.1\r\nhost: node\r\n\r\n'), 401, 'unsigned');
    const basic = { headers: { authorization: 'Basic YTpi' } };
    await assertRefused(render('GET', '/v1/capacity', undefined, basic), 401, 'unsigned');
    const { key } = generateNodeKey();
    await assertRefused(render('GET', '/v1/capacity', undefined, { key }), 401, 'unknown-key');
    await assertRefused(
      render('GET', '/v1/capacity', undefined, { key: { ...key, id: testKey.id } }),
      401,
      'bad-signature',
    );
  });

  it('refuses a request that was changed on its way', async () => {
    const bytes = randomBytes(100);
    const cid = nameOf(bytes);
    await node.directory.putShard(cid, [bytes]);
    const stat = '/v1/shards?limit=10';
    await assertRefused(render('GET', stat, undefined, { sentTarget: '/v1/shards?limit=100' }), 401, 'bad-signature');
    await assertRefused(render('GET', '/v1/root', undefined, { sentMethod: 'PUT' }), 401, 'bad-signature');
    const longer = { headers: { 'content-length': '101' }, sentBody: randomBytes(101) };
    await assertRefused(render('PUT', '/v1/root', bytes, longer), 401, 'bad-signature');
    await assertRefused(render('PUT', '/v1/root', bytes, { sentBody: randomBytes(100) }), 400, 'content-mismatch');
    await assertRefused(render('PUT', '/v1/root', bytes, { signed: { content: 'none' } }), 400, 'bad-request');
    assert.equal(await node.directory.readRoot(), undefined);
    const chunked = { headers: { 'transfer-encoding': 'chunked' }, sentBody: Buffer.from('0\r\n\r\n') };
    await assertRefused(render('PUT', '/v1/root', undefined, chunked), 400, 'bad-request');
  });

  it('refuses what is dated outside the window, and what was meant for an earlier run of the node', async () => {
    for (const skewMs of [-301_000, 301_000]) {
      const signed = { dateMs: Date.now() + skewMs };
      await assertRefused(render('GET', '/v1/capacity', undefined, { signed }), 401, 'clock-skew');
    }
    for (const skewMs of [-290_000, 290_000]) {
      const signed = { dateMs: Date.now() + skewMs };
      assert.equal((await send(render('GET', '/v1/capacity', undefined, { signed }))).status, 200);
    }
    const answer = await send(render('GET', '/v1/capacity', undefined, { signed: { instance: '0'.repeat(32) } }));
    assert.equal(answer.status, 401);
    assert.deepEqual(JSON.parse(answer.text), {
      error: 'instance-changed',
      message: 'the node was started anew',
      instance,
    });
  });

  it('refuses what breaks its limits, and takes the next request on the connection', async () => {
    const connection = await RawConnection.open(node.url);
    const statusOf = async (bytes: Uint8Array): Promise<string> => {
      await connection.write(bytes);
      const { status, text } = await connection.readAnswer();
      return `${status} ${status === 200 ? '' : (JSON.parse(text) as { error: string }).error}`.trim();
    };
    assert.equal(await statusOf(render('POST', '/v1/batch', new Uint8Array(4 * 2 ** 20 + 1))), '413 too-large');
    assert.equal(await statusOf(render('PUT', '/v1/root', new Uint8Array(65_537))), '413 too-large');
    assert.equal(await statusOf(render('POST', '/v1/batch', randomBytes(1000))), '400 bad-request');
    assert.equal(await statusOf(render('GET', '/v1/shards?limit=10001')), '400 bad-request');
    assert.equal(await statusOf(render('GET', '/v1/shards?limit=-1')), '400 bad-request');
    assert.equal(await statusOf(render('GET', '/v1/shards/baaaaaaaaaa?offset=0&length=1')), '400 bad-request');
    assert.equal(await statusOf(render('GET', '/v1/nothing')), '404 route-missing');
    assert.equal(
      await statusOf(render('POST', `/v1/uploads/${'0'.repeat(32)}?offset=0`, randomBytes(10))),
      '404 upload-missing',
    );
    assert.equal(await statusOf(render('GET', '/v1/capacity')), '200');
    connection.destroy();
    await assertNothingStored();
  });

  it('cuts off a body that stalls, and keeps nothing of it', async () => {
    await restartNode({ bodyIdleMs: 200 });
    const bytes = randomBytes(500_000);
    const whole = render('PUT', `/v1/shards/${nameOf(bytes)}`, bytes);
    const connection = await RawConnection.open(node.url);
    await connection.write(whole.subarray(0, 300_000));
    await connection.waitForEnd();
    await pollUntil('the request is over', () => requestsInFlight() === 0);
    await assertNothingStored();
    assert.match(
      await node.metrics.registry.metrics(),
      /holdfast_node_requests_total\{operation="PutShard",status="\d+",code="body-timeout"\} 1/,
    );
  });

  it('keeps nothing of a write whose connection is cut at any stage', async () => {
    const small = randomBytes(3000);
    const large = randomBytes(500_000);
    const batch = render('POST', '/v1/batch', renderPut(nameOf(small), small));
    const whole = render('PUT', `/v1/shards/${nameOf(large)}`, large);
    for (const request of [batch, whole]) {
      for (const cut of [20, request.indexOf('\r\n\r\n') + 4, request.length >> 1, request.length - 1]) {
        const connection = await RawConnection.open(node.url);
        // The same request may come again: one that was cut in its head was never admitted, the others are replays.
        await connection.write(request.subarray(0, cut));
        connection.destroy();
        await pollUntil('the request is over', () => requestsInFlight() === 0);
      }
    }
    await assertNothingStored();
    assert.deepEqual(await node.directory.capacity(), { totalBytes: 2 ** 30, freeBytes: 2 ** 30 });
  });

  it('drops an upload whose gateway went away between append and commit, and says so afterwards', async () => {
    const bytes = randomBytes(10_000);
    await restartNode({ uploadIdleMs: 500 });
    let upload: string;
    let appended: RawAnswer;
    do {
      // On a machine that is busy it may be dropped before the piece comes.
      ({ upload } = JSON.parse((await send(render('POST', '/v1/uploads'))).text) as { upload: string });
      appended = await send(render('POST', `/v1/uploads/${upload}?offset=0`, bytes));
    } while (appended.status !== 200);
    await pollUntil('the upload was dropped', async () =>
      /^holdfast_node_uploads 0$/m.test(await node.metrics.registry.metrics()),
    );
    assert.match(await node.metrics.registry.metrics(), /^holdfast_node_uploads_expired_total [1-9]/m);
    const commit = render('POST', `/v1/uploads/${upload}/commit?cid=${nameOf(bytes)}&bytes=10000`);
    await assertRefused(commit, 404, 'upload-missing');
    await assertNothingStored();
    assert.deepEqual(await node.directory.capacity(), { totalBytes: 2 ** 30, freeBytes: 2 ** 30 });
  });

  it('commits an upload once, says so again to who did not hear it, and only where every byte came', async () => {
    const bytes = randomBytes(10_000);
    const cid = nameOf(bytes);
    const create = async () =>
      (JSON.parse((await send(render('POST', '/v1/uploads'))).text) as { upload: string }).upload;
    const first = await create();
    assert.equal((await send(render('POST', `/v1/uploads/${first}?offset=0`, bytes.subarray(0, 6000)))).status, 200);
    await assertRefused(render('POST', `/v1/uploads/${first}/commit?cid=${cid}&bytes=10000`), 400, 'bad-request');
    const second = await create();
    await assertRefused(render('POST', `/v1/uploads/${second}?offset=1`, bytes), 400, 'bad-request');
    const third = await create();
    assert.equal((await send(render('POST', `/v1/uploads/${third}?offset=0`, bytes.subarray(0, 6000)))).status, 200);
    assert.equal((await send(render('POST', `/v1/uploads/${third}?offset=6000`, bytes.subarray(6000)))).status, 200);
    await assertNothingStored();
    for (let attempt = 0; attempt < 2; attempt++) {
      const answer = await send(render('POST', `/v1/uploads/${third}/commit?cid=${cid}&bytes=10000`));
      assert.equal(answer.status, 200, answer.text);
    }
    assert.ok(bytes.equals(await node.directory.readShard(cid, 0, 10_000)));
  });

  it('drops an upload whose piece was changed on its way', async () => {
    const bytes = randomBytes(10_000);
    const { upload } = JSON.parse((await send(render('POST', '/v1/uploads'))).text) as { upload: string };
    const changed = render('POST', `/v1/uploads/${upload}?offset=0`, bytes, { sentBody: randomBytes(10_000) });
    await assertRefused(changed, 400, 'content-mismatch');
    await assertRefused(
      render('POST', `/v1/uploads/${upload}/commit?cid=${nameOf(bytes)}&bytes=0`),
      404,
      'upload-missing',
    );
    assert.deepEqual(await node.directory.capacity(), { totalBytes: 2 ** 30, freeBytes: 2 ** 30 });
  });

  it('tells health and metrics to everybody, and that it is being stopped', async () => {
    assert.equal((await fetch(`${node.url}/health/live`)).status, 200);
    assert.equal((await fetch(`${node.url}/health/ready`)).status, 200);
    await node.connect().capacity();
    const metrics = await (await fetch(`${node.url}/metrics`)).text();
    assert.match(metrics, /^holdfast_node_requests_total\{operation="Capacity",status="200",code=""\} 1$/m);
    assert.match(metrics, /^holdfast_node_calls_total\{call="capacity",outcome="ok"\} 1$/m);
  });

  it('finishes what is under way when it is stopped', async () => {
    const client = node.connect();
    const bytes = randomBytes(900_000);
    const whole = render('PUT', `/v1/shards/${nameOf(bytes)}`, bytes);
    const connection = await RawConnection.open(node.url);
    await connection.write(whole.subarray(0, 300_000));
    await pollUntil('the request is under way', () => requestsInFlight() === 1);
    const stopping = node.nodeServer.stop(10_000);
    await connection.write(whole.subarray(300_000));
    const answer = await connection.readAnswer();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('connection'), 'close');
    await stopping;
    assert.ok(bytes.equals(await node.directory.readShard(nameOf(bytes), 0, bytes.length)));
    await assert.rejects(client.capacity(), (error) => isFailure(error, 'provider-error'));
  });

  it('ends every answer, also one that just fills the socket’s buffers', async () => {
    const client = node.connect({ connections: 4 });
    const cid = await storeShard(node.directory, randomBytes(65_536));
    for (const length of [65_536, 65_524, 16_384, 0]) {
      await client.readShard(cid, 0, length);
      await pollUntil(`the answer of ${length} bytes ended`, () => requestsInFlight() === 0, 2_000);
    }
  });
});
