import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createPayload } from '../../gateway/payload/create-payload.ts';
import {
  byteByByte,
  collect,
  frameChunks,
  pieces,
  seedSignature,
  signChunks,
  signedBy,
  signTrailer,
  trailerSeedSignature,
} from './chunked-body.ts';

const unsignedTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
const signed = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const signedTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';

interface Case {
  readonly mode?: string;
  readonly seed?: string;
  readonly decodedBytes: number | string | undefined;
  readonly trailer?: string;
  readonly headers?: Record<string, string>;
}

function open(body: AsyncIterable<Uint8Array>, options: Case) {
  const { mode = unsignedTrailer, seed = seedSignature, decodedBytes, trailer, headers } = options;
  return createPayload({
    body,
    headers: {
      ...(decodedBytes !== undefined && { 'x-amz-decoded-content-length': String(decodedBytes) }),
      ...(trailer !== undefined && { 'x-amz-trailer': trailer }),
      ...headers,
    },
    authentication: signedBy(seed, mode),
    idleTimeoutMs: 1000,
  });
}

async function refused(body: AsyncIterable<Uint8Array>, options: Case) {
  try {
    await collect(open(body, options).bytes);
  } catch (error) {
    const { code, message, extra } = error as { code: string; message: string; extra: Record<string, string> };
    return { code, message, extra };
  }
  return assert.fail('was not refused');
}

const broken = { code: 'IncompleteBody', message: 'The request body terminated unexpectedly', extra: {} };
const malformedTrailer = {
  code: 'MalformedTrailerError',
  message: 'The request contained trailing data that was not well-formed or did not conform to our published schema.',
  extra: {},
};

test('an unsigned body with a trailer is the same however it is cut', async () => {
  const body = Buffer.concat([
    frameChunks([Buffer.alloc(8200, 'a'), Buffer.from('123456789'), Buffer.alloc(0)]),
    Buffer.from('x-amz-checksum-crc32:NSRBwg==\r\n\r\n'),
  ]);
  const expected = createHash('sha256')
    .update(`${'a'.repeat(8200)}123456789`)
    .digest('hex');
  const edges = [...Array(40).keys(), ...Array.from({ length: 80 }, (_, back) => body.length - back)];
  for (const at of edges) {
    const payload = open(pieces(body.subarray(0, at), body.subarray(at)), {
      decodedBytes: 8209,
      trailer: 'x-amz-checksum-crc32',
    });
    const bytes = await collect(payload.bytes);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), expected, `cut at ${at}`);
    assert.deepEqual(payload.declaredDigests().checksum, { algorithm: 'CRC32', value: 'NSRBwg==' });
  }
});

test('a signed body with a trailer may come byte by byte', async () => {
  const chunks = [Buffer.alloc(8192, 'b'), Buffer.from('end'), Buffer.alloc(0)];
  const signatures = await signChunks(chunks, trailerSeedSignature);
  const trailer = signTrailer('x-amz-checksum-crc32:NSRBwg==\n', signatures[2]!);
  const body = Buffer.concat([
    frameChunks(chunks, signatures),
    Buffer.from(`x-amz-checksum-crc32:NSRBwg==\r\nx-amz-trailer-signature:${trailer}\r\n\r\n`),
  ]);
  const payload = open(byteByByte(body), {
    mode: signedTrailer,
    seed: trailerSeedSignature,
    decodedBytes: 8195,
    trailer: 'x-amz-checksum-crc32',
  });
  assert.deepEqual(await collect(payload.bytes), Buffer.concat(chunks));
  assert.deepEqual(payload.declaredDigests(), { checksum: { algorithm: 'CRC32', value: 'NSRBwg==' } });
});

test('whatever the chunks and cuts, the bytes come out, and as slices of what came in', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 8192, max: 9000 }), { maxLength: 3 }),
      fc.integer({ min: 0, max: 9000 }),
      fc.array(fc.nat(40_000), { maxLength: 8 }),
      fc.boolean(),
      async (sizes, last, cuts, isSigned) => {
        const chunks = [...sizes, last].filter((size) => size > 0).map((size, index) => Buffer.alloc(size, 97 + index));
        const all = [...chunks, Buffer.alloc(0)];
        const signatures = isSigned ? await signChunks(all, seedSignature) : undefined;
        const body = Buffer.concat([frameChunks(all, signatures), Buffer.from('\r\n')]);
        const places = [0, ...cuts.map((cut) => cut % (body.length + 1)), body.length].sort((a, b) => a - b);
        const source = async function* () {
          for (const [index, end] of places.slice(1).entries()) yield body.subarray(places[index], end);
        };
        const expected = Buffer.concat(chunks);
        const payload = open(source(), { mode: isSigned ? signed : unsignedTrailer, decodedBytes: expected.length });
        const parts: Uint8Array[] = [];
        for await (const part of payload.bytes) {
          assert.equal(part.buffer, body.buffer, 'a copy was made');
          parts.push(part);
        }
        assert.deepEqual(Buffer.concat(parts), expected);
        assert.equal(payload.sizeBytes, expected.length);
      },
    ),
    { numRuns: 60 },
  );
});

test("AWS's example of signed chunks is accepted", async () => {
  const data = Buffer.alloc(66_560, 'a');
  const chunks = [data.subarray(0, 65_536), data.subarray(65_536), Buffer.alloc(0)];
  const signatures = [
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ];
  assert.deepEqual(await signChunks(chunks, seedSignature), signatures);
  const body = Buffer.concat([frameChunks(chunks, signatures), Buffer.from('\r\n')]);
  assert.equal(body.length, 66_824);
  assert.deepEqual(await collect(open(pieces(body), { mode: signed, decodedBytes: 66_560 }).bytes), data);
});

test("AWS's example of signed chunks with a trailer is accepted, with and without its stray line feed", async () => {
  const data = Buffer.alloc(66_560, 'a');
  const chunks = [data.subarray(0, 65_536), data.subarray(65_536), Buffer.alloc(0)];
  const signatures = [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ];
  const trailerSignature = 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435';
  for (const lineEnd of ['\r\n', '\n\r\n']) {
    const body = Buffer.concat([
      frameChunks(chunks, signatures),
      Buffer.from(`x-amz-checksum-crc32c:sOO8/Q==${lineEnd}x-amz-trailer-signature:${trailerSignature}\r\n\r\n`),
    ]);
    const payload = open(pieces(body), {
      mode: signedTrailer,
      seed: trailerSeedSignature,
      decodedBytes: 66_560,
      trailer: 'x-amz-checksum-crc32c',
    });
    assert.deepEqual(await collect(payload.bytes), data);
    assert.deepEqual(payload.declaredDigests().checksum, { algorithm: 'CRC32C', value: 'sOO8/Q==' });
  }
});

test('a wrong signature of any chunk is refused, with the string that was signed here', async () => {
  const chunks = [Buffer.alloc(8192, 'a'), Buffer.alloc(8192, 'b'), Buffer.from('c'), Buffer.alloc(0)];
  const signatures = await signChunks(chunks, seedSignature);
  const options = { mode: signed, decodedBytes: 16_385 };
  for (let index = 0; index < chunks.length; index++) {
    const forged = signatures.with(index, '0'.repeat(64));
    const error = await refused(pieces(frameChunks(chunks, forged), '\r\n'), options);
    assert.equal(error.code, 'SignatureDoesNotMatch', `chunk ${index}`);
    assert.match(error.extra.StringToSign!, /^AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524\//);
    assert.equal(error.extra.SignatureProvided, '0'.repeat(64));
    assert.equal(error.extra.CanonicalRequest, 'PUT\n/bucket/key');
    const touched = chunks.with(index, Buffer.concat([chunks[index]!.subarray(1), Buffer.from('!')]));
    if (index < 3) {
      const changed = await refused(pieces(frameChunks(touched, signatures), '\r\n'), options);
      assert.equal(changed.code, 'SignatureDoesNotMatch', `bytes of chunk ${index}`);
    }
  }
  const swapped = [chunks[1]!, chunks[0]!, chunks[2]!, chunks[3]!];
  const order = [signatures[1]!, signatures[0]!, signatures[2]!, signatures[3]!];
  assert.equal((await refused(pieces(frameChunks(swapped, order), '\r\n'), options)).code, 'SignatureDoesNotMatch');
});

test('signed trailers are refused when the signature is wrong, missing, or of other trailers', async () => {
  const chunks = [Buffer.from('abc'), Buffer.alloc(0)];
  const signatures = await signChunks(chunks, trailerSeedSignature);
  const line = 'x-amz-checksum-crc32:NSRBwg==\r\n';
  const good = signTrailer('x-amz-checksum-crc32:NSRBwg==\n', signatures[1]!);
  const refusal = (trailers: string) =>
    refused(pieces(frameChunks(chunks, signatures), trailers), {
      mode: signedTrailer,
      seed: trailerSeedSignature,
      decodedBytes: 3,
      trailer: 'x-amz-checksum-crc32',
    });
  const other = line.replace('NSRB', 'NSRC');
  for (const trailers of [
    `${line}x-amz-trailer-signature:${'0'.repeat(64)}\r\n\r\n`,
    `${other}x-amz-trailer-signature:${good}\r\n\r\n`,
  ]) {
    const error = await refusal(trailers);
    assert.equal(error.code, 'SignatureDoesNotMatch');
    assert.match(error.extra.StringToSign!, /^AWS4-HMAC-SHA256-TRAILER\n/);
  }
  assert.deepEqual(await refusal(`${line}\r\n`), broken, 'no signature');
  assert.deepEqual(await refusal(line), broken, 'no signature and no end');
  assert.deepEqual(await refusal(`${line}x-amz-trailer-signature:${good}\r\n`), broken, 'no end');
  assert.deepEqual(await refusal(`${line}x-amz-trailer-signature:${good}\r\n${line}\r\n`), malformedTrailer);
});

const data = 'x'.repeat(32);
const whole = `20\r\n${data}\r\n0\r\n`;

/** What AWS takes although it is odd, found by asking AWS (OpenStack Swift keeps such a list as its S3 tests). */
const accepted: readonly (readonly [name: string, body: string, trailer?: string])[] = [
  ['no trailers', `${whole}\r\n`],
  ['nothing after the last chunk', whole],
  ['capital digits, zeros and blanks in a chunk size', ` 0020 \r\n${data}\r\n0\r\n\r\n`],
  ['a chunk extension', `20;name=value\r\n${data}\r\n0\r\n\r\n`],
  ['a blank after the colon', `${whole}x-amz-checksum-crc32: NSRBwg==\r\n\r\n`, 'x-amz-checksum-crc32'],
  ['a trailer in capitals', `${whole}X-AMZ-CHECKSUM-CRC32:NSRBwg==\r\n\r\n`, 'X-Amz-Checksum-Crc32'],
  ['no empty line after the trailers', `${whole}x-amz-checksum-crc32:NSRBwg==\r\n`, 'x-amz-checksum-crc32'],
  ['commas after the name', `${whole}x-amz-checksum-crc32:NSRBwg==\r\n`, 'x-amz-checksum-crc32,, '],
  ['junk after the end', `${whole}x-amz-checksum-crc32:NSRBwg==\r\n\r\nbonus: trailer\r\n`, 'x-amz-checksum-crc32'],
  [
    'a trailer twice, of which the last counts',
    `${whole}x-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n`,
    'x-amz-checksum-crc32',
  ],
];

for (const [name, body, trailer] of accepted) {
  test(`an unsigned body is taken with ${name}`, async () => {
    const payload = open(pieces(body), { decodedBytes: 32, ...(trailer && { trailer }) });
    assert.equal((await collect(payload.bytes)).toString(), data);
    const checksum = trailer === undefined ? undefined : { algorithm: 'CRC32', value: 'NSRBwg==' };
    assert.deepEqual(payload.declaredDigests().checksum, checksum);
  });
}

const brokenBodies: Record<string, string> = {
  'no body': '',
  'no framing': data,
  'no chunk size': `\r\n${data}\r\n0\r\n\r\n`,
  'a negative size': `-20\r\n${data}\r\n0\r\n\r\n`,
  'a size with letters': `2g\r\n${data}\r\n0\r\n\r\n`,
  'a size of more than 16 digits': `00000000000000020\r\n${data}\r\n0\r\n\r\n`,
  'bare line feeds': `20\n${data}\n0\n\n`,
  'bare carriage returns': `20\r${data}\r0\r\r`,
  'no CRLF after a chunk': `20\r\n${data}0\r\n\r\n`,
  'other bytes where CRLF should be': `20\r\n${data}--0\r\n\r\n`,
  'a byte between a chunk and its CRLF': `20\r\n${data}x\r\n0\r\n\r\n`,
  'a cut-off chunk': `20\r\n${data.slice(1)}`,
  'a cut-off CRLF': `20\r\n${data}\r`,
  'no last chunk': `20\r\n${data}\r\n`,
  'half of the last CRLF': `${whole}\r`,
  'an endless chunk header': `20;${'x'.repeat(2000)}\r\n${data}\r\n0\r\n\r\n`,
  'a trailer cut off before its CRLF': `${whole}x-amz-checksum-crc32:NSRBwg==`,
  'a trailer that ends in a line feed': `${whole}x-amz-checksum-crc32:NSRBwg==\n`,
};

for (const [name, body] of Object.entries(brokenBodies)) {
  test(`an unsigned body is refused with ${name}`, async () => {
    const options = { decodedBytes: 32, ...(body.includes('crc32') && { trailer: 'x-amz-checksum-crc32' }) };
    assert.deepEqual(await refused(pieces(body), options), broken);
    assert.deepEqual(await refused(byteByByte(Buffer.from(body)), options), broken);
  });
}

const badSignatures: Record<string, string> = {
  'no signature': '20',
  'an empty signature': '20;chunk-signature=',
  'another extension': '20;other=1',
  'something after the signature': `20;chunk-signature=${'0'.repeat(64)};extra=1`,
};

for (const [name, header] of Object.entries(badSignatures)) {
  test(`a signed chunk is refused with ${name}`, async () => {
    const options = { mode: signed, decodedBytes: 32 };
    assert.deepEqual(await refused(pieces(`${header}\r\n${data}\r\n0\r\n\r\n`), options), broken);
  });
}

test('blanks around the parts of a chunk header do not matter', async () => {
  const chunks = [Buffer.from(data), Buffer.alloc(0)];
  const signatures = await signChunks(chunks, seedSignature);
  const body = `20 ; chunk-signature = ${signatures[0]} \r\n${data}\r\n0;chunk-signature=${signatures[1]}\r\n\r\n`;
  const payload = open(pieces(body), { mode: signed, decodedBytes: 32 });
  assert.equal((await collect(payload.bytes)).toString(), data);
});

test('exactly as many bytes must come as x-amz-decoded-content-length says', async () => {
  const count = (expected: number, provided: number) => ({
    code: 'IncompleteBody',
    message: 'You did not provide the number of bytes specified by the Content-Length HTTP header.',
    extra: { NumberBytesExpected: String(expected), NumberBytesProvided: String(provided) },
  });
  assert.deepEqual(await refused(pieces(whole), { decodedBytes: 33 }), count(33, 32));
  assert.deepEqual(await refused(pieces(whole), { decodedBytes: 31 }), count(31, 32));
  const early = `4\r\nxxxx\r\n0\r\n\r\n1c\r\n${'x'.repeat(28)}\r\n0\r\n\r\n`;
  assert.deepEqual(await refused(pieces(early), { decodedBytes: 32 }), count(32, 4));
  const huge = await refused(pieces('ffffffffffffffff\r\nx'), { decodedBytes: 32 });
  assert.equal(huge.code, 'IncompleteBody');
});

test('a chunked body without a decoded length is refused', () => {
  for (const decodedBytes of [undefined, 'not an int', '', '-1', '1.5', '1e3', '9'.repeat(16)]) {
    assert.throws(() => open(pieces(whole), { decodedBytes }), { code: 'MissingContentLength', status: 411 });
  }
});

test('only the last chunk may be small', async () => {
  const sizes = [8192, 8191, 1];
  const chunks = [...sizes.map((size) => Buffer.alloc(size)), Buffer.alloc(0)];
  const error = await refused(pieces(frameChunks(chunks), '\r\n'), { decodedBytes: 16_384 });
  assert.equal(error.code, 'InvalidChunkSizeError');
  assert.deepEqual(error.extra, { Chunk: '3', BadChunkSize: '8191' });
});

const malformedTrailers: readonly (readonly [name: string, trailers: string, announced?: string])[] = [
  ['none although one was announced', '\r\n', 'x-amz-checksum-crc32'],
  ['no line at all although one was announced', '', 'x-amz-checksum-crc32'],
  ['another one than was announced', 'x-amz-checksum-crc32c:NSRBwg==\r\n\r\n', 'x-amz-checksum-crc32'],
  ['one more than was announced', 'x-amz-checksum-crc32:NSRBwg==\r\nbonus: 1\r\n\r\n', 'x-amz-checksum-crc32'],
  ['one although none was announced', 'x-amz-checksum-crc32:NSRBwg==\r\n\r\n'],
  ['an empty line before it', '\r\nx-amz-checksum-crc32:NSRBwg==\r\n', 'x-amz-checksum-crc32'],
  ['no colon', 'x-amz-checksum-crc32\r\n\r\n', 'x-amz-checksum-crc32'],
  ['a signature that nobody asked for', 'x-amz-trailer-signature:00\r\n\r\n'],
  ['too many lines', 'x-amz-checksum-crc32:NSRBwg==\r\n'.repeat(17), 'x-amz-checksum-crc32'],
];

for (const [name, trailers, announced] of malformedTrailers) {
  test(`the trailers are refused with ${name}`, async () => {
    const options = { decodedBytes: 32, ...(announced && { trailer: announced }) };
    assert.deepEqual(await refused(pieces(whole, trailers), options), malformedTrailer);
  });
}

test('a trailer whose value is no checksum is refused', async () => {
  const options = { decodedBytes: 32, trailer: 'x-amz-checksum-crc32' };
  for (const value of ['not-base-64', 'AAAA', '']) {
    assert.deepEqual(await refused(pieces(whole, `x-amz-checksum-crc32:${value}\r\n\r\n`), options), {
      code: 'InvalidRequest',
      message: 'Value for x-amz-checksum-crc32 trailing header is invalid.',
      extra: {},
    });
  }
});

test('a trailer line is not read without end, nor is junk after the last line', async () => {
  const options = { decodedBytes: 32, trailer: 'x-amz-checksum-crc32' };
  assert.deepEqual(await refused(pieces(whole, `x-amz-checksum-crc32:${'A'.repeat(2000)}`), options), broken);
  const junk = Array.from({ length: 70 }, () => 'x'.repeat(1000));
  const trailer = 'x-amz-checksum-crc32:NSRBwg==\r\n\r\n';
  assert.deepEqual(await refused(pieces(whole, trailer, ...junk), options), broken);
});

test('a checksum may stand in a header of a chunked body', async () => {
  const headers = { 'x-amz-checksum-crc32': 'NSRBwg==' };
  const payload = open(pieces(whole, '\r\n'), { decodedBytes: 32, headers });
  await collect(payload.bytes);
  assert.deepEqual(payload.declaredDigests(), { checksum: { algorithm: 'CRC32', value: 'NSRBwg==' } });
});

test('an empty object is one empty chunk', async () => {
  assert.equal((await collect(open(pieces('0\r\n\r\n'), { decodedBytes: 0 }).bytes)).length, 0);
});
