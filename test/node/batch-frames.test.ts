import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cidOfDigest } from '../../core/cid-digest.ts';
import {
  type BatchCallKind,
  type BatchOutcome,
  callHeaderBytes,
  decodeStat,
  encodeResultHeader,
  encodeStat,
  parseCalls,
  ResultReader,
  resultHeaderBytes,
  writeCallHeader,
} from '../../placement/providers/node/batch-frames.ts';

const digest = randomBytes(32);

function encodeCall(kind: BatchCallKind, offset: number, length: number, bytes = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(callHeaderBytes, 0xff);
  writeCallHeader(header, 0, { kind, digest, offset, length });
  return Buffer.concat([header, bytes]);
}

function encodeResult(index: number, outcome: BatchOutcome, bytes: Uint8Array): Buffer {
  return Buffer.concat([encodeResultHeader(index, outcome, bytes.length), bytes]);
}

describe('the calls of a batch', () => {
  it('come out as they went in', () => {
    const bytes = randomBytes(100);
    const body = Buffer.concat([
      encodeCall('put', 0, 100, bytes),
      encodeCall('read', 2 ** 40, 65_536),
      encodeCall('stat', 0, 0),
      encodeCall('put', 0, 0),
      encodeCall('delete', 0, 0),
    ]);
    const cid = cidOfDigest(digest);
    const none = Buffer.alloc(0);
    assert.deepEqual(parseCalls(body), [
      { kind: 'put', cid, offset: 0, length: 100, bytes },
      { kind: 'read', cid, offset: 2 ** 40, length: 65_536, bytes: none },
      { kind: 'stat', cid, offset: 0, length: 0, bytes: none },
      { kind: 'put', cid, offset: 0, length: 0, bytes: none },
      { kind: 'delete', cid, offset: 0, length: 0, bytes: none },
    ]);
    assert.deepEqual(parseCalls(none), []);
  });

  it('are laid out as docs/node-protocol.md says', () => {
    const header = encodeCall('read', 0x0102030405, 0x1000);
    assert.equal(header.toString('hex'), `02000000000010000000000102030405${digest.toString('hex')}`);
  });

  it('are refused where they break a limit or the form', () => {
    const put = encodeCall('put', 0, 10, randomBytes(10));
    const withByte = (at: number, value: number): Buffer => {
      const copy = Buffer.from(put);
      copy[at] = value;
      return copy;
    };
    const wrong = {
      'cut in the bytes': put.subarray(0, -1),
      'cut in the header': put.subarray(0, callHeaderBytes - 1),
      'kind 0': withByte(0, 0),
      'kind 5': withByte(0, 5),
      'not zero': withByte(2, 1),
      'a put with an offset': withByte(15, 1),
      'a put that is too long': encodeCall('put', 0, 400_000, new Uint8Array(400_000)),
      'a read that is too long': encodeCall('read', 0, 65_537),
      'a stat with a length': encodeCall('stat', 0, 1),
      'an offset that is too large': Buffer.concat([encodeCall('read', 0, 1)]).fill(0xff, 8, 16),
      'too many': Buffer.concat(Array.from({ length: 513 }, () => encodeCall('stat', 0, 0))),
      'too much to read': Buffer.concat(Array.from({ length: 65 }, () => encodeCall('read', 0, 65_536))),
    };
    for (const [what, body] of Object.entries(wrong)) assert.throws(() => parseCalls(body), RangeError, what);
  });
});

describe('the results of a batch', () => {
  const read = (lengths: readonly number[], chunks: readonly Uint8Array[]) => {
    const results = new Map<number, { outcome: BatchOutcome; bytes: Buffer }>();
    const reader = new ResultReader({
      expectedBytes: (index) => (results.has(index) ? undefined : lengths[index]),
      receive: (index, outcome, bytes) => results.set(index, { outcome, bytes }),
    });
    for (const chunk of chunks) reader.push(chunk);
    return { results, isWhole: reader.isBetweenResults };
  };

  it('are read from chunks of any length', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 40 }),
        (list, step) => {
          const wire = Buffer.concat(list.map((bytes, index) => encodeResult(index, 'ok', bytes)));
          const { results } = read(
            list.map(({ length }) => length),
            [wire],
          );
          for (const [index, bytes] of list.entries()) assert.ok(results.get(index)?.bytes.equals(bytes));
          const stepped = Array.from({ length: Math.ceil(wire.length / step) }, (_, i) =>
            wire.subarray(i * step, (i + 1) * step),
          );
          const again = read(
            list.map(({ length }) => length),
            stepped,
          );
          assert.deepEqual(again.results, results);
          assert.ok(again.isWhole);
        },
      ),
    );
  });

  it('are refused where they are not what was asked for', () => {
    const ok = encodeResult(0, 'ok', randomBytes(4));
    const withByte = (at: number, value: number): Buffer => {
      const copy = Buffer.from(ok);
      copy[at] = value;
      return copy;
    };
    const wrong = {
      'too long': encodeResult(0, 'ok', randomBytes(5)),
      'too short': encodeResult(0, 'ok', randomBytes(3)),
      'nobody asked': encodeResult(1, 'ok', randomBytes(4)),
      twice: Buffer.concat([ok, ok]),
      'an unknown outcome': withByte(4, 4),
      'not zero': withByte(6, 1),
      'a reason without an end': encodeResultHeader(0, 'provider-error', 513),
      'a length of 4 GiB': withByte(8, 0xff),
    };
    for (const [what, wire] of Object.entries(wrong)) assert.throws(() => read([4], [wire]), RangeError, what);
    assert.ok(!read([4], [ok.subarray(0, resultHeaderBytes + 2)]).isWhole);
  });

  it('hold figures of shards that can be', () => {
    const stat = { bytes: 2 ** 40, modifiedAtMs: 1_700_000_000_000.25 };
    assert.deepEqual(decodeStat(encodeStat(stat)), stat);
    const impossible = [
      Buffer.alloc(16, 0xff),
      encodeStat({ bytes: 1, modifiedAtMs: -1 }),
      encodeStat({ bytes: 1, modifiedAtMs: Number.NaN }),
    ];
    for (const bytes of impossible) assert.throws(() => decodeStat(bytes), RangeError);
  });
});
