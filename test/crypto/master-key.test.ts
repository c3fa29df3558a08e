import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createDataKey } from '../../crypto/data-key.ts';
import { MasterKey, masterKeyBytes, wrappedKeyBytes } from '../../crypto/master-key.ts';
import { sealedRecordOverheadBytes } from '../../crypto/sealed-record.ts';
import { deriveByRfc5869, sealRecordByName, wrapByRfc3394 } from './independent-crypto.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const rising = Uint8Array.from({ length: 32 }, (_, index) => index);
const anyKey = fc.uint8Array({ minLength: 32, maxLength: 32 });
const anyBytes = fc.uint8Array({ maxLength: 300 });

function flipBit(bytes: Uint8Array, at: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[at >> 3]! ^= 1 << (at & 7);
  return flipped;
}

describe('the oracle of these tests', () => {
  it('wraps as RFC 3394 section 4.6 does', () => {
    const wrapKey = hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f');
    const plain = hex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f');
    const wrapped = '28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21';
    assert.equal(wrapByRfc3394(wrapKey, plain).toString('hex'), wrapped);
  });

  it('derives as RFC 5869 does in its third test case, as far as one block reaches', () => {
    const derived = deriveByRfc5869(Buffer.alloc(22, 0x0b), '').toString('hex');
    assert.equal(derived, '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d');
  });
});

describe('a master key', () => {
  it('is 32 bytes long, no more and no less', () => {
    for (const length of [0, 16, 31, 33, 64]) assert.throws(() => new MasterKey(new Uint8Array(length)), RangeError);
    assert.equal(masterKeyBytes, 32);
  });

  it('has an id that is derived from it, tells keys apart, and is none of its own bytes', () => {
    const { id } = new MasterKey(rising);
    assert.equal(id, deriveByRfc5869(rising, 'holdfast id').toString('hex', 0, 8));
    assert.match(id, /^[0-9a-f]{16}$/);
    assert.equal(new MasterKey(rising).id, id);
    assert.notEqual(new MasterKey(flipBit(rising, 255)).id, id);
    assert.ok(!Buffer.from(rising).toString('hex').includes(id));
  });

  it('does not follow the buffer that it was made from', () => {
    const buffer = Uint8Array.from(rising);
    const master = new MasterKey(buffer);
    buffer.fill(0);
    const key = createDataKey();
    assert.deepEqual(master.wrap(key), new MasterKey(rising).wrap(key));
  });

  /** What was written once must open for ever: these change only with the format. */
  it('gives the bytes that it always gave', () => {
    const master = new MasterKey(rising);
    assert.equal(master.id, 'c0c6dd71eedea03a');
    assert.equal(
      Buffer.from(master.wrap(createSecretKey(Buffer.alloc(32, 7)))).toString('hex'),
      '2767db4a75f9d95e3bd71d73acac4e5cb73517a784c0cd16fdb7cf56e9918ba5a718f3a64fad4ea8',
    );
    assert.equal(
      Buffer.from(master.sealRecord('a name', Buffer.from('a record'))).toString('hex'),
      'c4d9d1e4ea74b8f185423900f044d7e0a5edf311f1c9e649',
    );
  });
});

describe('wrapped data keys', () => {
  it('are AES key wraps under a key that is derived for this purpose', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (masterBytes, keyBytes) => {
        const wrapped = new MasterKey(masterBytes).wrap(createSecretKey(keyBytes));
        assert.equal(wrapped.length, wrappedKeyBytes);
        const expected = wrapByRfc3394(deriveByRfc5869(masterBytes, 'holdfast wrap data keys'), keyBytes);
        assert.deepEqual(Buffer.from(wrapped), expected);
      }),
      { numRuns: 50 },
    );
  });

  it('come back with the same master key', () => {
    const master = new MasterKey(rising);
    for (let count = 0; count < 100; count++) {
      const key = createDataKey();
      assert.ok(master.unwrap(master.wrap(key))?.equals(key));
    }
  });

  it('do not open with another one', () => {
    const wrapped = new MasterKey(rising).wrap(createDataKey());
    for (let bit = 0; bit < 256; bit++) {
      assert.equal(new MasterKey(flipBit(rising, bit)).unwrap(wrapped), undefined, `bit ${bit}`);
    }
  });

  it('do not open when a bit of them is another, or when they are shorter or longer', () => {
    const master = new MasterKey(rising);
    const wrapped = master.wrap(createDataKey());
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      assert.equal(master.unwrap(flipBit(wrapped, bit)), undefined, `bit ${bit}`);
    }
    for (let length = 0; length < wrapped.length; length++) {
      assert.equal(master.unwrap(wrapped.subarray(0, length)), undefined, `${length} bytes`);
    }
    assert.equal(master.unwrap(Buffer.concat([wrapped, Buffer.alloc(8)])), undefined);
    assert.ok(master.unwrap(wrapped));
  });

  it('belong to the caller', () => {
    const master = new MasterKey(rising);
    const key = createDataKey();
    const wrapped = master.wrap(key);
    master.wrap(createDataKey()).fill(0);
    assert.ok(master.unwrap(wrapped)?.equals(key));
  });
});

describe('sealed records', () => {
  it('are AES-256-GCM under a key of their own, derived from their name', () => {
    fc.assert(
      fc.property(anyKey, fc.string({ unit: 'binary' }), anyBytes, (masterBytes, name, plain) => {
        const master = new MasterKey(masterBytes);
        const sealed = master.sealRecord(name, plain);
        assert.equal(sealed.length, plain.length + sealedRecordOverheadBytes);
        assert.deepEqual(Buffer.from(sealed), sealRecordByName(masterBytes, name, plain));
        assert.deepEqual(Buffer.from(master.openRecord(name, sealed)!), Buffer.from(plain));
      }),
      { numRuns: 100 },
    );
  });

  it('open under their own name only, and with their own master key only', () => {
    const master = new MasterKey(rising);
    const sealed = master.sealRecord('manifest 1', Buffer.from('what it says'));
    for (const name of ['manifest 2', 'manifest 1 ', 'manifest 10', 'Manifest 1', '']) {
      assert.equal(master.openRecord(name, sealed), undefined, name);
    }
    assert.equal(new MasterKey(flipBit(rising, 0)).openRecord('manifest 1', sealed), undefined);
    assert.ok(master.openRecord('manifest 1', sealed));
  });

  it('do not open when a bit of them is another, or when they are cut short or go on', () => {
    const master = new MasterKey(rising);
    for (const plainBytes of [0, 1, 33]) {
      const sealed = master.sealRecord('name', Buffer.alloc(plainBytes, 'x'));
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        assert.equal(master.openRecord('name', flipBit(sealed, bit)), undefined, `bit ${bit}`);
      }
      for (let length = 0; length < sealed.length; length++) {
        assert.equal(master.openRecord('name', sealed.subarray(0, length)), undefined, `${length} bytes`);
        assert.equal(master.openRecord('name', sealed.subarray(sealed.length - length)), undefined);
      }
      assert.equal(master.openRecord('name', Buffer.concat([sealed, Buffer.alloc(1)])), undefined);
      assert.ok(master.openRecord('name', sealed));
    }
  });
});
