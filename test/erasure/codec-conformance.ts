import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { createReferenceCodec } from '../../erasure/reference-codec.ts';

interface CodecCase {
  readonly k: number;
  readonly m: number;
  readonly shardBytes: number;
  readonly seed: number;
}

const smallCode = { k: fc.integer({ min: 1, max: 12 }), m: fc.integer({ min: 0, max: 6 }) };
const codecCase: fc.Arbitrary<CodecCase> = fc.record({
  ...smallCode,
  shardBytes: fc.integer({ min: 1, max: 3000 }),
  seed: fc.nat(),
});

/** What every ErasureCodec must do; see erasure/erasure-codec.ts. */
export function testErasureCodec(name: string, make: () => Promise<ErasureCodec>): void {
  describe(`erasure codec ${name}`, () => {
    let codec: ErasureCodec;
    before(async () => {
      codec = await make();
    });

    it('gives the parity that klauspost/reedsolomon and the Rust crate give', () => {
      // TestOneEncode in reedsolomon_test.go, test_one_encode in the crate.
      const data = [
        [0, 1],
        [4, 5],
        [2, 3],
        [6, 7],
        [8, 9],
      ].map((bytes) => Uint8Array.from(bytes));
      const parity = Array.from({ length: 5 }, () => new Uint8Array(2));
      codec.encode(data, parity);
      assert.deepEqual(
        parity.map((shard) => [...shard]),
        [
          [12, 13],
          [10, 11],
          [14, 15],
          [90, 91],
          [94, 95],
        ],
      );
    });

    it('gives the same parity as the reference for any k, m and length', () => {
      fc.assert(
        fc.property(codecCase, (sample) => {
          const expected = makeShards(sample);
          const actual = [...expected.slice(0, sample.k), ...blankShards(sample.m, sample.shardBytes)];
          codec.encode(actual.slice(0, sample.k), actual.slice(sample.k));
          assert.deepEqual(actual, expected);
        }),
        { numRuns: 20 },
      );
    });

    it('gives the same parity into views of one buffer, side by side or not, and leaves the rest alone', () => {
      fc.assert(
        fc.property(codecCase, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 9 }), (sample, start, gap) => {
          const expected = makeShards({ ...sample, shardBytes: (sample.shardBytes % 300) + 1 });
          const { k, m } = sample;
          const shardBytes = expected[0]!.length;
          const buffer = new Uint8Array(start + (k + m) * (shardBytes + gap) + 5).fill(0x77);
          const views = expected.map((_, index) => {
            const offset = start + index * (shardBytes + gap);
            return buffer.subarray(offset, offset + shardBytes);
          });
          for (let index = 0; index < k; index++) views[index]!.set(expected[index]!);
          codec.encode(views.slice(0, k), views.slice(k));
          assert.deepEqual(views, expected);
          for (const view of views) view.fill(0x77);
          assert.ok(buffer.every((byte) => byte === 0x77));
        }),
        { numRuns: 20 },
      );
    });

    it('codes each byte for itself: a long shard as its pieces', () => {
      const shards = makeLongShards(3, 2 ** 20);
      const parity = blankShards(2, 2 ** 20);
      codec.encode(shards, parity);
      for (const start of [0, 1000, 419_430, 500_000, 2 ** 20 - 77]) {
        const piece = (shard: Uint8Array) => shard.subarray(start, start + 77);
        const expected = blankShards(2, 77);
        createReferenceCodec().encode(shards.map(piece), expected);
        assert.deepEqual(parity.map(piece), expected);
      }
      const rebuilt = codec.reconstruct([undefined, shards[1], shards[2], parity[0], undefined], 3, [4, 0]);
      assert.equal(Buffer.compare(rebuilt[0]!, parity[1]!), 0);
      assert.equal(Buffer.compare(rebuilt[1]!, shards[0]!), 0);
    });

    it('rebuilds any shards from any k others, and changes none of them', () => {
      const loss = codecCase.chain((sample) =>
        fc.record({
          sample: fc.constant(sample),
          lost: fc.subarray(range(sample.k + sample.m), { maxLength: sample.m }),
          shuffleSeed: fc.nat(),
        }),
      );
      fc.assert(
        fc.property(loss, ({ sample, lost, shuffleSeed }) => {
          const shards = makeShards(sample);
          const given = shards.map((shard, index) => (lost.includes(index) ? undefined : Uint8Array.from(shard)));
          const wanted = shuffleSeed % 2 === 0 ? lost : lost.slice(shuffleSeed % 3).reverse();
          const rebuilt = codec.reconstruct(given, sample.k, wanted);
          assert.deepEqual(
            rebuilt.map((shard) => Uint8Array.from(shard)),
            wanted.map((index) => shards[index]),
          );
          assert.deepEqual(
            given,
            shards.map((shard, index) => (lost.includes(index) ? undefined : shard)),
          );
        }),
        { numRuns: 20 },
      );
    });

    it('rebuilds every pattern of up to two lost shards of 4+2', () => {
      const shards = makeShards({ k: 4, m: 2, shardBytes: 100, seed: 1 });
      for (let pattern = 0; pattern < 64; pattern++) {
        const lost = range(6).filter((index) => pattern & (1 << index));
        const given = shards.map((shard, index) => (lost.includes(index) ? undefined : shard));
        if (lost.length > 2) {
          assert.throws(() => codec.reconstruct(given, 4, lost), RangeError);
          continue;
        }
        const rebuilt = codec.reconstruct(given, 4, lost);
        assert.deepEqual(
          rebuilt.map((shard) => Uint8Array.from(shard)),
          lost.map((index) => shards[index]),
        );
      }
    });

    it('gives buffers that are the caller’s own', () => {
      const shards = makeShards({ k: 4, m: 2, shardBytes: 50, seed: 2 });
      const given = shards.map((shard, index) => (index === 1 || index === 5 ? undefined : shard));
      const [first, second] = codec.reconstruct(given, 4, [1, 5]);
      first!.fill(0);
      assert.deepEqual(Uint8Array.from(second!), shards[5]);
      assert.deepEqual(Uint8Array.from(codec.reconstruct(given, 4, [1])[0]!), shards[1]);
    });

    it('codes in its own slots as anywhere, also a part of each, and leaves the rest alone', () => {
      fc.assert(
        fc.property(codecCase, fc.nat(200), fc.nat(100), (sample, start, more) => {
          const { k, m } = sample;
          const expected = makeShards({ ...sample, shardBytes: (sample.shardBytes % 400) + 1 });
          const shardBytes = expected[0]!.length;
          const slots = codec.allocateSlots(k + m, start + shardBytes + more);
          const parts = slots.views.map((view) => view.fill(0x77).subarray(start, start + shardBytes));
          for (let index = 0; index < k; index++) parts[index]!.set(expected[index]!);
          codec.encode(parts.slice(0, k), parts.slice(k));
          assert.deepEqual(parts.map(copyOf), expected);
          const lost = range(k + m).filter((index) => (sample.seed >> index) & 1);
          const wanted = lost.slice(0, m);
          for (const index of wanted) parts[index]!.fill(0);
          const given = parts.map((part, index) => (wanted.includes(index) ? undefined : part));
          const into = wanted.map((index) => parts[index]!);
          const rebuilt = codec.reconstruct(given, k, wanted, into);
          assert.ok(rebuilt.every((shard, at) => shard === into[at]));
          assert.deepEqual(parts.map(copyOf), expected);
          for (const part of parts) part.fill(0x77);
          for (const view of slots.views) assert.ok(view.every((byte) => byte === 0x77));
          slots.release();
        }),
        { numRuns: 30 },
      );
    });

    it('gives slots that are as long as asked for and do not touch, and takes them back', () => {
      const first = codec.allocateSlots(6, 1000);
      const others = [codec.allocateSlots(3, 64), codec.allocateSlots(256, 1), codec.allocateSlots(2, 3 * 2 ** 20)];
      for (const [number, slots] of [first, ...others].entries()) {
        for (const [index, view] of slots.views.entries()) view.fill(number * 16 + (index & 15));
      }
      for (const [number, slots] of [first, ...others].entries()) {
        assert.ok(slots.bytes >= slots.views.reduce((sum, { length }) => sum + length, 0));
        for (const [index, view] of slots.views.entries()) {
          assert.ok(view.every((byte) => byte === number * 16 + (index & 15)));
        }
      }
      for (const slots of [...others, first]) {
        slots.release();
        slots.release();
      }
      const again = [codec.allocateSlots(6, 1000), codec.allocateSlots(6, 1000)];
      again[0]!.views[3]!.fill(1);
      again[1]!.views[3]!.fill(2);
      assert.ok(again[0]!.views[3]!.every((byte) => byte === 1));
      for (const slots of again) slots.release();
      for (const [count, slotBytes] of [
        [0, 1],
        [257, 1],
        [1, 0],
        [1, 1.5],
        [1, 2 ** 27],
      ] as const) {
        assert.throws(() => codec.allocateSlots(count, slotBytes), RangeError);
      }
    });

    it('refuses arguments that break the contract', () => {
      const shard = () => new Uint8Array(8);
      const refused: (() => unknown)[] = [
        () => codec.encode([], [shard()]),
        () => codec.encode([new Uint8Array(0)], [new Uint8Array(0)]),
        () => codec.encode([shard(), new Uint8Array(7)], [shard()]),
        () => codec.encode([shard()], [new Uint8Array(9)]),
        () => codec.encode(blankShards(250, 1), blankShards(7, 1)),
        () => codec.reconstruct([shard(), undefined, undefined], 2, [1]),
        () => codec.reconstruct([shard(), shard(), undefined], 2, [0]),
        () => codec.reconstruct([shard(), shard(), undefined], 2, [3]),
        () => codec.reconstruct([shard(), shard(), undefined], 2, [2, 2]),
        () => codec.reconstruct([shard(), new Uint8Array(9), undefined], 2, [2]),
        () => codec.reconstruct([shard(), shard()], 0, []),
        () => codec.reconstruct([shard(), shard(), undefined], 2, [2], []),
        () => codec.reconstruct([shard(), shard(), undefined], 2, [2], [new Uint8Array(9)]),
        () => codec.reconstruct([shard(), shard()], 3, []),
      ];
      for (const call of refused) assert.throws(call, RangeError, String(call));
    });

    it('codes the largest fleet that the field allows', () => {
      const data = Array.from({ length: 20 }, (_, index) => Uint8Array.of(index));
      const parity = blankShards(236, 1);
      codec.encode(data, parity);
      const shards = [...data, ...parity];
      const given = shards.map((shard, index) => (index >= 200 && index < 220 ? shard : undefined));
      const rebuilt = codec.reconstruct(given, 20, [0, 7, 19, 255]);
      assert.deepEqual(
        rebuilt.map((shard) => shard[0]),
        [0, 7, 19, parity[235]![0]],
      );
    });
  });
}

/** Random data shards and the parity that the reference gives them. */
function makeShards({ k, m, shardBytes, seed }: CodecCase): Uint8Array[] {
  let state = seed | 1;
  const data = blankShards(k, shardBytes).map((shard) =>
    shard.map(() => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return state >>> 24;
    }),
  );
  const parity = blankShards(m, shardBytes);
  createReferenceCodec().encode(data, parity);
  return [...data, ...parity];
}

function makeLongShards(count: number, shardBytes: number): Uint8Array[] {
  return blankShards(count, shardBytes).map((shard, index) =>
    shard.map((_, i) => (i * 31 + (i >> 9) + index * 7) & 255),
  );
}

function blankShards(count: number, shardBytes: number): Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(shardBytes));
}

/** Without what a Buffer has beyond a Uint8Array. */
function copyOf(shard: Uint8Array): Uint8Array {
  return Uint8Array.from(shard);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
