import assert from 'node:assert/strict';
import { createHash, createSecretKey } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createDataKey, type DataKey } from '../../crypto/data-key.ts';
import {
  openPackage,
  packageBytes,
  packageCount,
  StreamSealer,
  sealedBytes,
  sealedPackageBytes,
  sealedRange,
  sealWhole,
  tagBytes,
} from '../../crypto/sealed-stream.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { sealStream } from './independent-crypto.ts';

const rising = createSecretKey(Uint8Array.from({ length: 32 }, (_, index) => index));
const lengths = [
  ...[0, 1, 15, 16, 17, 4096, packageBytes - 1, packageBytes, packageBytes + 1],
  ...[2 * packageBytes - 1, 2 * packageBytes, 2 * packageBytes + 1, 5 * packageBytes + 77],
];
/** Lengths that lie near a package's end more often than chance would have it. */
const anyLength = fc.oneof(
  fc.integer({ min: 0, max: 300_000 }),
  fc
    .tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: -2, max: 2 }))
    .map(([count, more]) => Math.max(0, count * packageBytes + more)),
);

function seal(key: DataKey, plain: Uint8Array): Buffer {
  const target = Buffer.alloc(sealedBytes(plain.length));
  assert.equal(sealWhole(key, plain, target), target.length);
  return target;
}

/** What a reader does who trusts `streamBytes`; undefined as soon as one package does not open. */
function open(key: DataKey, streamBytes: number, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length !== sealedBytes(streamBytes)) return undefined;
  const pieces: Uint8Array[] = [];
  for (let index = 0; index < packageCount(streamBytes); index++) {
    const { offset, length } = sealedRange(streamBytes, index, index);
    const plain = openPackage(key, streamBytes, index, sealed.subarray(offset, offset + length));
    if (plain === undefined) return undefined;
    pieces.push(plain);
  }
  return Buffer.concat(pieces);
}

function sealInChunks(key: DataKey, chunks: readonly Uint8Array[], declaredBytes: number | undefined): Buffer {
  const sealer = new StreamSealer(key, declaredBytes);
  const pieces = [...chunks.flatMap((chunk) => [...sealer.update(chunk)]), ...sealer.finish()];
  assert.equal(
    sealer.streamBytes,
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
  return Buffer.concat(pieces);
}

function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const bounds = [0, ...cuts.map((share) => Math.floor(share * bytes.length)).toSorted((a, b) => a - b), bytes.length];
  return bounds.slice(1).map((end, index) => bytes.subarray(bounds[index], end));
}

describe('a stream that is sealed whole', () => {
  it('is what its description says', () => {
    for (const length of lengths) {
      const plain = patternBytes(length, 'description');
      assert.deepEqual(seal(rising, plain), sealStream(rising.export(), plain), `${length} bytes`);
    }
  });

  /** What was written once must open for ever: these change only with the format. */
  it('gives the bytes that it always gave', () => {
    const short = '7db9d3986492516d7a7f87a470b61d0fe706d064b783f5ae3f';
    assert.equal(seal(rising, Buffer.from('hold fast')).toString('hex'), short);
    const long = createHash('sha256').update(seal(rising, patternBytes(150_000, 'vector')));
    assert.equal(long.digest('hex'), '33bfd27b1624cda6764eb0990b43e773cfb90bb42d8d8d1faf24d0be83f19cc3');
  });

  it('comes back package by package', () => {
    for (const length of lengths) {
      const plain = patternBytes(length, 'whole');
      const key = createDataKey();
      assert.deepEqual(open(key, length, seal(key, plain)), plain, `${length} bytes`);
    }
  });

  it('is of no length where there are no bytes', () => {
    assert.equal(packageCount(0), 0);
    assert.equal(sealedBytes(0), 0);
    assert.equal(seal(rising, new Uint8Array(0)).length, 0);
    assert.deepEqual(sealInChunks(rising, [], 0), Buffer.alloc(0));
    assert.deepEqual(sealInChunks(rising, [new Uint8Array(0)], undefined), Buffer.alloc(0));
    assert.equal(openPackage(rising, 0, 0, new Uint8Array(tagBytes)), undefined);
  });

  it('leaves the rest of a longer target alone', () => {
    const target = Buffer.alloc(100, 0xee);
    assert.equal(sealWhole(rising, Buffer.from('abc'), target), 3 + tagBytes);
    assert.ok(target.subarray(3 + tagBytes).every((byte) => byte === 0xee));
  });

  it('lies where the arithmetic says, package by package and in runs', () => {
    fc.assert(
      fc.property(anyLength, fc.nat(), fc.nat(), (streamBytes, a, b) => {
        const count = packageCount(streamBytes);
        if (count === 0) return;
        const [first, last] = [a % count, b % count].toSorted((x, y) => x - y) as [number, number];
        const run = sealedRange(streamBytes, first, last);
        assert.equal(run.offset, first * sealedPackageBytes);
        let sum = 0;
        for (let index = first; index <= last; index++) sum += sealedRange(streamBytes, index, index).length;
        assert.equal(run.length, sum);
        if (last === count - 1) assert.equal(run.offset + run.length, sealedBytes(streamBytes));
      }),
    );
  });
});

describe('a stream that is sealed as it comes', () => {
  it('has the same bytes, however it is cut and whether or not its length is declared', () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
    fc.assert(
      fc.property(anyLength, cuts, fc.boolean(), (length, shares, isDeclared) => {
        const plain = patternBytes(length, length);
        const sealed = sealInChunks(rising, cut(plain, shares), isDeclared ? length : undefined);
        assert.ok(sealed.equals(seal(rising, plain)));
      }),
      { numRuns: 150 },
    );
  });

  it('has the same bytes when they come one by one', () => {
    const plain = patternBytes(packageBytes + 3, 'one by one');
    const chunks = Array.from(plain, (_, index) => plain.subarray(index, index + 1));
    for (const declared of [plain.length, undefined]) {
      assert.ok(sealInChunks(rising, chunks, declared).equals(seal(rising, plain)));
    }
  });

  it('keeps nothing of a chunk, and gives away what it yields', () => {
    const plain = patternBytes(3 * packageBytes, 'kept');
    for (const declared of [plain.length, undefined]) {
      const sealer = new StreamSealer(rising, declared);
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < plain.length; at += 50_000) {
        const chunk = Buffer.from(plain.subarray(at, at + 50_000));
        pieces.push(...sealer.update(chunk));
        chunk.fill(0);
      }
      pieces.push(...sealer.finish());
      assert.ok(Buffer.concat(pieces).equals(seal(rising, plain)));
    }
  });

  it('holds back no more than a package, and nothing where the length is declared', () => {
    const plain = patternBytes(3 * packageBytes + 10, 'held');
    for (const [declared, most] of [
      [plain.length, 0],
      [undefined, packageBytes],
    ] as const) {
      const sealer = new StreamSealer(rising, declared);
      let yielded = 0;
      for (let at = 0; at < plain.length; at += 10_000) {
        for (const piece of sealer.update(plain.subarray(at, at + 10_000))) yielded += piece.length;
        assert.ok(sealer.streamBytes - yielded <= most, `${sealer.streamBytes - yielded} bytes are held back`);
      }
    }
  });

  it('refuses to grow beyond the length that was declared, and to end before it', () => {
    for (const length of [0, 1, packageBytes, packageBytes + 1]) {
      const long = new StreamSealer(rising, length);
      assert.throws(() => [...long.update(new Uint8Array(length + 1))], RangeError);
      if (length === 0) continue;
      const short = new StreamSealer(rising, length);
      for (const piece of short.update(new Uint8Array(length - 1))) assert.ok(piece.length <= packageBytes);
      assert.throws(() => [...short.finish()], RangeError);
    }
  });
});

describe('a stream that was meddled with', () => {
  const streamBytes = 3 * packageBytes + 100;
  const plain = patternBytes(streamBytes, 'meddled');
  const key = createDataKey();
  const sealed = seal(key, plain);
  const packages = Array.from({ length: 4 }, (_, index) => {
    const { offset, length } = sealedRange(streamBytes, index, index);
    return sealed.subarray(offset, offset + length);
  });

  it('does not open when it was cut off at the end of a package, whatever length is claimed for it', () => {
    for (let kept = 0; kept < 4; kept++) {
      const shorter = Buffer.concat(packages.slice(0, kept));
      for (const claimed of [kept * packageBytes, kept * packageBytes - 1, streamBytes]) {
        if (claimed <= 0) continue;
        assert.equal(open(key, claimed, shorter), undefined, `${kept} packages as ${claimed} bytes`);
      }
    }
  });

  it('does not open when its last package was cut, even by whole blocks of the cipher', () => {
    for (const less of [1, 15, 16, 17, 99, 100]) {
      assert.equal(open(key, streamBytes - less, sealed.subarray(0, sealed.length - less)), undefined);
    }
  });

  it('does not open when a package was left out, repeated, or put in another place', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 }), (order) => {
        fc.pre(order.join() !== '0,1,2,3');
        const mixed = Buffer.concat(order.map((index) => packages[index]!));
        const claims = [
          streamBytes,
          ...order.map((_, index) => index * packageBytes + 100),
          order.length * packageBytes,
        ];
        for (const claimed of claims) assert.equal(open(key, claimed, mixed), undefined);
      }),
      { numRuns: 100 },
    );
  });

  it('does not open with a package of another stream, though it be of the same plain bytes', () => {
    const otherKey = createDataKey();
    const other = seal(otherKey, plain);
    assert.notDeepEqual(other, sealed);
    for (let index = 0; index < 4; index++) {
      const { offset, length } = sealedRange(streamBytes, index, index);
      const mixed = Buffer.from(sealed);
      mixed.set(other.subarray(offset, offset + length), offset);
      assert.equal(open(key, streamBytes, mixed), undefined);
      assert.equal(openPackage(otherKey, streamBytes, index, packages[index]!), undefined);
    }
  });

  it('does not open when any bit of a short one is another', () => {
    const short = seal(key, plain.subarray(0, 20));
    for (let bit = 0; bit < short.length * 8; bit++) {
      const flipped = Buffer.from(short);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(openPackage(key, 20, 0, flipped), undefined, `bit ${bit}`);
    }
    assert.ok(openPackage(key, 20, 0, short));
  });

  it('does not open when a bit is another in the bytes or in the tag of any package, and the others do', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), fc.boolean(), fc.nat(), fc.nat(7), (index, isTag, seed, bit) => {
        const flipped = Buffer.from(packages[index]!);
        const plainBytes = flipped.length - tagBytes;
        flipped[isTag ? plainBytes + (seed % tagBytes) : seed % plainBytes]! ^= 1 << bit;
        assert.equal(openPackage(key, streamBytes, index, flipped), undefined);
        assert.ok(openPackage(key, streamBytes, index, packages[index]!));
      }),
    );
  });

  it('does not open as a stream of another length', () => {
    for (const claimed of lengths) {
      if (claimed === streamBytes || claimed === 0) continue;
      const last = packageCount(claimed) - 1;
      for (const bytes of packages) assert.equal(openPackage(key, claimed, last, bytes), undefined, `${claimed} bytes`);
      assert.equal(open(key, claimed, sealed), undefined);
    }
  });

  it('has no packages before its first one and behind its last one', () => {
    for (const index of [-1, 4, 5, 0.5, Number.NaN]) {
      for (const bytes of packages) assert.equal(openPackage(key, streamBytes, index, bytes), undefined);
    }
    // A package that is there, of a stream that is said to end before it.
    assert.equal(openPackage(key, packageBytes, 1, packages[1]!), undefined);
  });
});
