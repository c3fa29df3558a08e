import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CopyObjectCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { signHeaders } from '../harness/signed-fetch.ts';

/** Every byte but the unreserved ones, as SigV4 wants a path. */
function encodeKey(key: string): string {
  return key
    .split('/')
    .map((segment) =>
      encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`),
    )
    .join('/');
}

const keys = [
  'plain',
  '/leading',
  '//two-leading',
  'trailing/',
  'trailing//',
  'a//b',
  'a///b',
  '.',
  '..',
  './a',
  '../a',
  'a/./b',
  'a/../b',
  'a/..',
  '/',
  '//',
  ' ',
  ' leading space',
  'trailing space ',
  'a b  c',
  'a+b',
  'a%b',
  'a%2Fb',
  'a%2fb',
  '%',
  '%%',
  '%25',
  '?query=1',
  'a?b#c',
  'a&b=c;d',
  '"quoted" & <tagged>',
  "it's (a) [b] {c} * ! ~ ^ ` | \\",
  'umlaut-äöü',
  'combining-a\u0308',
  'emoji-🌊🪢/🐚',
  'zero-width-\u200d\ufeff',
  'line\nfeed',
  'carriage\rreturn',
  'tab\there',
  'control-\u0001\u001f\u007f',
  'nul-\u0000-byte',
  'constructor',
  '__proto__',
  'x'.repeat(1024),
  'ü'.repeat(512),
  '🌊'.repeat(256),
];

describe('keys', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/keys'));
    assertOk(await gateway.fetchSigned('PUT', '/copies'));
  });
  after(() => gateway.close());

  /** All keys of a bucket as a listing shows them. */
  const listKeys = async (bucket: string, prefix = ''): Promise<string[]> => {
    const found: string[] = [];
    for (let token = ''; ; ) {
      const query = `encoding-type=url&list-type=2&max-keys=7&prefix=${encodeURIComponent(prefix)}`;
      const page = await gateway.fetchSigned('GET', `/${bucket}?${token && `continuation-token=${token}&`}${query}`);
      assertOk(page);
      for (const [, key] of page.text.matchAll(/<Key>([^<]*)<\/Key>/g))
        found.push(decodeURIComponent((key as string).replaceAll('+', ' ')));
      const next = /<NextContinuationToken>([^<]*)</.exec(page.text)?.[1];
      if (next === undefined) return found;
      token = encodeURIComponent(next);
    }
  };

  it('are exact bytes: each of them names an object of its own through put, get, head and list', async () => {
    for (const key of keys)
      assertOk(await gateway.fetchSigned('PUT', `/keys/${encodeKey(key)}`, { body: `body of ${key}` }));
    for (const key of keys) {
      const answer = await gateway.fetchSigned('GET', `/keys/${encodeKey(key)}`);
      assertOk(answer);
      assert.equal(answer.text, `body of ${key}`);
      assert.equal((await gateway.fetchSigned('HEAD', `/keys/${encodeKey(key)}`)).status, 200);
    }
    const byBytes = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.deepEqual(await listKeys('keys'), byBytes);
  });

  it('come out of a listing without an encoding type as XML that says the same', async () => {
    const answer = await gateway.fetchSigned('GET', '/keys?list-type=2&prefix=%22quoted');
    assert.match(answer.text, /<Key>&quot;quoted&quot; &amp; &lt;tagged&gt;<\/Key>/);
    const { Contents } = await gateway.client.send(new ListObjectsV2Command({ Bucket: 'keys', Prefix: 'emoji' }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ['emoji-🌊🪢/🐚'],
    );
  });

  it('survive a copy, as source and as destination', async () => {
    for (const key of keys) {
      const source = `/keys/${encodeKey(key)}`;
      const answer = await gateway.fetchSigned('PUT', `/copies/${encodeKey(key)}`, {
        headers: { 'x-amz-copy-source': source },
      });
      assertOk(answer);
    }
    for (const key of keys) {
      const { text } = await gateway.fetchSigned('GET', `/copies/${encodeKey(key)}`);
      assert.equal(text, `body of ${key}`);
    }
  });

  it('are deleted one by one, and nothing else goes with them', async () => {
    const left = new Set(await listKeys('copies'));
    for (const key of keys) {
      assertOk(await gateway.fetchSigned('DELETE', `/copies/${encodeKey(key)}`), 204);
      left.delete(key);
      assertS3Error(await gateway.fetchSigned('GET', `/copies/${encodeKey(key)}`), 404, 'NoSuchKey');
    }
    assert.deepEqual([...left], []);
    assert.deepEqual(await listKeys('copies'), []);
  });

  it('pass through the SDK as they are', async () => {
    for (const Key of ['a//b/../c d+e%20', '🌊/ü?x=1#y', "it's (x)!*"]) {
      await gateway.client.send(new PutObjectCommand({ Bucket: 'keys', Key, Body: Key }));
      const CopySource = `keys/${encodeKey(Key)}`;
      await gateway.client.send(new CopyObjectCommand({ Bucket: 'copies', Key, CopySource }));
      for (const Bucket of ['keys', 'copies']) {
        const { Body } = await gateway.client.send(new GetObjectCommand({ Bucket, Key }));
        assert.equal(await Body?.transformToString(), Key);
      }
    }
  });

  it('may be 1,024 bytes long, and not one longer', async () => {
    for (const key of ['x'.repeat(1025), `${'ü'.repeat(512)}x`, '🌊'.repeat(257)]) {
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const answer = await gateway.fetchSigned(method, `/keys/${encodeKey(key)}`);
        const body = assertS3Error(answer, 400, 'KeyTooLongError');
        assert.equal(body.Size, String(Buffer.byteLength(key)));
        assert.equal(body.MaxSizeAllowed, '1024');
      }
    }
  });

  it('must be UTF-8 in whole escapes', async () => {
    for (const key of ['%FF', '%C3', '%', '%4', 'a%zz'])
      assertS3Error(await gateway.fetchSigned('GET', `/keys/${key}`), 400, 'InvalidURI');
  });

  it('mean the same whichever characters of them the client escapes', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/keys/spelled-one', { body: 'spelled' }));
    // Both sides sign the canonical spelling, whatever is on the request line.
    const { host } = new URL(gateway.url);
    const pathAndQuery = '/keys/spelled-one';
    const headers = signHeaders({ method: 'GET', pathAndQuery, host, region: 'us-east-1', key: rootKey });
    const connection = await RawConnection.open(gateway.url);
    for (const path of ['/keys/spelled-one', '/keys/spelled%2Done', '/keys/spelled%2done', '/%6Beys/%73pelled-one']) {
      await connection.write(renderHead('GET', path, headers));
      assert.equal((await connection.readAnswer()).text, 'spelled', path);
    }
    connection.destroy();
  });

  it('of any characters are found again under exactly their name', async () => {
    const anyKey = fc
      .string({
        unit: fc.oneof(fc.constantFrom('/', '.', '+', '%', ' ', '&'), fc.string({ unit: 'binary', maxLength: 1 })),
        minLength: 1,
        maxLength: 60,
      })
      .filter((key) => Buffer.byteLength(key) <= 1000);
    await fc.assert(
      fc.asyncProperty(anyKey, async (name) => {
        const key = `any/${name}`;
        assertOk(await gateway.fetchSigned('PUT', `/keys/${encodeKey(key)}`, { body: key }));
        assert.equal((await gateway.fetchSigned('GET', `/keys/${encodeKey(key)}`)).text, key);
        assert.ok((await listKeys('keys', key)).includes(key));
        assertOk(await gateway.fetchSigned('DELETE', `/keys/${encodeKey(key)}`), 204);
      }),
      { numRuns: 60 },
    );
  });
});
