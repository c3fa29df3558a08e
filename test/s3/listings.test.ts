import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const Bucket = 'listings';

/** Chosen so that folders, twins of folders, escapes and orders by bytes rather than by UTF-16 all occur. */
const keys = [
  ' leading', '/', '//', '/a', '100%.csv', 'a', 'a b.txt', 'a!', 'a+b.txt', 'a.txt', 'a/', 'a/b', 'a/b/c', 'a/b/d',
  'a/c', 'a0', 'aa', 'b/1', 'b/2', 'b/3', 'c', 'é', 'z', 'z/z', '\uff5e', '\u{1f600}', '\u{1f600}/x',
]; // biome-ignore format: a word list

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const sorted = keys.toSorted(byBytes);

/** What a listing must hold, page by page: the model that the gateway is compared with. */
function modelPages(query: { prefix: string; delimiter: string; after: string; maxKeys: number }): string[][] {
  const entries: string[] = [];
  for (const key of sorted) {
    if (!key.startsWith(query.prefix) || byBytes(key, query.after) <= 0) continue;
    const at = query.delimiter === '' ? -1 : key.indexOf(query.delimiter, query.prefix.length);
    const entry = at < 0 ? key : `${key.slice(0, at + query.delimiter.length)}*`;
    if (!entries.includes(entry)) entries.push(entry);
  }
  const pages: string[][] = [];
  for (let at = 0; at < entries.length || at === 0; at += query.maxKeys)
    pages.push(entries.slice(at, at + query.maxKeys));
  // An answer names all keys before all common prefixes.
  return pages.map((page) => page.toSorted((a, b) => Number(a.endsWith('*')) - Number(b.endsWith('*'))));
}

function unescapeXml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
}

/** Keys, and common prefixes with a star, in the order of the answer. */
function entriesOf(xml: string): string[] {
  return [...xml.matchAll(/<Contents><Key>(.*?)<\/Key>|<CommonPrefixes><Prefix>(.*?)<\/Prefix>/gs)].map(
    ([, key, prefix]) => unescapeXml(key ?? `${prefix}*`),
  );
}

function textOf(xml: string, element: string): string | undefined {
  const text = new RegExp(`<${element}>(.*?)</${element}>`, 's').exec(xml)?.[1];
  return text === undefined ? undefined : unescapeXml(text);
}

/** The names of the answer's own elements, in order, without repetitions. */
function outlineOf(xml: string): string[] {
  const bare = xml.replaceAll(/<(Contents|CommonPrefixes)>.*?<\/\1>/gs, '<$1></$1>');
  return [...new Set([...bare.matchAll(/<(\w+)>[^<]*<\/\1>/g)].map(([, name]) => name ?? ''))];
}

const query = (parameters: Record<string, string | number>): string =>
  Object.entries(parameters)
    .map(
      ([name, value]) =>
        `${name}=${encodeURIComponent(value).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}`,
    )
    .join('&');

describe('listings', () => {
  let gateway: TestGateway;
  let client: S3Client;

  before(async () => {
    gateway = await startGateway();
    client = gateway.client;
    await client.send(new CreateBucketCommand({ Bucket }));
    await Promise.all(keys.map((Key) => client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))));
  });
  after(() => gateway.close());

  const list = async (parameters: Record<string, string | number>): Promise<string> => {
    const answer = await gateway.fetchSigned('GET', `/${Bucket}?${query(parameters)}`);
    assertOk(answer);
    assert.equal(answer.headers.get('content-type'), 'application/xml');
    return answer.text;
  };

  it('hold every key once, in the order of its bytes', async () => {
    assert.deepEqual(entriesOf(await list({})), sorted);
    assert.deepEqual(entriesOf(await list({ 'list-type': 2 })), sorted);
  });

  it('describe an object by size, time, ETag and storage class', async () => {
    const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: 'a b' }));
    const [object] = Contents ?? [];
    assert.equal(object?.Size, 7);
    assert.equal(object?.ETag, `"${md5Hex('a b.txt')}"`);
    assert.equal(object?.StorageClass, 'STANDARD');
    assert.ok(Math.abs(Number(object?.LastModified) - Date.now()) < 60_000);
    assert.equal(object?.Owner, undefined);
  });

  it('name the checksum of an object that has one', async () => {
    const crc = gateway.createClient({ requestChecksumCalculation: 'WHEN_SUPPORTED' });
    await crc.send(new CreateBucketCommand({ Bucket: 'sums' }));
    await crc.send(new PutObjectCommand({ Bucket: 'sums', Key: 'k', Body: 'x', ChecksumAlgorithm: 'SHA256' }));
    const { Contents } = await crc.send(new ListObjectsV2Command({ Bucket: 'sums' }));
    assert.deepEqual(Contents?.[0]?.ChecksumAlgorithm, ['SHA256']);
    assert.equal(Contents?.[0]?.ChecksumType, 'FULL_OBJECT');
  });

  it('name the owner in the first version always, in the second when asked', async () => {
    const owner = `<Owner><ID>${'a'.repeat(64)}</ID><DisplayName>root</DisplayName></Owner>`;
    assert.ok((await list({ 'max-keys': 1 })).includes(owner));
    assert.ok((await list({ 'list-type': 2, 'fetch-owner': 'true' })).includes(owner));
    assert.ok(!(await list({ 'list-type': 2, 'fetch-owner': 'false' })).includes('<Owner>'));
  });

  const queries = fc.record({
    prefix: fc.constantFrom('', 'a', 'a/', 'a/b', 'b/', '/', 'zz', '\u{1f600}'),
    delimiter: fc.constantFrom('', '/', 'b/', 'a', '//'),
    maxKeys: fc.integer({ min: 1, max: 9 }),
    after: fc.constantFrom('', 'a', 'a/', 'a/b', 'a/zzz', 'b/2', 'no-such-key', 'é'),
  });

  it('of the second version come in pages that a model predicts, from any start', async () => {
    await fc.assert(
      fc.asyncProperty(queries, async ({ prefix, delimiter, maxKeys, after }) => {
        const asked = { 'list-type': 2, prefix, delimiter, 'max-keys': maxKeys, 'start-after': after };
        const expected = modelPages({ prefix, delimiter, after, maxKeys });
        for (let page = 0, token = ''; ; page++) {
          const xml = await list(token === '' ? asked : { ...asked, 'continuation-token': token });
          const entries = entriesOf(xml);
          assert.deepEqual(entries, expected[page]);
          assert.equal(textOf(xml, 'KeyCount'), String(entries.length));
          assert.equal(textOf(xml, 'IsTruncated'), String(page < expected.length - 1));
          const next = textOf(xml, 'NextContinuationToken');
          if (next === undefined) return assert.equal(page, expected.length - 1);
          token = next;
        }
      }),
      { numRuns: 40 },
    );
  });

  it('of the first version come in pages that a model predicts', async () => {
    await fc.assert(
      fc.asyncProperty(queries, async ({ prefix, delimiter, maxKeys }) => {
        const expected = modelPages({ prefix, delimiter, after: '', maxKeys });
        for (let page = 0, marker = ''; ; page++) {
          const xml = await list({ prefix, delimiter, 'max-keys': maxKeys, ...(marker && { marker }) });
          const entries = entriesOf(xml);
          assert.deepEqual(entries, expected[page]);
          const next = textOf(xml, 'NextMarker');
          if (textOf(xml, 'IsTruncated') === 'false') return assert.equal(page, expected.length - 1);
          // Without a delimiter the last key is the marker, and AWS does not repeat it.
          assert.equal(next === undefined, delimiter === '');
          marker = next ?? entries.at(-1) ?? '';
        }
      }),
      { numRuns: 40 },
    );
  });

  it('go on behind a common prefix whose keys the marker lies among', async () => {
    assert.deepEqual(entriesOf(await list({ delimiter: '/', prefix: 'b', marker: 'b/2' })), []);
    assert.deepEqual(entriesOf(await list({ delimiter: '/', prefix: 'b', marker: 'b/' })), []);
    assert.deepEqual(entriesOf(await list({ 'list-type': 2, delimiter: '/', prefix: 'b', 'start-after': 'b/2' })), [
      'b/*',
    ]);
  });

  it('have their elements in the order of AWS', async () => {
    const shared = { delimiter: '/', 'encoding-type': 'url', 'max-keys': 2 };
    const end = ['MaxKeys', 'Delimiter', 'EncodingType', 'IsTruncated', 'Contents', 'CommonPrefixes'];
    const first = await list({ ...shared, marker: ' ' });
    assert.deepEqual(outlineOf(first), ['Name', 'Prefix', 'Marker', 'NextMarker', ...end]);
    const second = await list({ ...shared, 'list-type': 2, 'start-after': ' ' });
    assert.deepEqual(outlineOf(second), ['Name', 'Prefix', 'StartAfter', 'NextContinuationToken', 'KeyCount', ...end]);
    const plain = await list({ 'list-type': 2, 'max-keys': 0 });
    assert.deepEqual(outlineOf(plain), ['Name', 'Prefix', 'KeyCount', 'MaxKeys', 'IsTruncated']);
  });

  it('write keys, prefixes and markers url-encoded when asked, but never tokens', async () => {
    const asked = { 'encoding-type': 'url', delimiter: '|', prefix: 'a', 'max-keys': 2 };
    const first = await list({ ...asked, marker: 'a!' });
    assert.deepEqual(entriesOf(first), ['a%2Bb.txt', 'a.txt']);
    assert.deepEqual(
      ['Marker', 'NextMarker', 'Delimiter'].map((name) => textOf(first, name)),
      ['a%21', 'a.txt', '%7C'],
    );
    const second = await list({ ...asked, 'list-type': 2, 'start-after': 'a b' });
    assert.deepEqual(entriesOf(second), ['a+b.txt', 'a%21']);
    assert.equal(textOf(second, 'StartAfter'), 'a+b');
    assert.match(textOf(second, 'NextContinuationToken') ?? '', /^[\w-]+$/);
    assert.deepEqual(entriesOf(await list({ 'encoding-type': 'url', prefix: 'é' })), ['%C3%A9']);
    assert.deepEqual(entriesOf(await list({ 'encoding-type': 'url', prefix: 'a/b/', delimiter: '/' })), [
      'a/b/c',
      'a/b/d',
    ]);
  });

  it('tell what was asked, but only the token where a token and start-after were', async () => {
    const token = textOf(await list({ 'list-type': 2, 'max-keys': 1 }), 'NextContinuationToken') ?? '';
    const xml = await list({ 'list-type': 2, 'continuation-token': token, 'start-after': 'z', 'max-keys': 1 });
    assert.equal(textOf(xml, 'ContinuationToken'), token);
    assert.equal(textOf(xml, 'StartAfter'), undefined);
    assert.deepEqual(entriesOf(xml), [sorted[1]]);
  });

  it('give no more than 1,000 keys a page, and none when none are asked for', async () => {
    const many = await list({ 'list-type': 2, 'max-keys': 5000 });
    assert.equal(textOf(many, 'MaxKeys'), '5000');
    assert.equal(entriesOf(many).length, keys.length);
    for (const version of [1, 2]) {
      const none = await list({ 'list-type': version, 'max-keys': 0 });
      assert.deepEqual(entriesOf(none), []);
      assert.equal(textOf(none, 'IsTruncated'), 'false');
      assert.doesNotMatch(none, /<Next/);
    }
  });

  it('are walked to the end by the paginator of the SDK', async () => {
    const found: string[] = [];
    for await (const page of paginateListObjectsV2({ client, pageSize: 4 }, { Bucket, EncodingType: 'url' })) {
      found.push(...(page.Contents ?? []).map(({ Key }) => decodeURIComponent((Key ?? '').replaceAll('+', ' '))));
    }
    assert.deepEqual(found, sorted);
  });

  const refusals: [parameters: string, argument: string, value: string | undefined][] = [
    ['max-keys=-1', 'maxKeys', '-1'],
    ['list-type=2&max-keys=-01', 'maxKeys', '-1'],
    ['max-keys=many', 'max-keys', 'many'],
    ['list-type=2&max-keys=2147483648', 'max-keys', '2147483648'],
    ['encoding-type=base64', 'encoding-type', 'base64'],
    ['list-type=2&encoding-type=', 'encoding-type', ''],
    ['list-type=2&continuation-token=garbage', 'continuation-token', undefined],
    ['list-type=2&continuation-token=', 'continuation-token', undefined],
    ['list-type=2&marker=a', 'marker', undefined],
    ['start-after=a', 'start-after', undefined],
    ['continuation-token=a', 'continuation-token', undefined],
  ];
  for (const [parameters, argument, value] of refusals) {
    it(`are refused for ${parameters}`, async () => {
      const error = assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}?${parameters}`), 400, 'InvalidArgument');
      assert.equal(error.ArgumentName, argument);
      assert.equal(error.ArgumentValue, value);
    });
  }

  it('of a bucket that is not there are 404', async () => {
    assertS3Error(await gateway.fetchSigned('GET', '/no-such-bucket?list-type=2'), 404, 'NoSuchBucket');
  });

  it('are 501 for a subresource that is not implemented, and never fall through', async () => {
    for (const name of ['acl', 'policy', 'cors', 'lifecycle', 'tagging', 'website', 'object-lock']) {
      assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}?${name}`), 501, 'NotImplemented');
    }
  });
});
