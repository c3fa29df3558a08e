import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseNodeEndpoint } from '../../placement/providers/node/node-endpoint.ts';
import { generateNodeKey, parseNodeKey } from '../../placement/providers/node/node-key.ts';
import {
  digestContent,
  parseAuthorization,
  RequestSigner,
  type SignedRequest,
} from '../../placement/providers/node/request-signature.ts';

const key = parseNodeKey('0123456789abcdef'.repeat(4));

const signer = new RequestSigner(key);
const request: SignedRequest = {
  method: 'POST',
  target: '/v1/uploads/000102030405060708090a0b0c0d0e0f?offset=0',
  instance: 'a0a1a2a3a4a5a6a7a8a9aaabacadaeaf',
  session: 'b0b1b2b3b4b5b6b7b8b9babbbcbdbebf',
  sequence: 7,
  dateMs: 1_800_000_000_000,
  contentBytes: 5,
  content: digestContent([Buffer.from('hel'), Buffer.from('lo')]),
};

describe('the signature of requests to nodes', () => {
  it('is that of the test vector in docs/node-protocol.md', () => {
    assert.equal(key.id, 'd85163bd17ac594a');
    assert.equal(
      signer.sign(request),
      'Holdfast1 d85163bd17ac594a a0a1a2a3a4a5a6a7a8a9aaabacadaeaf b0b1b2b3b4b5b6b7b8b9babbbcbdbebf 7 1800000000000 ' +
        '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 ' +
        'f3268f4e3e8ec3b435ca4ea3def15354a7380c7a98637da328d63f663be71cd6',
    );
  });

  it('is an HMAC of the lines that the document lists', () => {
    const lines = [
      'Holdfast1',
      'POST',
      request.target,
      request.instance,
      request.session,
      '7',
      '1800000000000',
      '5',
      request.content,
    ];
    const expected = createHmac('sha256', key.secret).update(lines.join('\n')).digest('hex');
    assert.equal(signer.sign(request).split(' ').at(-1), expected);
  });

  it('can be read back from the header, and covers every part of the request', () => {
    const authorization = parseAuthorization(signer.sign(request));
    assert.ok(authorization);
    const { signature, keyId, ...signed } = authorization;
    assert.equal(keyId, key.id);
    const { method, target, contentBytes } = request;
    assert.ok(signer.matches({ ...signed, method, target, contentBytes }, signature));
    const changes: Partial<SignedRequest>[] = [
      { method: 'GET' },
      { target: `${target}1` },
      { instance: request.session },
      { session: request.instance },
      { sequence: 8 },
      { dateMs: request.dateMs + 1 },
      { contentBytes: 6 },
      { content: 'unsigned' },
    ];
    for (const change of changes) {
      assert.ok(!signer.matches({ ...request, ...change }, signature), JSON.stringify(change));
    }
    assert.ok(!new RequestSigner(generateNodeKey().key).matches(request, signature));
    assert.ok(!signer.matches(request, `${signature.slice(0, -1)}${signature.endsWith('0') ? '1' : '0'}`));
  });

  it('is not read from anything else', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(parseAuthorization(text), undefined);
        assert.equal(parseAuthorization(`Holdfast1 ${text}`), undefined);
      }),
    );
    const header = signer.sign(request);
    for (const text of [` ${header}`, `${header} `, `${header}\n`, header.toUpperCase(), header.slice(1)]) {
      assert.equal(parseAuthorization(text), undefined);
    }
  });
});

describe('a node key', () => {
  it('is 64 hex digits, and what is wrong with it is said without telling it', () => {
    const { key: generated, text } = generateNodeKey();
    assert.deepEqual(parseNodeKey(text), generated);
    assert.match(generated.id, /^[0-9a-f]{16}$/);
    assert.ok(!text.includes(generated.id));
    for (const wrong of ['', 'secret', `${text}0`, text.slice(1), `${text.slice(1)}g`]) {
      assert.throws(
        () => parseNodeKey(wrong),
        (error: Error) => error instanceof RangeError && (wrong === '' || !error.message.includes(wrong)),
      );
    }
  });
});

describe('the endpoint of a node', () => {
  it('is a scheme, a host and a port', () => {
    assert.deepEqual(parseNodeEndpoint('http://10.0.0.7:9100'), { origin: 'http://10.0.0.7:9100', isTls: false });
    assert.deepEqual(parseNodeEndpoint('https://n7.example'), { origin: 'https://n7.example', isTls: true });
    assert.deepEqual(parseNodeEndpoint('http://[::1]:9100/'), { origin: 'http://[::1]:9100', isTls: false });
    const wrong = [
      '',
      'n7:9100',
      'ftp://n7:1',
      'http://n7:99999',
      'http://a:b@n7',
      'http://n7/x',
      'http://n7?x',
      'http://n7#x',
    ];
    for (const text of wrong) assert.throws(() => parseNodeEndpoint(text), RangeError, text);
  });
});
