import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { copyBytes } from '../../core/copy-bytes.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

describe('copying bytes', () => {
  it('puts all of them where they belong and nothing elsewhere, in memory of any kind', () => {
    for (const memory of [new ArrayBuffer(1000), new SharedArrayBuffer(1000)]) {
      for (const [at, bytes] of [
        [0, 1000],
        [3, 500],
        [999, 1],
        [7, 0],
      ] as const) {
        const target = Buffer.from(memory).fill(0xee);
        const source = patternBytes(bytes + 5).subarray(5);
        const expected = Buffer.concat([Buffer.alloc(at, 0xee), source, Buffer.alloc(1000 - at - bytes, 0xee)]);
        copyBytes(target, new Uint8Array(source), at);
        assert.ok(target.equals(expected), `${bytes} bytes at ${at}`);
      }
    }
  });

  it('never writes beyond the end', () => {
    assert.throws(() => copyBytes(Buffer.alloc(4), new Uint8Array(4), 1), RangeError);
  });
});
