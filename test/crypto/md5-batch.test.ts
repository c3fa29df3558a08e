import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { laneBytes } from '../../crypto/md5/lane-buffer.ts';
import { Md5Batch, type Md5Message } from '../../crypto/md5/md5-batch.ts';
import { createMd5Kernels } from '../../crypto/md5/md5-kernels.ts';
import { lanesMemoryBytes } from '../../crypto/md5/md5-lanes.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const inLanes = new Md5Batch(createMd5Kernels(lanesMemoryBytes(2)), 2);
const withoutKernels = new Md5Batch(undefined, 0);

function cut(bytes: Buffer, pieces: number): Md5Message {
  const each = Math.max(1, Math.ceil(bytes.length / pieces));
  return Array.from({ length: pieces }, (_, at) => bytes.subarray(at * each, (at + 1) * each));
}

function assertRight(batch: Md5Batch, messages: readonly Buffer[], pieces: number): void {
  assert.deepEqual(
    batch.hash(messages.map((bytes) => cut(bytes, pieces))),
    messages.map((bytes) => hash('md5', bytes)),
  );
}

describe('MD5 of many messages', () => {
  it('is that of each, however many there are and whatever their lengths', () => {
    const anyLength = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: laneBytes + 100 }));
    fc.assert(
      fc.property(fc.array(anyLength, { maxLength: 30 }), fc.integer({ min: 1, max: 4 }), (lengths, pieces) => {
        const messages = lengths.map((length, at) => patternBytes(length, `${at}`));
        for (const batch of [inLanes, withoutKernels]) assertRight(batch, messages, pieces);
      }),
      { numRuns: 60 },
    );
  });

  it('goes up to what a lane holds, and beyond', () => {
    const lengths = [laneBytes - 1, laneBytes, laneBytes + 1, 0, laneBytes, 55, 56, 64, laneBytes];
    assertRight(
      inLanes,
      lengths.map((length, at) => patternBytes(length, at)),
      1,
    );
  });
});
