import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AuthRequest } from '../../gateway/auth/auth-request.ts';
import { authenticate } from '../../gateway/auth/authenticate.ts';
import { type PlainRequest, presignRequest, signRequest } from './smithy-signer.ts';
import { accessKeyId, account, createContext } from './test-account.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const path = fc
  .array(text, { minLength: 1, maxLength: 5 })
  .map((segments) => `/${encodeFully(segments.join('/')).replaceAll('%2F', '/')}`);
const query = fc.dictionary(
  fc
    .oneof(text, fc.constantFrom('uploads', 'a', 'a-b', 'a=b', 'prefix', 'list-type'))
    .filter((name) => name !== '' && name !== '__proto__'), // The SDK loses the latter.
  fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 })),
  { maxKeys: 5, noNullPrototype: true },
);
const headerName = fc.stringMatching(/^x-amz-meta-[a-z0-9-]{1,10}$/);
const headerValue = fc.stringMatching(/^[!-~éà漢]([ -~éà漢]{0,20}[!-~éà漢])?$/);
const request: fc.Arbitrary<PlainRequest> = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'DELETE'),
  path,
  query,
  headers: fc.dictionary(headerName, headerValue, { maxKeys: 4, noNullPrototype: true }),
});

/** As the SDK does it: everything but unreserved characters. */
function encodeFully(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function accept(signed: AuthRequest): void {
  const result = authenticate(signed, createContext());
  assert.ok(result.kind === 'signed');
  assert.deepEqual([result.accessKeyId, result.account], [accessKeyId, account]);
}

function refuse(signed: AuthRequest): void {
  assert.throws(() => authenticate(signed, createContext()), { code: 'SignatureDoesNotMatch' });
}

test('whatever the AWS SDK signs in a header is accepted', async () => {
  await fc.assert(fc.asyncProperty(request, async (plain) => accept(await signRequest(plain))));
});

test('whatever the AWS SDK presigns is accepted', async () => {
  await fc.assert(
    fc.asyncProperty(request, fc.integer({ min: 1, max: 604_800 }), async (plain, expiresIn) =>
      accept(await presignRequest(plain, expiresIn)),
    ),
  );
});

test('another spelling of the same bytes does not change the signature', async () => {
  const respell = (raw: string, random: () => number): string =>
    raw.replace(/%([0-9A-F]{2})|[A-Za-z0-9\-._~]/g, (whole, hex: string | undefined) => {
      const byte = hex === undefined ? whole.charCodeAt(0) : Number.parseInt(hex, 16);
      const literal = String.fromCharCode(byte);
      if (hex !== undefined && /[!$'()*,:;@]/.test(literal) && random() < 0.5) return literal;
      const escaped = `%${byte.toString(16).padStart(2, '0')}`;
      if (random() < 0.2) return escaped;
      return hex !== undefined && random() < 0.5 ? whole.toLowerCase() : whole;
    });
  await fc.assert(
    fc.asyncProperty(request, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), async (plain, stream) => {
      const random = () => stream.next().value as number;
      const signed = await signRequest(plain);
      accept({ ...signed, rawPath: respell(signed.rawPath, random), rawQuery: respell(signed.rawQuery, random) });
    }),
  );
});

test('the order of query parameters and the case of header names do not matter', async () => {
  await fc.assert(
    fc.asyncProperty(request, async (plain) => {
      const signed = await signRequest(plain);
      accept({
        ...signed,
        rawQuery: signed.rawQuery.split('&').reverse().join('&'),
        rawHeaders: signed.rawHeaders.map((part, index) => (index % 2 === 0 ? part.toUpperCase() : part)),
      });
    }),
  );
});

test('a change to method, path, query or a signed header is refused', async () => {
  await fc.assert(
    fc.asyncProperty(request, async (plain) => {
      const signed = await signRequest({ ...plain, headers: { ...plain.headers, 'x-amz-acl': 'private' } });
      refuse({ ...signed, method: 'PATCH' });
      refuse({ ...signed, rawPath: `${signed.rawPath}x` });
      refuse({ ...signed, rawPath: `/${signed.rawPath}` });
      refuse({ ...signed, rawQuery: `${signed.rawQuery}&versionId=1` });
      refuse({
        ...signed,
        headers: { ...signed.headers, 'x-amz-acl': 'public-read' },
        rawHeaders: signed.rawHeaders.map((part) => (part === 'private' ? 'public-read' : part)),
      });
      refuse({ ...signed, rawHeaders: [...signed.rawHeaders, 'X-Amz-Acl', 'public-read'] });
    }),
  );
});

test('another secret is refused', async () => {
  await fc.assert(
    fc.asyncProperty(request, async (plain) => {
      refuse(await signRequest(plain, 'another secret'));
      refuse(await presignRequest(plain, 60, 'another secret'));
    }),
    { numRuns: 20 },
  );
});

test('a plus in a query is a space, and an escaped one a plus', async () => {
  const plain = { method: 'GET', path: '/', query: { prefix: 'a b+c' }, headers: {} };
  const signed = await signRequest(plain);
  accept({ ...signed, rawQuery: 'prefix=a+b%2Bc' });
  refuse({ ...signed, rawQuery: 'prefix=a+b+c' });
});

test('a plus in a path is a plus', async () => {
  const signed = await signRequest({ method: 'GET', path: '/a%2Bb', query: {}, headers: {} });
  accept({ ...signed, rawPath: '/a+b' });
  refuse({ ...signed, rawPath: '/a%20b' });
});

test('dots, double slashes and an escaped slash in a path are kept', async () => {
  for (const rawPath of ['/b//a', '/b/./a', '/b/../a', '/b/a/', '//', '/b/a%2Fb']) {
    accept(await signRequest({ method: 'GET', path: rawPath.replace('%2F', '/'), query: {}, headers: {} }));
  }
  const signed = await signRequest({ method: 'GET', path: '/b/a/b', query: {}, headers: {} });
  accept({ ...signed, rawPath: '/b/a%2Fb' });
});

test('a header that comes twice is joined by a comma, and runs of blanks count as one', async () => {
  const signed = await signRequest({
    method: 'GET',
    path: '/',
    query: {},
    headers: { 'x-amz-meta-a': 'one,two three' },
  });
  const rest = signed.rawHeaders.filter((_, index) => signed.rawHeaders[index - (index % 2)] !== 'x-amz-meta-a');
  accept({ ...signed, rawHeaders: [...rest, 'X-Amz-Meta-A', ' one ', 'x-amz-meta-a', 'two   \t three'] });
});

test('the second byte of a letter that looks like a blank is kept', async () => {
  accept(await signRequest({ method: 'GET', path: '/', query: {}, headers: { 'x-amz-meta-a': 'à à' } }));
});
