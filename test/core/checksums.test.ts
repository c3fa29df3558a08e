import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createCRC32, createCRC64 } from 'hash-wasm';
import {
  checksumHeader,
  checksums,
  compositeChecksum,
  findChecksumAlgorithm,
  fullObjectChecksum,
  isChecksumValue,
} from '../../core/checksums.ts';
import { type ChecksumAlgorithm, checksumAlgorithms } from '../../core/model.ts';

/** Published check values: the digest of the nine bytes "123456789". */
const checkValues: Record<ChecksumAlgorithm, string> = {
  CRC32: 'cbf43926',
  CRC32C: 'e3069283',
  CRC64NVME: 'ae8b14860a799888',
  SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
};

function digest(algorithm: ChecksumAlgorithm, ...chunks: Uint8Array[]): Buffer {
  const hasher = checksums[algorithm].create();
  for (const chunk of chunks) hasher.update(chunk);
  return Buffer.from(hasher.digest());
}

/** Cuts `bytes` at random places; every piece keeps its odd alignment in memory. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const offsets = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return offsets.slice(1).map((end, index) => bytes.subarray(offsets[index], end));
}

const content = fc.uint8Array({ maxLength: 300 });
const places = fc.array(fc.nat(300), { maxLength: 6 });

for (const algorithm of checksumAlgorithms) {
  const spec = checksums[algorithm];

  test(`${algorithm} has the published check value`, () => {
    assert.equal(digest(algorithm, Buffer.from('123456789')).toString('hex'), checkValues[algorithm]);
  });

  test(`${algorithm} digests as many bytes as it says, also of nothing`, () => {
    assert.equal(digest(algorithm).length, spec.digestBytes);
    assert.ok(isChecksumValue(algorithm, digest(algorithm).toString('base64')));
  });

  test(`${algorithm} does not depend on how the bytes are cut`, () => {
    fc.assert(
      fc.property(content, places, (bytes, at) => {
        assert.deepEqual(digest(algorithm, ...cut(bytes, at)), digest(algorithm, bytes));
      }),
    );
  });

  test(`${algorithm} hashers of two streams do not disturb each other`, () => {
    const one = spec.create();
    const two = spec.create();
    one.update(Buffer.from('12345'));
    two.update(Buffer.from('something else'));
    one.update(Buffer.from('6789'));
    assert.equal(Buffer.from(one.digest()).toString('hex'), checkValues[algorithm]);
  });

  test(`${algorithm} is named by its header, and found in any case`, () => {
    assert.equal(checksumHeader(algorithm), `x-amz-checksum-${algorithm.toLowerCase()}`);
    assert.equal(findChecksumAlgorithm(algorithm.toLowerCase()), algorithm);
  });

  test(`${algorithm} values of another length or spelling are refused`, () => {
    const value = digest(algorithm, Buffer.from('x')).toString('base64');
    for (const wrong of [
      '',
      'x',
      `${value}A`,
      `${value}=`,
      ` ${value}`,
      value.slice(0, -4),
      value.replace(/=*$/, ''),
    ]) {
      if (wrong !== value) assert.equal(isChecksumValue(algorithm, wrong), false, JSON.stringify(wrong));
    }
  });

  test(`${algorithm} composite is the digest of the parts' digests and their count`, () => {
    const parts = [randomBytes(10), randomBytes(20), randomBytes(0)].map((part) => digest(algorithm, part));
    const expected = `${digest(algorithm, Buffer.concat(parts)).toString('base64')}-3`;
    assert.equal(
      compositeChecksum(
        algorithm,
        parts.map((part) => part.toString('base64')),
      ),
      expected,
    );
  });

  if (spec.types.includes('FULL_OBJECT')) {
    test(`${algorithm} of parts combines to the checksum of the whole`, () => {
      fc.assert(
        fc.property(content, places, (bytes, at) => {
          const parts = cut(bytes, at).map((part) => ({
            value: digest(algorithm, part).toString('base64'),
            sizeBytes: part.length,
          }));
          assert.equal(fullObjectChecksum(algorithm, parts), digest(algorithm, bytes).toString('base64'));
        }),
      );
    });

    test(`${algorithm} combines with a second part of 5 GiB`, () => {
      // Zero bytes by doubling: z(2n) is z(n) joined with itself, so 5 GiB is checked against a different route.
      const doubled = (bytes: number): Buffer => {
        if (bytes === 1) return digest(algorithm, Buffer.alloc(1));
        const half = doubled(bytes / 2);
        return Buffer.from(spec.combine!(half, half, bytes / 2));
      };
      const gib = 2 ** 30;
      const five = spec.combine!(doubled(gib), doubled(4 * gib), 4 * gib);
      const start = digest(algorithm, Buffer.from('start'));
      const once = spec.combine!(start, five, 5 * gib);
      const stepwise = spec.combine!(spec.combine!(start, doubled(4 * gib), 4 * gib), doubled(gib), gib);
      assert.deepEqual(Buffer.from(once), Buffer.from(stepwise));
    });
  } else {
    test(`${algorithm} refuses to combine parts`, () => {
      assert.equal(spec.combine, undefined);
      assert.throws(() => fullObjectChecksum(algorithm, []), TypeError);
    });
  }
}

test('the default type of a multipart checksum is the one that AWS takes', () => {
  const defaults = Object.fromEntries(
    checksumAlgorithms.map((algorithm) => [algorithm, checksums[algorithm].types[0]]),
  );
  assert.deepEqual(defaults, {
    CRC32: 'COMPOSITE',
    CRC32C: 'COMPOSITE',
    CRC64NVME: 'FULL_OBJECT',
    SHA1: 'COMPOSITE',
    SHA256: 'COMPOSITE',
  });
});

test('the CRCs agree with another implementation on larger inputs at every alignment', async () => {
  const oracles = {
    CRC32: await createCRC32(0xedb88320),
    CRC32C: await createCRC32(0x82f63b78),
    CRC64NVME: await createCRC64('9a6c9329ac4bc9b5'),
  };
  const bytes = randomBytes(5000);
  for (const [name, oracle] of Object.entries(oracles)) {
    for (let offset = 0; offset < 9; offset++) {
      const piece = bytes.subarray(offset, 4096 + 3 * offset);
      assert.equal(
        digest(name as ChecksumAlgorithm, piece).toString('hex'),
        oracle.init().update(piece).digest(),
        `${name} at ${offset}`,
      );
    }
  }
});

test('SHA digests are those of node:crypto', () => {
  const bytes = randomBytes(1000);
  assert.deepEqual(digest('SHA1', bytes), createHash('sha1').update(bytes).digest());
  assert.deepEqual(digest('SHA256', bytes), createHash('sha256').update(bytes).digest());
});

test('an unknown algorithm is not found', () => {
  assert.equal(findChecksumAlgorithm('MD5'), undefined);
  assert.equal(findChecksumAlgorithm(''), undefined);
});
