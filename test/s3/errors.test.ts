import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

describe('errors', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/errors'));
    assertOk(await gateway.fetchSigned('PUT', '/errors/key', { body: 'as it was' }));
  });
  after(() => gateway.close());

  it('name the path that was asked for as it came, and one request id', async () => {
    const answer = await gateway.fetchSigned('GET', '/errors/a%20%3Cb%3E%26//c?versionId=null');
    const body = assertS3Error(answer, 404, 'NoSuchVersion');
    assert.equal(body.Resource, '/errors/a%20%3Cb%3E%26//c');
    assert.match(body.RequestId ?? '', /^[0-9A-Z]{16}$/);
  });

  it('have a request id of their own each, as every answer has', async () => {
    const answers = await Promise.all(
      [
        ['GET', '/'],
        ['GET', '/errors'],
        ['HEAD', '/errors'],
        ['PUT', '/errors/other'],
        ['GET', '/errors/key'],
        ['HEAD', '/errors/missing'],
        ['DELETE', '/errors/other'],
        ['GET', '/errors/missing'],
        ['GET', '/errors?acl'],
      ].map(([method, path]) => gateway.fetchSigned(method as string, path as string)),
    );
    const ids = answers.map(({ headers }) => headers.get('x-amz-request-id'));
    assert.ok(ids.every((id) => /^[0-9A-Z]{16}$/.test(id ?? '')));
    assert.equal(new Set(ids).size, ids.length);
    for (const { headers } of answers) assert.ok((headers.get('x-amz-id-2')?.length ?? 0) > 0);
  });

  const unsupported = {
    bucket: [
      'acl', 'accelerate', 'analytics', 'cors', 'intelligent-tiering', 'inventory', 'lifecycle',
      'logging', 'metrics', 'notification', 'object-lock', 'ownershipControls', 'policy', 'policyStatus',
      'publicAccessBlock', 'replication', 'requestPayment', 'session', 'website',
    ], // biome-ignore format: a word list
    object: ['acl', 'legal-hold', 'retention', 'torrent', 'restore', 'select', 'renameObject'],
  };

  for (const method of ['GET', 'PUT', 'DELETE', 'POST']) {
    it(`answer ${method} of a subresource that is known but not supported with NotImplemented`, async () => {
      for (const name of unsupported.bucket)
        assertS3Error(await gateway.fetchSigned(method, `/errors?${name}`), 501, 'NotImplemented');
      for (const name of unsupported.object)
        assertS3Error(await gateway.fetchSigned(method, `/errors/key?${name}`), 501, 'NotImplemented');
    });
  }

  it('keep a subresource that is not supported from touching object or bucket', async () => {
    for (const query of ['acl', 'acl=', 'legal-hold', 'x=1&retention', 'select&select-type=2', 'acl&uploads'])
      for (const method of ['PUT', 'DELETE', 'POST'])
        assertS3Error(
          await gateway.fetchSigned(method, `/errors/key?${query}`, { body: 'gone' }),
          501,
          'NotImplemented',
        );
    assertS3Error(await gateway.fetchSigned('DELETE', '/errors?policy'), 501, 'NotImplemented');
    assertS3Error(await gateway.fetchSigned('PUT', '/other?acl'), 501, 'NotImplemented');
    assert.equal((await gateway.fetchSigned('GET', '/errors/key')).text, 'as it was');
    assert.equal((await gateway.fetchSigned('HEAD', '/other')).status, 404);
  });

  it('keep a subresource of the wrong method or scope from falling through', async () => {
    for (const [method, path] of [
      ['GET', '/errors/key?delete'],
      ['PUT', '/errors/key?uploads'],
      ['DELETE', '/errors/key?versions'],
      ['PUT', '/errors/key?versioning'],
      ['DELETE', '/errors?versioning'],
      ['PUT', '/errors/key?uploadId=x'],
      ['PUT', '/errors/key?partNumber=1'],
      ['GET', '/?acl'],
    ] as const) {
      const answer = await gateway.fetchSigned(method, path);
      assert.ok([400, 404, 405, 501].includes(answer.status), `${method} ${path}: ${answer.status}`);
    }
    assert.equal((await gateway.fetchSigned('GET', '/errors/key')).text, 'as it was');
  });

  it('answer methods that a resource does not have with MethodNotAllowed', async () => {
    for (const [method, path] of [
      ['POST', '/'],
      ['PUT', '/'],
      ['DELETE', '/'],
      ['PATCH', '/errors/key'],
      ['POST', '/errors/key'],
      ['PATCH', '/errors'],
    ] as const) {
      const body = assertS3Error(await gateway.fetchSigned(method, path), 405, 'MethodNotAllowed');
      assert.equal(body.Method, method);
    }
  });

  it('tell a bucket that is missing from a key that is missing', async () => {
    assert.equal(
      assertS3Error(await gateway.fetchSigned('GET', '/missing/key'), 404, 'NoSuchBucket').BucketName,
      'missing',
    );
    assert.equal(assertS3Error(await gateway.fetchSigned('GET', '/errors/gone'), 404, 'NoSuchKey').Key, 'gone');
    assertS3Error(await gateway.fetchSigned('GET', '/missing'), 404, 'NoSuchBucket');
    assert.equal((await gateway.fetchSigned('HEAD', '/missing')).status, 404);
  });

  describe('of XML', () => {
    const remove = (body: string) => gateway.fetchSigned('POST', '/errors?delete', { body, headers: md5Of(body) });

    for (const [what, xml] of [
      ['an empty one', ''],
      ['text', 'not xml'],
      ['an element that is not closed', '<Delete><Object><Key>key</Key></Object>'],
      ['another root', '<Remove><Object><Key>key</Key></Object></Remove>'],
      ['two roots', '<Delete><Object><Key>key</Key></Object></Delete><Delete/>'],
      ['no key', '<Delete><Object></Object></Delete>'],
      ['bytes that are not UTF-8', '<Delete><Object><Key>\ud800</Key></Object>'],
      ['a DTD', '<!DOCTYPE Delete [<!ENTITY e "key">]><Delete><Object><Key>&e;</Key></Object></Delete>'],
      ['an entity that is not declared', '<Delete><Object><Key>&nbsp;</Key></Object></Delete>'],
      ['elements nested without end', '<a>'.repeat(100_000)],
    ] as const) {
      it(`refuse a document with ${what}`, async () => {
        const answer = await remove(xml);
        assert.ok(
          ['MalformedXML', 'MissingRequestBodyError'].some((code) => answer.text.includes(`<Code>${code}<`)),
          answer.text,
        );
        assertS3Error(answer, 400, xml === '' ? (/<Code>(.*?)</.exec(answer.text)?.[1] ?? '') : 'MalformedXML');
        assert.equal((await gateway.fetchSigned('GET', '/errors/key')).text, 'as it was');
      });
    }

    it('refuse a document that is larger than any request needs', async () => {
      const answer = await remove(`<Delete>${'<!-- padding -->'.repeat(400_000)}</Delete>`);
      assert.equal(answer.status, 400);
      assert.match(answer.text, /<Code>(MalformedXML|EntityTooLarge|MaxMessageLengthExceeded)<\/Code>/);
    });

    it('never read a file that a document points to', async () => {
      const dtd = '<!DOCTYPE Delete [<!ENTITY e SYSTEM "file:///etc/hostname">]>';
      assertS3Error(await remove(`${dtd}<Delete><Object><Key>&e;</Key></Object></Delete>`), 400, 'MalformedXML');
    });
  });

  it('refuse a path that is not one', async () => {
    assertS3Error(await gateway.fetchSigned('GET', '//key'), 400, 'InvalidURI');
    assertS3Error(await gateway.fetchSigned('GET', '/%FF/key'), 400, 'InvalidURI');
    assertS3Error(await gateway.fetchSigned('GET', '/errors/key?prefix=%FF'), 400, 'InvalidURI');
  });

  it('are counted by operation, status and code on the admin port, and nothing is in flight at the end', async () => {
    await gateway.fetchSigned('GET', '/errors/never-there');
    const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    assert.match(text, /requests_total\{operation="GetObject",status="404",code="NoSuchKey"\} [1-9]/);
    assert.match(text, /requests_in_flight 0/);
  });
});

function md5Of(body: string): Record<string, string> {
  return { 'content-md5': createHash('md5').update(body).digest('base64') };
}
