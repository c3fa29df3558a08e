import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ObjectVersion } from '../../core/model.ts';
import type { Engine, Objects, WholeRead } from '../../engine/engine.ts';
import { Accounts } from '../../gateway/accounts.ts';
import { createHttpServer } from '../../gateway/http-server.ts';
import { operations } from '../../gateway/operations/operation-table.ts';
import { Router } from '../../gateway/router.ts';
import { S3Error } from '../../gateway/s3-error.ts';
import { S3Handler } from '../../gateway/s3-handler.ts';
import { frameUpload, wholeBody } from '../harness/chunked-upload.ts';
import { rootKey } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { type SignedRequest, signHeaders } from '../harness/signed-fetch.ts';

const KiB = 1024;
const ownerId = 'a'.repeat(64);
const account = { accountId: '000000000000', canonicalId: ownerId, displayName: 'root', email: 'root@example.com' };

/** A source of one chunk that notes what its consumer does. */
class NotedSource implements AsyncIterableIterator<Uint8Array> {
  readonly notes: string[] = [];
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    this.notes.push('next');
    return this.notes.length === 1 ? { done: false, value: this.#bytes } : { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.notes.push('return');
    return { done: true, value: undefined };
  }
}

/** An engine that takes payloads at once and holds the latest of each key. */
class WholeEngine {
  readonly bodies = new Map<string, Uint8Array>();
  readonly failures: string[] = [];
  readonly sources: NotedSource[] = [];
  refusal: Error | undefined;
  /** Whether objects are read at once. */
  isReadWhole = false;
  /** Of those that were given back, whether they had been sent. */
  readonly released: boolean[] = [];

  asEngine(): Engine {
    const buckets = {
      get: async (name: string) => ({ id: 1, name, ownerId, region: 'r', createdAtMs: 0, versioning: 'unversioned' }),
    };
    return { buckets, objects: this.#objects() } as unknown as Engine;
  }

  #objects(): Pick<Objects, 'put' | 'open'> {
    return {
      put: async ({ key, payload, attributes }) => {
        if (this.refusal) throw this.refusal;
        assert.ok(payload.readAll, 'a length was declared');
        try {
          this.bodies.set(key, Buffer.from(await payload.readAll()));
        } catch (error) {
          this.failures.push((error as S3Error).code);
          throw error;
        }
        return this.#version(key, attributes);
      },
      open: async ({ key }) => {
        const bytes = this.bodies.get(key);
        if (!bytes) throw new S3Error('NoSuchKey');
        const source = new NotedSource(bytes);
        this.sources.push(source);
        const version = this.#version(key);
        const { length } = bytes;
        const whole = this.isReadWhole ? this.#lend(bytes) : undefined;
        return { version, offset: 0, length, isPartial: false, read: () => source, readWhole: async () => whole };
      },
    };
  }

  /** A copy that is spoiled once nobody is to read it any more. */
  #lend(content: Uint8Array): WholeRead {
    const bytes = Buffer.from(content);
    const release = (isDone: boolean): void => {
      this.released.push(isDone);
      if (isDone) bytes.fill(0xee);
    };
    return { bytes, release };
  }

  #version(key: string, attributes?: object): ObjectVersion {
    const bytes = this.bodies.get(key)!;
    return {
      kind: 'object', key, versionId: 'null', ownerId, modifiedAtMs: 0, isLatest: true, headers: {}, userMetadata: {}, tags: {},
      storageClass: 'STANDARD', sizeBytes: bytes.length, etag: md5Hex(bytes), spans: [], parts: [], ...attributes,
    } as unknown as ObjectVersion; // biome-ignore format: a record
  }
}

describe('bodies that are taken whole', () => {
  let engine: WholeEngine;
  let server: Server;
  let metrics: Metrics;
  let url: string;

  beforeEach(async () => {
    engine = new WholeEngine();
    metrics = new Metrics();
    const handler = new S3Handler({
      engine: engine.asEngine(),
      accounts: new Accounts([{ ...account, accessKeys: [rootKey] }]),
      router: new Router(operations),
      clock: systemClock,
      region: 'us-east-1',
      storageClasses: ['STANDARD'],
      bodyIdleMs: 250,
    });
    server = createHttpServer({ handler, metrics, log: silentLog });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  const head = (method: string, path: string, length: number, options: SignedRequest = {}): string => {
    const { host } = new URL(url);
    const signing = { payloadHash: 'UNSIGNED-PAYLOAD', ...options };
    const signed = signHeaders({
      method,
      pathAndQuery: path,
      host,
      region: 'us-east-1',
      key: rootKey,
      options: signing,
    });
    return renderHead(method, path, { ...signed, ...(length >= 0 && { 'content-length': String(length) }) });
  };
  const inFlight = async (): Promise<number | undefined> => (await metrics.requestsInFlight.get()).values[0]?.value;

  it('arrive exactly, in one write with their head or in many, one after the other on a connection', async () => {
    const connection = await RawConnection.open(url);
    let sentBytes = 0;
    for (const bytes of [0, 1, 4 * KiB, 70 * KiB, 128 * KiB]) {
      const body = patternBytes(bytes);
      for (const pieceBytes of [bytes + 1, 1 + bytes / 3, 16 * KiB]) {
        const request = Buffer.concat([Buffer.from(head('PUT', '/b/k', bytes)), body]);
        for (let at = 0; at < request.length; at += Math.floor(pieceBytes) + 500)
          await connection.write(request.subarray(at, at + Math.floor(pieceBytes) + 500));
        const answer = await connection.readAnswer();
        assertOk(answer);
        assert.equal(answer.headers.get('etag'), `"${md5Hex(body)}"`);
        sentBytes += bytes;
      }
      await connection.write(head('GET', '/b/k', -1));
      assert.deepEqual((await connection.readAnswer()).body, Buffer.from(body));
    }
    connection.destroy();
    const { values } = await metrics.bodyBytes.get();
    assert.equal(values.find(({ labels }) => labels.direction === 'in')?.value, sentBytes);
  });

  it('are sent as they were read, whole, and released once', async () => {
    engine.isReadWhole = true;
    const connection = await RawConnection.open(url);
    const sizes = [0, 1, 8 * KiB, 8 * KiB + 1, 100 * KiB];
    for (const [index, bytes] of sizes.entries()) {
      const body = Buffer.from(patternBytes(bytes));
      engine.bodies.set('k', body);
      await connection.write(head('GET', '/b/k', -1));
      assert.deepEqual((await connection.readAnswer()).body, body);
      await pollUntil('it is released', () => engine.released.length === index + 1);
    }
    connection.destroy();
    assert.deepEqual(engine.released, new Array(sizes.length).fill(true));
    const { values } = await metrics.bodyBytes.get();
    const sentBytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
    assert.equal(values.find(({ labels }) => labels.direction === 'out')?.value, sentBytes);
  });

  it('are released when the kernel has them, however many wait for the client', async () => {
    engine.isReadWhole = true;
    const body = Buffer.from(patternBytes(3 * 1024 * KiB));
    engine.bodies.set('k', body);
    const connection = await RawConnection.open(url);
    const count = 4;
    await connection.write(Buffer.concat(new Array(count).fill(Buffer.from(head('GET', '/b/k', -1)))));
    for (let index = 0; index < count; index++) assert.ok((await connection.readAnswer()).body.equals(body));
    await pollUntil('all are released', () => engine.released.length === count);
    assert.deepEqual(engine.released, new Array(count).fill(true));
    connection.destroy();
  });

  it('are released where the client goes away, and may be read still', async () => {
    engine.isReadWhole = true;
    engine.bodies.set('k', Buffer.alloc(32 * 1024 * KiB));
    const connection = await RawConnection.open(url);
    await connection.write(head('GET', '/b/k', -1));
    await pollUntil('the request is served', async () => (await inFlight()) === 1);
    connection.destroy();
    await pollUntil('it is released', () => engine.released.length === 1);
    assert.deepEqual(engine.released, [false]);
  });

  it('may be pipelined', async () => {
    const connection = await RawConnection.open(url);
    const bodies = [100, 5 * KiB, 0, 80 * KiB, 1].map((bytes, index) => patternBytes(bytes, `body ${index}`));
    const requests = bodies.map((body, index) =>
      Buffer.concat([Buffer.from(head('PUT', `/b/${index}`, body.length)), body]),
    );
    await connection.write(Buffer.concat(requests));
    for (const _ of bodies) assertOk(await connection.readAnswer());
    for (const [index, body] of bodies.entries()) assert.deepEqual(engine.bodies.get(`${index}`), Buffer.from(body));
    connection.destroy();
  });

  it('in signed chunks are checked all the same', async () => {
    const { host } = new URL(url);
    const chunks = [patternBytes(9 * KiB), patternBytes(500, 'last')];
    const framed = frameUpload({ mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', pathAndQuery: '/b/k', host, chunks });
    const connection = await RawConnection.open(url);
    await connection.write(renderHead('PUT', '/b/k', framed.headers));
    await connection.write(wholeBody(framed));
    assertOk(await connection.readAnswer());
    assert.deepEqual(engine.bodies.get('k'), Buffer.concat(chunks));
    const damaged = wholeBody(framed);
    damaged[1000]! ^= 1;
    await connection.write(renderHead('PUT', '/b/k', framed.headers));
    await connection.write(damaged);
    assertS3Error(await connection.readAnswer(), 403, 'SignatureDoesNotMatch');
    assert.deepEqual(engine.bodies.get('k'), Buffer.concat(chunks));
    connection.destroy();
  });

  for (const sentBytes of [0, 1000]) {
    it(`that stop coming after ${sentBytes} bytes are RequestTimeout, and the connection is closed`, async () => {
      const connection = await RawConnection.open(url);
      await connection.write(head('PUT', '/b/k', 4 * KiB));
      await connection.write(patternBytes(sentBytes));
      assertS3Error(await connection.readAnswer(), 400, 'RequestTimeout');
      await connection.waitForEnd();
      connection.destroy();
      assert.deepEqual(engine.failures, ['RequestTimeout']);
    });

    it(`of clients that go away after ${sentBytes} bytes are IncompleteBody, and nothing goes on`, async () => {
      const connection = await RawConnection.open(url);
      await connection.write(head('PUT', '/b/k', 4 * KiB));
      await connection.write(patternBytes(sentBytes));
      await pollUntil('the request is served', async () => (await inFlight()) === 1);
      connection.destroy();
      await pollUntil('the request is over', async () => (await inFlight()) === 0);
      await pollUntil('the engine knows', () => engine.failures.length === 1);
      assert.deepEqual(engine.failures, ['IncompleteBody']);
    });
  }

  it('that come slowly but steadily are waited for', async () => {
    const connection = await RawConnection.open(url);
    await connection.write(head('PUT', '/b/k', 8));
    for (const byte of '12345678') {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await connection.write(byte);
    }
    assertOk(await connection.readAnswer());
    assert.equal(Buffer.from(engine.bodies.get('k')!).toString(), '12345678');
    connection.destroy();
  });

  it('are asked for with 100-continue where the client waits for it, and not where the request is refused', async () => {
    const connection = await RawConnection.open(url);
    const expecting = (): string => head('PUT', '/b/k', 5).replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n');
    await connection.write(expecting());
    assert.equal((await connection.readAnswer()).status, 100);
    await connection.write('bytes');
    assertOk(await connection.readAnswer());
    engine.refusal = new S3Error('SlowDown');
    await connection.write(expecting());
    assertS3Error(await connection.readAnswer(), 503, 'SlowDown');
    await connection.write(head('GET', '/b/k', -1));
    assert.equal((await connection.readAnswer()).text, 'bytes');
    connection.destroy();
  });

  it('are dropped where the engine refuses them unread, and the connection serves the next request', async () => {
    const connection = await RawConnection.open(url);
    for (const bytes of [10, 4 * KiB, 3000 * KiB]) {
      engine.refusal = new S3Error('SlowDown');
      await connection.write(head('PUT', '/b/k', bytes));
      await connection.write(patternBytes(bytes));
      assertS3Error(await connection.readAnswer(), 503, 'SlowDown');
      engine.refusal = undefined;
      await connection.write(`${head('PUT', '/b/k', 4)}next`);
      assertOk(await connection.readAnswer());
    }
    connection.destroy();
  });

  it('that go out whole are let go of once they were sent, and given up when the client has gone', async () => {
    engine.bodies.set('small', patternBytes(4 * KiB));
    engine.bodies.set('large', patternBytes(32 * KiB * KiB));
    const connection = await RawConnection.open(url);
    await connection.write(head('GET', '/b/small', -1));
    assert.equal((await connection.readAnswer()).body.length, 4 * KiB);
    const [sent] = engine.sources;
    await pollUntil('the source was asked for more', () => sent!.notes.length === 2);
    assert.deepEqual(sent!.notes, ['next', 'next']);
    await connection.write(head('GET', '/b/large', -1));
    await pollUntil('the answer begins', () => connection.unread.length > 0);
    connection.destroy();
    await pollUntil('the source is let go of', () => engine.sources[1]?.notes.includes('return') === true);
    await pollUntil('no request is in flight', async () => (await inFlight()) === 0);
    assert.deepEqual(engine.sources[1]!.notes, ['next', 'return']);
  });
});
