import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { testErasureCodec } from './codec-conformance.ts';

testErasureCodec('wasm-simd', async () => createWasmCodec());
testErasureCodec('wasm-simd in shared memory', async () => createWasmCodec({ isShared: true }));
testErasureCodec('wasm-simd with kernels for all losses', async () => createWasmCodec({ compileFromBytes: 0 }));
testErasureCodec('wasm-simd, revectorized', async () =>
  createWasmCodec({ isRevectorizing: true, compileFromBytes: 0 }),
);

/** Shards in slots of the codec and shards elsewhere, both with the same random data. */
function makeShards(codec: ErasureCodec, k: number, m: number, shardBytes: number): Uint8Array[][] {
  const slots = codec.allocateSlots(k + m, shardBytes);
  const own = Array.from({ length: k + m }, () => new Uint8Array(shardBytes));
  for (const [index, view] of slots.views.entries()) {
    for (let at = 0; at < shardBytes; at++) view[at] = Math.imul(at + 1, 0x9e3779b1 + index * 2) >>> 23;
    own[index]!.set(view);
  }
  return [[...slots.views], own];
}

describe('wasm-simd against the package', () => {
  const profiles = [
    [4, 2],
    [8, 3],
    [10, 4],
    [16, 4],
  ] as const;

  it('encodes alike at every length, in its slots and from elsewhere', async () => {
    const reference = await createPackageCodec();
    const lengths = [...Array.from({ length: 300 }, (_, at) => at + 1), 4096, 8191, 8192, 8193, 65_536, 100_001];
    for (const isRevectorizing of [false, true]) {
      const codec = createWasmCodec({ isRevectorizing });
      for (const [k, m] of profiles) {
        const [slots, own] = makeShards(codec, k, m, lengths.at(-1)!) as [Uint8Array[], Uint8Array[]];
        for (const shardBytes of lengths) {
          const cut = (shard: Uint8Array): Uint8Array => shard.subarray(0, shardBytes);
          const expected = Array.from({ length: m }, () => new Uint8Array(shardBytes));
          reference.encode(own.slice(0, k).map(cut), expected);
          for (const shards of [slots, own]) {
            codec.encode(shards.slice(0, k).map(cut), shards.slice(k).map(cut));
            for (const [row, parity] of expected.entries()) {
              const isSame = Buffer.compare(parity, cut(shards[k + row]!)) === 0;
              assert.ok(isSame, `parity ${row} of ${k}+${m} at ${shardBytes} bytes with ${codec.name}`);
            }
          }
        }
      }
    }
  });

  it('rebuilds every pattern of lost shards of 4+2 and 8+3, by tables, by kernels, and in its slots', () => {
    const codecs = [createWasmCodec(), createWasmCodec({ compileFromBytes: 0 })];
    for (const codec of codecs) {
      for (const [k, m] of [profiles[0], profiles[1]]) {
        for (const shards of makeShards(codec, k, m, 97)) {
          codec.encode(shards.slice(0, k), shards.slice(k));
          const all = shards.map((shard) => Uint8Array.from(shard));
          for (const lost of patternsOf(k + m, m)) {
            for (const index of lost) shards[index]!.fill(0);
            const given = shards.map((shard, index) => (lost.includes(index) ? undefined : shard));
            const into = lost.map((index) => shards[index]!);
            codec.reconstruct(given, k, lost, into);
            for (const [at, index] of lost.entries()) {
              assert.ok(Buffer.compare(into[at]!, all[index]!) === 0, `shard ${index} without ${lost} of ${k}+${m}`);
            }
          }
        }
      }
    }
  });

  it('goes over from tables to a kernel in the middle of a run of losses', async () => {
    const reference = await createPackageCodec();
    const codec = createWasmCodec({ compileFromBytes: 5000 });
    const [, shards] = makeShards(codec, 10, 4, 2000) as [Uint8Array[], Uint8Array[]];
    reference.encode(shards.slice(0, 10), shards.slice(10));
    const given = shards.map((shard, index) => ([0, 3, 12].includes(index) ? undefined : shard));
    for (let call = 0; call < 6; call++) {
      const rebuilt = codec.reconstruct(given, 10, [3, 12]);
      assert.ok(Buffer.compare(rebuilt[0]!, shards[3]!) === 0);
      assert.ok(Buffer.compare(rebuilt[1]!, shards[12]!) === 0);
    }
  });

  it('codes views of its memory that do not lie as slots do, in any order', async () => {
    const reference = await createPackageCodec();
    const codec = createWasmCodec();
    fc.assert(
      fc.property(
        fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 5 }),
        fc.integer({ min: 1, max: 200 }),
        (places, shardBytes) => {
          const slots = codec.allocateSlots(8, shardBytes);
          const shards = places.map((place) => slots.views[place]!);
          for (const [at, shard] of shards.entries()) shard.fill(at * 37 + shardBytes);
          const data = shards.slice(0, 3);
          const expected = shards.slice(3).map((shard) => new Uint8Array(shard.length));
          reference.encode(data, expected);
          codec.encode(data, shards.slice(3));
          for (const [row, parity] of expected.entries()) assert.deepEqual(Uint8Array.from(shards[row + 3]!), parity);
          slots.release();
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('the memory of wasm-simd', () => {
  it('is used again, and goes back when it is not needed', () => {
    const codec = createWasmCodec();
    const held = Array.from({ length: 40 }, () => codec.allocateSlots(6, 256 * 1024));
    const buffers = new Set(held.map(({ views }) => views[0]!.buffer));
    assert.ok(buffers.size > 1 && buffers.size < 8, `${buffers.size} regions`);
    for (const slots of held) slots.release();
    const again = Array.from({ length: 20 }, () => codec.allocateSlots(6, 256 * 1024));
    const kept = again.filter(({ views }) => buffers.has(views[0]!.buffer));
    // One region is kept, and holds so many rows; the others are new.
    assert.ok(kept.length >= 8 && kept.length < 12, `${kept.length} rows lie where rows lay before`);
  });

  it('holds rows of every size at once without one touching another', () => {
    const codec = createWasmCodec();
    const size = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 70_000 }));
    const step = fc.oneof(size, fc.nat(20));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const held: { slots: ReturnType<ErasureCodec['allocateSlots']>; mark: number }[] = [];
        for (const [mark, each] of steps.entries()) {
          if (typeof each === 'number') {
            for (const { slots } of held.splice(each % Math.max(1, held.length), 1)) slots.release();
            continue;
          }
          const slots = codec.allocateSlots(...each);
          for (const view of slots.views) view.fill(mark);
          held.push({ slots, mark });
        }
        for (const { slots, mark } of held) {
          for (const view of slots.views) assert.ok(view[0] === mark && view.at(-1) === mark);
          slots.release();
        }
      }),
      { numRuns: 30 },
    );
  });

  it('serves Node’s own calls, shared or not', async () => {
    const { createHash } = await import('node:crypto');
    for (const isShared of [false, true]) {
      const { views } = createWasmCodec({ isShared }).allocateSlots(2, 1000);
      views[0]!.fill(7);
      const expected = createHash('sha256').update(Buffer.alloc(1000, 7)).digest('hex');
      assert.equal(createHash('sha256').update(views[0]!).digest('hex'), expected);
      assert.equal(views[0]!.buffer instanceof SharedArrayBuffer, isShared);
    }
  });
});

/** All sets of 1 to `most` of the first `count` numbers. */
function patternsOf(count: number, most: number): number[][] {
  return Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, index) => index).filter((index) => (bits >> index) & 1),
  ).filter(({ length }) => length > 0 && length <= most);
}
