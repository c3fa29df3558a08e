import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDataKey, type DataKey, dataKeyBytes } from '../../crypto/data-key.ts';

const textOf = (key: DataKey): string => key.export().toString('hex');

describe('data keys', () => {
  it('are secrets of 256 bits', () => {
    const key = createDataKey();
    assert.equal(key.type, 'secret');
    assert.equal(key.symmetricKeySize, 32);
    assert.equal(dataKeyBytes, 32);
  });

  it('are never the same, over several fillings of the pool, and none is blank', () => {
    const drawn = Array.from({ length: 1000 }, () => textOf(createDataKey()));
    assert.equal(new Set(drawn).size, drawn.length);
    // Nor does one overlap with its neighbour in the pool.
    const halves = drawn.flatMap((text) => [text.slice(0, 32), text.slice(32)]);
    assert.equal(new Set(halves).size, halves.length);
    assert.ok(!halves.includes('0'.repeat(32)));
  });

  it('stay what they were when the pool is wiped and filled again', () => {
    const key = createDataKey();
    const text = textOf(key);
    for (let count = 0; count < 300; count++) createDataKey();
    assert.equal(textOf(key), text);
  });
});
