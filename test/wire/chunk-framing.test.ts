import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type ChunkedUpload,
  type FramedUpload,
  frameUpload,
  type StreamingMode,
  wholeBody,
} from '../harness/chunked-upload.ts';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { type RawAnswer, RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const signed = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const signedTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';
const unsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
const text = '123456789';
const md5Base64 = (body: string): string => createHash('md5').update(body).digest('base64');
const crc32: readonly [string, string] = ['x-amz-checksum-crc32', Buffer.from('cbf43926', 'hex').toString('base64')];

describe('aws-chunked framing', () => {
  let gateway: TestGateway;
  let connection: RawConnection;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/framing'));
    connection = await RawConnection.open(gateway.url);
  });
  after(async () => {
    connection.destroy();
    await gateway.close();
  });

  const frame = (key: string, mode: StreamingMode, chunks: readonly Uint8Array[], more: Partial<ChunkedUpload> = {}) =>
    frameUpload({ mode, pathAndQuery: `/framing/${key}`, host: new URL(gateway.url).host, chunks, ...more });

  /** Sends a body that a test put together, in pieces that arrive apart. */
  const send = async (
    key: string,
    headers: Readonly<Record<string, string>>,
    pieces: readonly Uint8Array[],
    over = connection,
  ): Promise<RawAnswer> => {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    await over.write(renderHead('PUT', `/framing/${key}`, { ...headers, 'content-length': String(length) }));
    for (const piece of pieces) {
      await over.write(piece);
      // The gateway runs in this process: turns of the event loop are what it needs to read.
      await nextTurn();
      await nextTurn();
    }
    return over.readAnswer();
  };

  /** The same over a connection of its own, since after a refusal the old one may be closed. */
  const sendOnce = async (key: string, framed: Pick<FramedUpload, 'headers'>, body: Uint8Array): Promise<RawAnswer> => {
    const own = await RawConnection.open(gateway.url);
    const answer = await send(key, framed.headers, [body], own);
    own.destroy();
    return answer;
  };

  const assertAbsent = async (key: string): Promise<void> => {
    assertS3Error(await gateway.fetchSigned('GET', `/framing/${key}`), 404, 'NoSuchKey');
  };

  for (const [name, mode, trailer] of [
    ['signed chunks', signed, undefined],
    ['signed chunks and trailer', signedTrailer, crc32],
    ['unsigned chunks and trailer', unsignedTrailer, crc32],
  ] as const) {
    it(`is taken off ${name}, wherever the body is split`, async () => {
      // A wrong digest makes the gateway say which bytes it decoded, at less cost than storing them a thousand times.
      const wrong = { 'content-md5': Buffer.alloc(16).toString('base64') };
      const refused = frame('refused', mode, [Buffer.from(text)], { headers: wrong, ...(trailer && { trailer }) });
      const body = wholeBody(refused);
      for (let at = 1; at < body.length; at++) {
        const answer = await send('refused', refused.headers, [body.subarray(0, at), body.subarray(at)]);
        const { CalculatedDigest } = assertS3Error(answer, 400, 'BadDigest');
        assert.equal(CalculatedDigest, md5Base64(text), `split at ${at}`);
      }
      const framed = frame('split', mode, [Buffer.from(text)], trailer && { trailer });
      assertOk(await send('split', framed.headers, [wholeBody(framed)]));
      const got = await gateway.fetchSigned('GET', '/framing/split');
      assert.equal(got.text, text);
      assert.equal(got.headers.get('content-encoding'), null);
    });

    it(`is taken off ${name} that arrive byte by byte`, async () => {
      const framed = frame('bytes', mode, [Buffer.from(text)], trailer && { trailer });
      const body = wholeBody(framed);
      assertOk(
        await send(
          'bytes',
          framed.headers,
          Array.from(body.keys(), (at) => body.subarray(at, at + 1)),
        ),
      );
      assert.equal((await gateway.fetchSigned('GET', '/framing/bytes')).text, text);
    });
  }

  it('is taken off many chunks, split around each of their borders', async () => {
    const chunks = [8192, 65_536, 8193, 17].map((length) => patternBytes(length, length));
    const framed = frame('many', signed, chunks);
    const body = wholeBody(framed);
    let border = 0;
    for (const part of framed.frames) {
      border += part.length;
      for (const at of [border - 1, border, border + 1, border + 40]) {
        assertOk(await send('many', framed.headers, [body.subarray(0, at), body.subarray(at)]));
      }
    }
    assert.ok(Buffer.concat(chunks).equals((await gateway.fetchSigned('GET', '/framing/many')).body));
  });

  it('is taken off an empty object', async () => {
    const framed = frame('empty', signed, []);
    assertOk(await send('empty', framed.headers, [wholeBody(framed)]));
    assert.equal((await gateway.fetchSigned('GET', '/framing/empty')).body.length, 0);
  });

  it('may itself lie in the chunks of HTTP/1.1', async () => {
    const { headers, ...framed } = frame('nested', signedTrailer, [Buffer.from(text)], { trailer: crc32 });
    const { 'content-length': _, ...lengthless } = headers;
    await connection.write(renderHead('PUT', '/framing/nested', { ...lengthless, 'transfer-encoding': 'chunked' }));
    const body = wholeBody(framed);
    for (const piece of [body.subarray(0, 33), body.subarray(33)])
      await connection.write(
        Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
      );
    await connection.write('0\r\n\r\n');
    assertOk(await connection.readAnswer());
    assert.equal((await gateway.fetchSigned('GET', '/framing/nested')).text, text);
  });

  describe('with a signature that is wrong stores nothing:', () => {
    const chunks = [patternBytes(9000, 'first'), patternBytes(9000, 'second')];
    /** Turns the last digit of the nth signature over. */
    const spoilSignature = (body: Buffer, nth: number): Buffer => {
      const spoilt = Buffer.from(body);
      const marks = [...body.toString('latin1').matchAll(/signature[=:][0-9a-f]{64}/g)];
      const at = (marks[nth] as RegExpExecArray).index + 'signature='.length + 63;
      spoilt[at] = spoilt[at] === 0x30 ? 0x31 : 0x30;
      return spoilt;
    };

    for (const [nth, what] of [
      'the first chunk',
      'the second chunk',
      'the last, empty chunk',
      'the trailer',
    ].entries()) {
      it(what, async () => {
        const framed = frame('unsigned', signedTrailer, chunks, { trailer: ['x-amz-checksum-crc32', crc32[1]] });
        const answer = await sendOnce('unsigned', framed, spoilSignature(wholeBody(framed), nth));
        assertS3Error(answer, 403, 'SignatureDoesNotMatch');
        await assertAbsent('unsigned');
      });
    }

    it('a byte of a chunk was changed', async () => {
      const framed = frame('unsigned', signed, chunks);
      const body = wholeBody(framed);
      body[5000]! ^= 1;
      assertS3Error(await sendOnce('unsigned', framed, body), 403, 'SignatureDoesNotMatch');
      await assertAbsent('unsigned');
    });

    it('two chunks changed places', async () => {
      const framed = frame('unsigned', signed, chunks);
      const [first, second, last] = framed.frames as [Buffer, Buffer, Buffer];
      const body = Buffer.concat([second, first, last, framed.trailer]);
      assertS3Error(await sendOnce('unsigned', framed, body), 403, 'SignatureDoesNotMatch');
      await assertAbsent('unsigned');
    });

    it('the value of the trailer was changed', async () => {
      const framed = frame('unsigned', signedTrailer, [Buffer.from(text)], { trailer: crc32 });
      const body = Buffer.from(wholeBody(framed).toString('latin1').replace(crc32[1], 'AAAAAA=='), 'latin1');
      assertS3Error(await sendOnce('unsigned', framed, body), 403, 'SignatureDoesNotMatch');
      await assertAbsent('unsigned');
    });

    it('the chunks were signed with another secret', async () => {
      const right = frame('unsigned', signed, chunks);
      const wrong = frame('unsigned', signed, chunks, { secretAccessKey: 'not the secret' });
      assertS3Error(await sendOnce('unsigned', right, wholeBody(wrong)), 403, 'SignatureDoesNotMatch');
      await assertAbsent('unsigned');
    });
  });

  describe('that is broken stores nothing:', () => {
    for (const [what, status, code, spoil] of [
      [
        'the trailer is missing',
        400,
        'MalformedTrailerError',
        (body: string) => body.replace(/x-amz-checksum.*$/s, '\r\n'),
      ],
      [
        'the trailer has another name',
        400,
        'MalformedTrailerError',
        (body: string) => body.replace('-crc32:', '-crc32c:'),
      ],
      ['the trailer has no colon', 400, 'MalformedTrailerError', (body: string) => body.replace('-crc32:', '-crc32 ')],
      ['the trailer is no checksum', 400, 'InvalidRequest', (body: string) => body.replace(crc32[1], 'nonsense')],
      ['the last chunk is missing', 400, 'IncompleteBody', (body: string) => body.replace(/\r\n0\r\n.*$/s, '\r\n')],
      ['a chunk is cut short', 400, 'IncompleteBody', (body: string) => body.slice(0, 6)],
      ['a chunk is longer than its header says', 400, 'IncompleteBody', (body: string) => body.replace('789', '789x')],
      [
        'a chunk says that it is longer than the object',
        400,
        'IncompleteBody',
        (body: string) => body.replace('9\r\n', 'a\r\n'),
      ],
      [
        'the object is shorter than was said',
        400,
        'IncompleteBody',
        (body: string) => body.replace('9\r\n123456789', '8\r\n12345678'),
      ],
      ['the size of a chunk is no number', 400, 'IncompleteBody', (body: string) => body.replace('9\r\n', 'xyz\r\n')],
      [
        'the size of a chunk is beyond all bounds',
        400,
        'IncompleteBody',
        (body: string) => body.replace('9\r\n', `${'f'.repeat(30)}\r\n`),
      ],
      ['the header of a chunk never ends', 400, 'IncompleteBody', () => '9;'.padEnd(200_000, 'x')],
      ['the trailer never ends', 400, 'IncompleteBody', (body: string) => body.replace('x-amz', 'x'.repeat(200_000))],
      ['there is no body at all', 400, 'IncompleteBody', () => ''],
    ] as const) {
      it(what, async () => {
        const framed = frame('broken', unsignedTrailer, [Buffer.from(text)], { trailer: crc32 });
        const body = wholeBody(framed).toString('latin1');
        const spoilt = spoil(body);
        assert.notEqual(spoilt, body);
        assertS3Error(await sendOnce('broken', framed, Buffer.from(spoilt, 'latin1')), status, code);
        await assertAbsent('broken');
      });
    }

    it('the length of the object is not told', async () => {
      const framed = frame('broken', signed, [Buffer.from(text)], { headers: { 'x-amz-decoded-content-length': '' } });
      assertS3Error(await sendOnce('broken', framed, wholeBody(framed)), 411, 'MissingContentLength');
    });

    it('a chunk that is not the last holds less than 8 KiB', async () => {
      const framed = frame('broken', signed, [Buffer.from('short'), Buffer.from('chunks')]);
      assertS3Error(await sendOnce('broken', framed, wholeBody(framed)), 403, 'InvalidChunkSizeError');
      await assertAbsent('broken');
    });

    it('it was announced as something else', async () => {
      const framed = frame('broken', signed, [Buffer.from(text)]);
      const path = '/framing/broken';
      const answer = await gateway.fetchSigned('PUT', path, {
        body: wholeBody(framed),
        headers: { 'content-encoding': 'aws-chunked' },
        payloadHash: 'UNSIGNED-PAYLOAD',
      });
      assert.equal(answer.status, 400);
      await assertAbsent('broken');
    });
  });
});
