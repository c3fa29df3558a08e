import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { rootKey, startGateway, strangerKey, type TestGateway } from '../harness/gateway.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';
import { type AskAdmin, createAskAdmin } from './admin-harness.ts';

const path = '/admin/v1/providers';

describe('the admin API', () => {
  let gateway: TestGateway;
  let ask: AskAdmin;
  before(async () => {
    gateway = await startGateway();
    ask = createAskAdmin(gateway);
  });
  after(() => gateway.close());

  const signed = (key: typeof rootKey, service = 'holdfast-admin', region = 'us-east-1') =>
    createSignedFetch(gateway.adminUrl, key, region, service);

  it('answers the root account', async () => {
    const { providers } = await ask('GET', path);
    assert.deepEqual(
      providers.map(({ id, state, standing }) => [id, state, standing]),
      ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'].map((id) => [id, 'active', 'up']),
    );
  });

  it('refuses whoever is nobody, has a wrong key, is not root, or signed for S3', async () => {
    const anonymous = await fetch(`${gateway.adminUrl}${path}`);
    assert.equal(anonymous.status, 403);
    assert.equal(((await anonymous.json()) as { code: string }).code, 'AccessDenied');
    for (const [answer, code] of [
      [await signed({ ...rootKey, secretAccessKey: 'another secret' })('GET', path), 'SignatureDoesNotMatch'],
      [await signed({ accessKeyId: 'HFNOBODY', secretAccessKey: 'whatever' })('GET', path), 'InvalidAccessKeyId'],
      [await signed(strangerKey)('GET', path), 'AccessDenied'],
      [await signed(rootKey, 's3')('GET', path), 'AuthorizationHeaderMalformed'],
      [await signed(rootKey, 'holdfast-admin', 'mars')('GET', path), 'AuthorizationHeaderMalformed'],
      [await signed(rootKey)('GET', path, { nowMs: Date.now() - 3_600_000 }), 'RequestTimeTooSkewed'],
    ] as const) {
      assert.equal(JSON.parse(answer.text).code, code);
      assert.ok(answer.status === 403 || answer.status === 400);
    }
  });

  it('does not take its signatures for S3', async () => {
    const answer = await createSignedFetch(gateway.url, rootKey, 'us-east-1', 'holdfast-admin')('GET', '/');
    assert.equal(answer.status, 400);
  });

  it('refuses a body that is not what was signed', async () => {
    const payloadHash = '0'.repeat(64);
    const answer = await signed(rootKey)('POST', path, { body: '{}', payloadHash });
    assert.equal(answer.status, 400);
    assert.match(answer.text, /digest of the body/);
  });

  it('leaves metrics and health to whoever asks', async () => {
    for (const open of ['/metrics', '/health/live', '/health/ready']) {
      assert.equal((await fetch(gateway.adminUrl + open)).status, 200);
    }
  });

  it('names every fault of a request at once, and a request by its id', async () => {
    const body = { id: 'Not An Id', kind: 'directory', weight: -1, colour: 'red' };
    const { code, faults, requestId } = await ask('POST', path, body, 400);
    assert.equal(code, 'InvalidRequest');
    assert.match(requestId, /^[0-9A-Z]{16}$/);
    for (const expected of [/^id:/, /^path:/, /^weight:/, /colour/]) {
      assert.ok(
        faults.some((fault) => expected.test(fault)),
        `${expected} is not in ${faults.join(' | ')}`,
      );
    }
  });

  it('repeats no secret in a refusal', async () => {
    const secret = 'not-the-64-digits-of-a-key';
    const answer = await signed(rootKey)('POST', path, {
      body: JSON.stringify({ id: 'n1', kind: 'node', endpoint: 'http://u:p4ssw0rd@node:1', key: secret }),
    });
    assert.equal(answer.status, 400);
    assert.ok(!answer.text.includes(secret) && !answer.text.includes('p4ssw0rd'));
  });

  it('says what it does not know, and what it does not take', async () => {
    assert.equal((await ask('GET', '/admin/v1/nothing', undefined, 404)).code, 'NotFound');
    assert.equal((await ask('PUT', path, {}, 405)).code, 'MethodNotAllowed');
    assert.equal((await ask('POST', `${path}/p9/drain`, undefined, 404)).code, 'ProviderUnknown');
    assert.equal((await ask('POST', `${path}/p1/drain`, {}, 400)).code, 'InvalidRequest');
    assert.equal((await ask('DELETE', `${path}/p1?lost=perhaps`, undefined, 400)).code, 'InvalidRequest');
    assert.equal((await ask('POST', path, 'x'.repeat(70_000), 413)).code, 'BodyTooLarge');
    const notJson = await signed(rootKey)('POST', path, { body: '{"id":' });
    assert.equal(notJson.status, 400);
  });

  it('describes itself, as docs/openapi.json does', async () => {
    const described = await ask('GET', '/admin/v1/openapi.json');
    const kept = JSON.parse(await readFile(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));
    assert.deepEqual(described, kept, 'docs/openapi.json is old: npm run openapi writes it anew');
    assert.equal(described.openapi, '3.1.0');
    const schemas = JSON.stringify(described);
    for (const [, reference] of schemas.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
      assert.ok(reference !== undefined && reference in described.components.schemas, reference);
    }
    assert.ok(!schemas.includes('$defs'));
  });
});
