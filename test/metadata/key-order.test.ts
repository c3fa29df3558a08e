import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { commonPrefixOf, compareKeys, endOfKeys, keyPastPrefix, nextKey } from '../../metadata/sqlite/key-order.ts';

/** Any well-formed text, with those code points often that stand at the edges of the order. */
const edges = fc.constantFrom('\0', '\u007f', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}');
const anyKey = fc.array(fc.oneof(edges, fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })), { maxLength: 5 });
const anyText = anyKey.map((points) => points.join(''));

describe('the order of keys', () => {
  it('is that of UTF-8 bytes', () => {
    assert.ok(compareKeys('\uffff', '\u{10000}') < 0, 'where UTF-16 has it the other way round');
    assert.ok(compareKeys('a', 'a\0') < 0);
    assert.equal(compareKeys('\u{1f600}', '\u{1f600}'), 0);
  });

  it('has a next key with nothing in between', () => {
    fc.assert(
      fc.property(anyText, anyText, (key, other) => {
        assert.ok(compareKeys(key, nextKey(key)) < 0);
        assert.equal(compareKeys(other, key) > 0, compareKeys(other, nextKey(key)) >= 0);
      }),
    );
  });

  it('has a bound past a prefix that parts keys with the prefix from greater ones', () => {
    assert.equal(keyPastPrefix('a/'), 'a0');
    assert.equal(keyPastPrefix('a\ud7ff'), 'a\ue000');
    assert.equal(keyPastPrefix('a\uffff'), 'a\u{10000}');
    assert.equal(keyPastPrefix('a\u{10ffff}\u{10ffff}'), 'b');
    assert.equal(keyPastPrefix('\u{10ffff}'), endOfKeys);
    assert.equal(keyPastPrefix(''), endOfKeys);
    fc.assert(
      fc.property(anyText, anyText, (prefix, other) => {
        const past = keyPastPrefix(prefix);
        assert.ok(past.isWellFormed());
        assert.ok(compareKeys(prefix + other, past) < 0);
        const isGreater = compareKeys(other, prefix) > 0 && !other.startsWith(prefix);
        assert.equal(compareKeys(other, past) >= 0, isGreater);
      }),
    );
  });

  it('ends after the greatest key of 1,024 bytes', () => {
    assert.ok(compareKeys('\u{10ffff}'.repeat(256), endOfKeys) < 0);
  });

  it('finds the common prefix up to the first delimiter after the prefix', () => {
    assert.equal(commonPrefixOf('a/b/c', '', '/'), 'a/');
    assert.equal(commonPrefixOf('a/b/c', 'a/', '/'), 'a/b/');
    assert.equal(commonPrefixOf('a/b', 'a/', '/'), undefined);
    assert.equal(commonPrefixOf('a----b', 'a-', '--'), 'a---');
    assert.equal(commonPrefixOf('a/b', '', ''), undefined);
    assert.equal(commonPrefixOf('b/c', 'a', '/'), undefined);
  });
});
