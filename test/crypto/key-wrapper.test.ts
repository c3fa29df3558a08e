import assert from 'node:assert/strict';
import { createCipheriv, createSecretKey } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { drawDataKey } from '../../crypto/data-key.ts';
import { KeyWrapper } from '../../crypto/key-wrapper.ts';
import { MasterKey, wrappedKeyBytes } from '../../crypto/master-key.ts';

const anyKey = fc.uint8Array({ minLength: 32, maxLength: 32 });

/** As OpenSSL wraps one key. */
function wrapAlone(wrapKey: Uint8Array, key: Uint8Array): Buffer {
  return createCipheriv('id-aes256-wrap', wrapKey, Buffer.alloc(8, 0xa6)).update(key);
}

describe('keys that are wrapped together', () => {
  it('are the same as those that are wrapped alone', () => {
    fc.assert(
      fc.property(anyKey, fc.array(anyKey, { maxLength: 40 }), (wrapKey, keys) => {
        const targets = keys.map(() => new Uint8Array(wrappedKeyBytes));
        const wrapper = new KeyWrapper(createSecretKey(wrapKey));
        wrapper.wrap(keys, targets);
        assert.deepEqual(
          targets.map((target) => Buffer.from(target)),
          keys.map((key) => wrapAlone(wrapKey, key)),
        );
      }),
      { numRuns: 50 },
    );
  });

  /** RFC 3394, section 4.6. */
  it('are what the standard says of its example', () => {
    const bytes = (length: number) => Uint8Array.from({ length }, (_, at) => at);
    const key = Buffer.from('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f', 'hex');
    const target = new Uint8Array(wrappedKeyBytes);
    new KeyWrapper(createSecretKey(bytes(32))).wrap([key], [target]);
    assert.equal(
      Buffer.from(target).toString('hex').toUpperCase(),
      '28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21',
    );
  });

  it('come back with the master key', () => {
    const master = new MasterKey(new Uint8Array(32).fill(3));
    const keys = Array.from({ length: 20 }, drawDataKey);
    const wrapped = keys.map(() => new Uint8Array(wrappedKeyBytes));
    master.sealer.wrapAll(
      keys.map(({ bytes }) => bytes),
      wrapped,
    );
    for (const [index, { dataKey }] of keys.entries()) assert.ok(master.unwrap(wrapped[index]!)?.equals(dataKey));
  });
});
