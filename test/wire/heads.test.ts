import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { type SignedRequest, signHeaders } from '../harness/signed-fetch.ts';

describe('heads of requests', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/heads'));
    assertOk(await gateway.fetchSigned('PUT', '/heads/key', { body: 'a body' }));
  });
  after(() => gateway.close());

  const head = (
    method: string,
    pathAndQuery: string,
    unsigned: Record<string, string> = {},
    options: SignedRequest = {},
  ): string => {
    const { host } = new URL(gateway.url);
    const signed = signHeaders({
      method,
      pathAndQuery,
      host,
      region: 'us-east-1',
      key: rootKey,
      options: { payloadHash: 'UNSIGNED-PAYLOAD', ...options },
    });
    return renderHead(method, pathAndQuery, { ...signed, ...unsigned });
  };

  for (const [what, text] of [
    ['no HTTP at all', 'garbage\r\n\r\n'],
    ['binary', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
    ['an unknown version', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n'],
    ['a header with a NUL', 'GET / HTTP/1.1\r\nHost: x\r\nx: a\0b\r\n\r\n'],
    ['a path with a space', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['two lengths', 'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['a length that is none', 'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n'],
    ['a negative length', 'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'],
    [
      'a length and chunks',
      'PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['an encoding that HTTP does not know', 'PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n'],
  ] as const) {
    it(`with ${what} are answered with an S3 error of status 400`, async () => {
      const connection = await RawConnection.open(gateway.url);
      await connection.write(Buffer.from(text, 'latin1'));
      const answer = await connection.readAnswer();
      const code = /<Code>(\w+)<\/Code>/.exec(answer.text)?.[1] ?? '';
      assertS3Error(answer, 400, code);
      await connection.waitForEnd();
      connection.destroy();
      assertOk(await gateway.fetchSigned('GET', '/heads/key'));
    });
  }

  it('without a host are refused, and with an expectation that nobody knows served', async () => {
    const connection = await RawConnection.open(gateway.url);
    await connection.write('GET / HTTP/1.1\r\n\r\n');
    assertS3Error(await connection.readAnswer(), 400, 'InvalidRequest');
    await connection.write(head('GET', '/heads/key', { expect: 'patience' }));
    assertOk(await connection.readAnswer());
    connection.destroy();
  });

  it('that are huge are refused, and such as AWS takes are not', async () => {
    const connection = await RawConnection.open(gateway.url);
    await connection.write(head('GET', '/heads/key', { 'x-padding': 'x'.repeat(7000) }));
    assertOk(await connection.readAnswer());
    await connection.write(head('GET', '/heads/key', { 'x-padding': 'x'.repeat(40_000) }));
    assertS3Error(await connection.readAnswer(), 400, 'RequestHeaderSectionTooLarge');
    connection.destroy();
    assertOk(await gateway.fetchSigned('GET', '/heads/key'));
  });

  it('may arrive byte by byte', async () => {
    const connection = await RawConnection.open(gateway.url);
    for (const byte of head('GET', '/heads/key')) await connection.write(byte);
    assert.equal((await connection.readAnswer()).text, 'a body');
    connection.destroy();
  });

  it('that are pipelined are answered in their order', async () => {
    const connection = await RawConnection.open(gateway.url);
    const requests = [
      `${head('PUT', '/heads/pipelined', { 'content-length': '5' })}first`,
      head('GET', '/heads/missing'),
      head('HEAD', '/heads/key'),
      head('GET', '/heads/key'),
      head('DELETE', '/heads/other'),
      head('GET', '/heads/key', {}, { headers: { range: 'bytes=2-' } }),
    ];
    await connection.write(requests.join(''));
    assertOk(await connection.readAnswer());
    assertS3Error(await connection.readAnswer(), 404, 'NoSuchKey');
    const headed = await connection.readAnswer({ toHead: true });
    assert.equal(headed.headers.get('content-length'), '6');
    assert.equal((await connection.readAnswer()).text, 'a body');
    assertOk(await connection.readAnswer(), 204);
    assert.equal((await connection.readAnswer()).text, 'body');
    connection.destroy();
  });

  it('of HEAD are answered without a body, errors too', async () => {
    const connection = await RawConnection.open(gateway.url);
    for (const [path, status] of [
      ['/heads/key', 200],
      ['/heads/missing', 404],
      ['/missing', 404],
      ['/heads?acl=', 501],
    ] as const) {
      await connection.write(head('HEAD', path));
      assert.equal((await connection.readAnswer({ toHead: true })).status, status);
      // Any byte of a body would be taken for the next answer's.
      await connection.write(head('GET', '/heads/key'));
      assert.equal((await connection.readAnswer()).text, 'a body');
    }
    connection.destroy();
  });

  it('that expect 100-continue are told to go on, once, where the request is good', async () => {
    const connection = await RawConnection.open(gateway.url);
    for (const text of ['after 100', 'again']) {
      await connection.write(
        head('PUT', '/heads/continued', { expect: '100-continue', 'content-length': String(text.length) }),
      );
      assert.equal((await connection.readAnswer()).status, 100);
      assert.equal(connection.unread.length, 0);
      await connection.write(text);
      assertOk(await connection.readAnswer());
      assert.equal((await gateway.fetchSigned('GET', '/heads/continued')).text, text);
    }
    connection.destroy();
  });

  it('that expect 100-continue and do not wait for it are served as well', async () => {
    const connection = await RawConnection.open(gateway.url);
    await connection.write(`${head('PUT', '/heads/eager', { expect: '100-continue', 'content-length': '5' })}eager`);
    let answer = await connection.readAnswer();
    if (answer.status === 100) answer = await connection.readAnswer();
    assertOk(answer);
    connection.destroy();
    assert.equal((await gateway.fetchSigned('GET', '/heads/eager')).text, 'eager');
  });

  it('that expect 100-continue for what is refused get the refusal and no 100', async () => {
    for (const [path, status, code] of [
      ['/missing/key', 404, 'NoSuchBucket'],
      ['/heads/key?acl=', 501, 'NotImplemented'],
    ] as const) {
      const connection = await RawConnection.open(gateway.url);
      await connection.write(head('PUT', path, { expect: '100-continue', 'content-length': '1000000' }));
      assertS3Error(await connection.readAnswer(), status, code);
      connection.destroy();
    }
    assertOk(await gateway.fetchSigned('GET', '/heads/key'));
  });

  it('in the absolute form are served like any other', async () => {
    const connection = await RawConnection.open(gateway.url);
    const text = head('GET', '/heads/key').replace('GET /heads/key', `GET ${gateway.url}/heads/key`);
    await connection.write(text);
    assert.equal((await connection.readAnswer()).text, 'a body');
    connection.destroy();
  });

  it('of HTTP/1.0 are served, and the connection is closed', async () => {
    const connection = await RawConnection.open(gateway.url);
    await connection.write(head('GET', '/heads/key').replace('HTTP/1.1', 'HTTP/1.0'));
    assert.equal((await connection.readAnswer()).text, 'a body');
    await connection.waitForEnd();
    connection.destroy();
  });
});
