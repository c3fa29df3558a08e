import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { frameUpload, wholeBody } from '../harness/chunked-upload.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { listAllShardFiles, listTemporaryFiles } from '../harness/shard-files.ts';
import { type SignedRequest, signHeaders } from '../harness/signed-fetch.ts';

const MiB = 2 ** 20;

describe('bodies', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway({ config: { limits: { bodyIdleMs: 250 } } });
    assertOk(await gateway.fetchSigned('PUT', '/bodies'));
    assertOk(await gateway.fetchSigned('PUT', '/bodies/key', { body: 'a body' }));
  });
  after(() => gateway.close());

  const head = (method: string, pathAndQuery: string, length: number, options: SignedRequest = {}): string => {
    const { host } = new URL(gateway.url);
    const signed = signHeaders({
      method,
      pathAndQuery,
      host,
      region: 'us-east-1',
      key: rootKey,
      options: { payloadHash: 'UNSIGNED-PAYLOAD', ...options },
    });
    return renderHead(method, pathAndQuery, { ...signed, ...(length >= 0 && { 'content-length': String(length) }) });
  };

  /** Nothing of an upload is left, and nothing goes on. */
  const assertNoTrace = async (key: string, shardsBefore: number): Promise<void> => {
    await pollUntil('temporary files are gone', async () => (await listTemporaryFiles(gateway.dataDir)).length === 0);
    await pollUntil('no request is in flight', async () => {
      const { values } = await gateway.gateway.metrics.requestsInFlight.get();
      return values[0]?.value === 0;
    });
    // A request whose client is gone counts as done before its shards are deleted.
    await pollUntil('its shards are gone', async () => {
      return (await listAllShardFiles(gateway.dataDir)).length === shardsBefore;
    });
    assertS3Error(await gateway.fetchSigned('GET', `/bodies/${key}`), 404, 'NoSuchKey');
  };

  describe('that are cut off', () => {
    for (const [what, length, sent] of [
      ['before the first byte', 1000, 0],
      ['in a small object', 1000, 999],
      ['in the middle of a row', 3 * MiB, 1.5 * MiB],
      ['in a second stripe', 40 * MiB, 25 * MiB],
    ] as const) {
      it(`${what} by a reset leave nothing`, async () => {
        const shardsBefore = (await listAllShardFiles(gateway.dataDir)).length;
        const connection = await RawConnection.open(gateway.url);
        await connection.write(head('PUT', '/bodies/cut', length));
        await connection.write(patternBytes(sent));
        connection.destroy();
        await assertNoTrace('cut', shardsBefore);
      });

      it(`${what} by the end of the client's side leave nothing`, async () => {
        const shardsBefore = (await listAllShardFiles(gateway.dataDir)).length;
        const connection = await RawConnection.open(gateway.url);
        await connection.write(head('PUT', '/bodies/cut', length));
        await connection.write(patternBytes(sent));
        connection.end();
        await connection.waitForEnd();
        connection.destroy();
        await assertNoTrace('cut', shardsBefore);
      });
    }

    it('within their chunks leave nothing', async () => {
      const shardsBefore = (await listAllShardFiles(gateway.dataDir)).length;
      const framed = frameUpload({
        mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        pathAndQuery: '/bodies/cut',
        host: new URL(gateway.url).host,
        chunks: [patternBytes(2 * MiB), patternBytes(2 * MiB)],
      });
      const connection = await RawConnection.open(gateway.url);
      await connection.write(renderHead('PUT', '/bodies/cut', framed.headers));
      await connection.write(wholeBody(framed).subarray(0, 3 * MiB));
      connection.destroy();
      await assertNoTrace('cut', shardsBefore);
    });

    it('leave the object that they were to replace as it was', async () => {
      const connection = await RawConnection.open(gateway.url);
      await connection.write(head('PUT', '/bodies/key', 1000));
      await connection.write('only this');
      connection.destroy();
      await pollUntil('temporary files are gone', async () => (await listTemporaryFiles(gateway.dataDir)).length === 0);
      assert.equal((await gateway.fetchSigned('GET', '/bodies/key')).text, 'a body');
    });
  });

  it('that stop coming are given up with RequestTimeout, and the connection is closed', async () => {
    const shardsBefore = (await listAllShardFiles(gateway.dataDir)).length;
    const connection = await RawConnection.open(gateway.url);
    await connection.write(head('PUT', '/bodies/slow', 2 * MiB));
    await connection.write(patternBytes(MiB));
    const startedAtMs = performance.now();
    assertS3Error(await connection.readAnswer(), 400, 'RequestTimeout');
    assert.ok(performance.now() - startedAtMs < 2000);
    await connection.waitForEnd();
    connection.destroy();
    await assertNoTrace('slow', shardsBefore);
  });

  it('that come slowly but steadily are waited for', async () => {
    const connection = await RawConnection.open(gateway.url);
    await connection.write(head('PUT', '/bodies/steady', 8));
    for (const byte of '12345678') {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await connection.write(byte);
    }
    assertOk(await connection.readAnswer());
    connection.destroy();
    assert.equal((await gateway.fetchSigned('GET', '/bodies/steady')).text, '12345678');
  });

  describe('of requests that are refused', () => {
    const md5 = Buffer.alloc(16).toString('base64');
    for (const [what, path, options, status, code] of [
      ['for a digest', '/bodies/refused', { headers: { 'content-md5': md5 } }, 400, 'BadDigest'],
      ['for a bucket that is missing', '/missing/refused', {}, 404, 'NoSuchBucket'],
      ['for a header', '/bodies/refused', { headers: { 'x-amz-storage-class': 'NONE' } }, 400, 'InvalidStorageClass'],
      ['for a subresource', '/bodies/refused?acl=', {}, 501, 'NotImplemented'],
      ['for a clock', '/bodies/refused', { nowMs: 0 }, 403, 'RequestTimeTooSkewed'],
    ] as const) {
      it(`${what} leave the connection fit for the next request`, async () => {
        const connection = await RawConnection.open(gateway.url);
        for (const length of [1000, 2 * MiB]) {
          await connection.write(head('PUT', path, length, options));
          await connection.write(patternBytes(length));
          assertS3Error(await connection.readAnswer(), status, code);
        }
        await connection.write(head('GET', '/bodies/key', -1));
        assert.equal((await connection.readAnswer()).text, 'a body');
        connection.destroy();
        assertS3Error(await gateway.fetchSigned('GET', '/bodies/refused'), 404, 'NoSuchKey');
      });
    }

    it('in their midst are read to their end, and the connection is fit for the next request', async () => {
      const chunk = patternBytes(MiB);
      const framed = frameUpload({
        mode: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        pathAndQuery: '/bodies/refused',
        host: new URL(gateway.url).host,
        chunks: Array.from({ length: 12 }, () => chunk),
      });
      const body = wholeBody(framed);
      body[1000]! ^= 1;
      const connection = await RawConnection.open(gateway.url);
      await connection.write(renderHead('PUT', '/bodies/refused', framed.headers));
      // Far more than the system holds: the gateway has to read on while it answers.
      await connection.write(body);
      assertS3Error(await connection.readAnswer(), 403, 'SignatureDoesNotMatch');
      await connection.write(head('GET', '/bodies/key', -1));
      assert.equal((await connection.readAnswer()).text, 'a body');
      connection.destroy();
    });
  });

  it('of an answer that nobody reads to its end are given up', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/bodies/long', { body: patternBytes(24 * MiB) }));
    const connection = await RawConnection.open(gateway.url);
    await connection.write(head('GET', '/bodies/long', -1));
    await pollUntil('the answer begins', () => connection.unread.length > 0);
    connection.destroy();
    await pollUntil('no request is in flight', async () => {
      const { values } = await gateway.gateway.metrics.requestsInFlight.get();
      return values[0]?.value === 0;
    });
    const { values } = await gateway.gateway.metrics.budgetBytes.get();
    for (const { labels, value } of values) assert.equal(value, 0, JSON.stringify(labels));
  });
});
