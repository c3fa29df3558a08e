import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeHeaderText, encodeHeaderText } from '../../gateway/header-text.ts';

test('raw UTF-8, which HTTP hands over as Latin-1, is read as UTF-8', () => {
  assert.equal(decodeHeaderText(Buffer.from('Grüße 🌊').toString('latin1')), 'Grüße 🌊');
});

test('bytes that are no UTF-8 stay Latin-1', () => {
  assert.equal(decodeHeaderText('caf\u00e9'), 'café');
});

test('RFC 2047 words in both encodings are decoded, folded ones joined', () => {
  assert.equal(decodeHeaderText('=?UTF-8?B?w4RNw4Raw5XDkSBTMw==?='), 'ÄMÄZÕÑ S3');
  assert.equal(decodeHeaderText('=?utf-8?Q?=C3=84M=C3=84Z=C3=95=C3=91_S3?='), 'ÄMÄZÕÑ S3');
  assert.equal(decodeHeaderText('=?UTF-8?Q?a?= =?UTF-8?Q?b?='), 'ab');
});

test('printable ASCII is sent as it is, all else comes back through an encoded word', () => {
  assert.equal(encodeHeaderText('plain; value="1"'), 'plain; value="1"');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      fc.pre(!text.includes('=?'));
      assert.equal(decodeHeaderText(encodeHeaderText(text)), text);
    }),
  );
});
