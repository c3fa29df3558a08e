import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

describe('headers that are stored with an object', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/headers'));
  });
  after(() => gateway.close());

  /** The headers of HEAD after a PUT with these. */
  const roundTrip = async (headers: Record<string, string>): Promise<Headers> => {
    assertOk(await gateway.fetchSigned('PUT', '/headers/key', { body: 'x', headers }));
    const [got, head] = [
      await gateway.fetchSigned('GET', '/headers/key'),
      await gateway.fetchSigned('HEAD', '/headers/key'),
    ];
    assertOk(got);
    for (const name of Object.keys(headers)) assert.equal(got.headers.get(name), head.headers.get(name), name);
    return head.headers;
  };

  it('come back as they were sent', async () => {
    const sent = {
      'content-type': 'text/plain; charset=utf-8',
      'cache-control': 'public, max-age=31536000',
      'content-disposition': 'attachment; filename="report (1).txt"',
      'content-encoding': 'gzip',
      'content-language': 'en-GB, de',
      expires: 'Thu, 01 Jan 2032 00:00:00 GMT',
      'x-amz-website-redirect-location': '/other',
    };
    const received = await roundTrip(sent);
    for (const [name, value] of Object.entries(sent)) assert.equal(received.get(name), value);
  });

  it('keep Expires as text, even where it is no date', async () => {
    assert.equal((await roundTrip({ expires: 'tomorrow' })).get('expires'), 'tomorrow');
  });

  for (const [sent, stored] of [
    ['aws-chunked', null],
    ['aws-chunked,gzip', 'gzip'],
    ['gzip, aws-chunked', 'gzip'],
    ['aws-chunked, gzip, br', 'gzip,br'],
    ['br', 'br'],
  ] as const) {
    it(`keep ${stored ?? 'nothing'} of Content-Encoding: ${sent}`, async () => {
      assert.equal((await roundTrip({ 'content-encoding': sent })).get('content-encoding'), stored);
    });
  }

  it('take user metadata with names in lower case, exact values, and none that was not sent', async () => {
    const received = await roundTrip({
      'X-Amz-Meta-Mixed-Case': 'Value With Case',
      'x-amz-meta-spaced': 'a  b',
      'x-amz-meta-empty': '',
      'x-amz-meta-punctuation': `!#$%&'*+-.^_\`|~,;="()<>@[]{}/?:`,
    });
    assert.equal(received.get('x-amz-meta-mixed-case'), 'Value With Case');
    assert.equal(received.get('x-amz-meta-spaced'), 'a  b');
    assert.equal(received.get('x-amz-meta-empty'), '');
    assert.equal(received.get('x-amz-meta-punctuation'), `!#$%&'*+-.^_\`|~,;="()<>@[]{}/?:`);
    assert.deepEqual([...received.keys()].filter((name) => name.startsWith('x-amz-meta-')).length, 4);
  });

  it('take the dangerous names of JavaScript for metadata like any other', async () => {
    const received = await roundTrip({ 'x-amz-meta-__proto__': 'a', 'x-amz-meta-constructor': 'b' });
    assert.equal(received.get('x-amz-meta-__proto__'), 'a');
    assert.equal(received.get('x-amz-meta-constructor'), 'b');
  });

  it('give metadata beyond ASCII back as RFC 2047 encoded words, however it was sent', async () => {
    const text = 'grüße 🌊';
    const word = `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`;
    const quoted = `=?UTF-8?Q?${[...Buffer.from(text)].map((byte) => `=${byte.toString(16).toUpperCase()}`).join('')}?=`;
    for (const sent of [word, quoted, word.replace('UTF-8?B', 'utf-8?b')]) {
      const received = await roundTrip({ 'x-amz-meta-text': sent });
      const [, base64 = ''] = /^=\?UTF-8\?B\?(.*)\?=$/.exec(received.get('x-amz-meta-text') ?? '') ?? [];
      assert.equal(Buffer.from(base64, 'base64').toString(), text, sent);
    }
  });

  it('give back an encoded word of ASCII as plain text', async () => {
    assert.equal(
      (await roundTrip({ 'x-amz-meta-text': '=?UTF-8?Q?plain=20text?=' })).get('x-amz-meta-text'),
      'plain text',
    );
  });

  it('may hold 2,048 bytes of user metadata, names and values together, and not one more', async () => {
    const name = 'x-amz-meta-';
    await roundTrip({ [`${name}a`]: 'v'.repeat(1023), [`${name}b`]: 'v'.repeat(1023) });
    const answer = await gateway.fetchSigned('PUT', '/headers/too-much', {
      body: 'x',
      headers: { [`${name}a`]: 'v'.repeat(1023), [`${name}b`]: 'v'.repeat(1024) },
    });
    const body = assertS3Error(answer, 400, 'MetadataTooLarge');
    assert.equal(body.Size, '2049');
    assert.equal(body.MaxSizeAllowed, '2048');
    assert.equal((await gateway.fetchSigned('HEAD', '/headers/too-much')).status, 404);
  });

  it('count tags given with a PUT', async () => {
    assert.equal((await roundTrip({ 'x-amz-tagging': 'a=1&b=two%20words' })).get('x-amz-tagging-count'), '2');
  });

  for (const [tags, code] of [
    ['a=1&a=2', 'InvalidTag'],
    [Array.from({ length: 11 }, (_, index) => `t${index}=v`).join('&'), 'InvalidTag'],
    [`${'k'.repeat(129)}=v`, 'InvalidTag'],
    [`k=${'v'.repeat(257)}`, 'InvalidTag'],
    ['a=%ZZ', 'InvalidArgument'],
  ] as const) {
    it(`are refused with ${code} where the tags are ${tags.slice(0, 24)}`, async () => {
      const answer = await gateway.fetchSigned('PUT', '/headers/tagged', {
        body: 'x',
        headers: { 'x-amz-tagging': tags },
      });
      assert.equal(assertS3Error(answer, 400, code).Code, code);
      assert.equal((await gateway.fetchSigned('HEAD', '/headers/tagged')).status, 404);
    });
  }

  for (const name of ['x-amz-object-lock-mode', 'x-amz-write-offset-bytes']) {
    it(`are refused rather than dropped where they ask for ${name}`, async () => {
      const answer = await gateway.fetchSigned('PUT', '/headers/refused', { body: 'x', headers: { [name]: 'AES256' } });
      assertS3Error(answer, 501, 'NotImplemented');
      assert.equal((await gateway.fetchSigned('HEAD', '/headers/refused')).status, 404);
    });
  }

  it('may carry a canned ACL that changes nothing, and no other', async () => {
    await roundTrip({ 'x-amz-acl': 'bucket-owner-full-control' });
    const answer = await gateway.fetchSigned('PUT', '/headers/acl', {
      body: 'x',
      headers: { 'x-amz-acl': 'public-read' },
    });
    assertS3Error(answer, 400, 'AccessControlListNotSupported');
  });
});
