import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  beginRecordHeader,
  completeRecords,
  parseRecordHeader,
  recordBytes,
  recordHeaderBytes,
  type SegmentRecord,
} from '../../placement/providers/segments/segment-format.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const salt = 0xfedcba98;
const digest = Buffer.alloc(32, 'digest');
const committedAtMs = 1_700_000_000_000;

describe('records of a segment', () => {
  const bytes = [patternBytes(100_000, 1), patternBytes(77, 2)] as const;
  const target = { segment: 3, offset: 4096 };
  const records = [
    { kind: 'shard', digest, length: bytes[0].length, committedAtMs, bytesCrc: undefined },
    { kind: 'tombstone', digest, committedAtMs, target },
    // As reclaim copies one that has rotted: what its header says is not to become right on the way.
    { kind: 'shard', digest, length: bytes[1].length, committedAtMs, bytesCrc: 12345 },
  ] as const;
  const places = [0, recordBytes(bytes[0].length), recordBytes(bytes[0].length) + recordHeaderBytes] as const;

  function lay(): Buffer {
    // Memory that was used before.
    const batch = Buffer.alloc(places[2] + recordBytes(bytes[1].length), 'hfsr');
    for (const [at, record] of records.entries()) beginRecordHeader(batch, places[at]!, record);
    batch.set(bytes[0], places[0] + recordHeaderBytes);
    batch.set(bytes[1], places[2] + recordHeaderBytes);
    return batch;
  }

  const parse = (batch: Buffer): (SegmentRecord | undefined)[] =>
    places.map((at) => parseRecordHeader(batch.subarray(at, at + recordHeaderBytes), salt));

  it('are none before they are completed', () => {
    assert.deepEqual(parse(lay()), [undefined, undefined, undefined]);
  });

  it('are what was written once they are, with the CRCs that were left open and those that were not', () => {
    const batch = lay();
    completeRecords(batch, salt);
    assert.deepEqual(parse(batch), [{ ...records[0], bytesCrc: crc32(bytes[0]) }, records[1], records[2]]);
    const before = Buffer.from(batch);
    completeRecords(batch, salt);
    assert.ok(batch.equals(before), 'what is complete stays as it is');
  });
});
