import assert from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { HmacSha256 } from '../../core/hmac-sha256.ts';

test('the first and second test case of RFC 4231 come out right', () => {
  const first = new HmacSha256(createSecretKey(Buffer.alloc(20, 0x0b)));
  assert.equal(first.sign('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7');
  const second = new HmacSha256(createSecretKey(Buffer.from('Jefe')));
  const signature = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
  assert.equal(second.sign('what do ya want for nothing?'), signature);
});

test('texts of any length and script, one after the other under one key, are signed as node:crypto signs them', () => {
  const texts = fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ minLength: 400, maxLength: 3000 })));
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), texts, (secret, all) => {
      const key = createSecretKey(secret);
      const hmac = new HmacSha256(key);
      for (const text of all) assert.equal(hmac.sign(text), createHmac('sha256', key).update(text).digest('hex'));
    }),
  );
});

test('only the very signature matches', () => {
  const hmac = new HmacSha256(createSecretKey(Buffer.from('key')));
  const signature = hmac.sign('text');
  assert.equal(hmac.matches('text', signature), true);
  assert.equal(hmac.matches('texu', signature), false);
  for (let at = 0; at < signature.length; at++) {
    const digit = signature[at] === '0' ? '1' : '0';
    assert.equal(hmac.matches('text', signature.slice(0, at) + digit + signature.slice(at + 1)), false);
  }
  for (const other of [
    '',
    signature.slice(1),
    `${signature}0`,
    signature.toUpperCase(),
    'é'.repeat(64),
    '\u0130'.repeat(64),
  ])
    assert.equal(hmac.matches('text', other), false, other);
});

test('a key that is longer than a block is refused', () => {
  assert.throws(() => new HmacSha256(createSecretKey(Buffer.alloc(65))), RangeError);
});
