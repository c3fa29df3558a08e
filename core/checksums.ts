import { createHash } from 'node:crypto';
import { crc32, crc32c } from '@node-rs/crc32';
import { CrcCombiner } from './crc-combine.ts';
import { Crc64Nvme, crc64NvmePolynomial } from './crc64-nvme.ts';
import { type ChecksumAlgorithm, type ChecksumType, checksumAlgorithms } from './model.ts';

/** Digests one stream. */
export interface Hasher {
  /** `chunk` is not kept. */
  update(chunk: Uint8Array): void;
  /** Big-endian for CRCs, as S3 has them before base64. Ends the stream. */
  digest(): Uint8Array;
}

export interface ChecksumSpec {
  readonly header: `x-amz-checksum-${string}`;
  readonly digestBytes: number;
  /** What a multipart upload may ask for; the first is the default. */
  readonly types: readonly [ChecksumType, ...ChecksumType[]];
  create(): Hasher;
  /** The checksum of A followed by B. Absent where the algorithm does not allow it. */
  combine?(a: Uint8Array, b: Uint8Array, bBytes: number): Uint8Array;
}

const crc32Combiner = new CrcCombiner({ polynomial: 0xedb88320n, widthBytes: 4 });
const crc32cCombiner = new CrcCombiner({ polynomial: 0x82f63b78n, widthBytes: 4 });
const crc64NvmeCombiner = new CrcCombiner({ polynomial: crc64NvmePolynomial, widthBytes: 8 });

/**
 * Every checksum that S3 clients can ask for. A new one is an entry here and its name in core/model.ts.
 * Types and defaults: "Checking object integrity in Amazon S3", user guide.
 */
export const checksums: Readonly<Record<ChecksumAlgorithm, ChecksumSpec>> = {
  CRC32: {
    header: 'x-amz-checksum-crc32',
    digestBytes: 4,
    types: ['COMPOSITE', 'FULL_OBJECT'],
    create: () => new Crc32Hasher(crc32),
    combine: (a, b, bBytes) => crc32Combiner.combine(a, b, bBytes),
  },
  CRC32C: {
    header: 'x-amz-checksum-crc32c',
    digestBytes: 4,
    types: ['COMPOSITE', 'FULL_OBJECT'],
    create: () => new Crc32Hasher(crc32c),
    combine: (a, b, bBytes) => crc32cCombiner.combine(a, b, bBytes),
  },
  CRC64NVME: {
    header: 'x-amz-checksum-crc64nvme',
    digestBytes: 8,
    types: ['FULL_OBJECT'],
    create: () => new Crc64Nvme(),
    combine: (a, b, bBytes) => crc64NvmeCombiner.combine(a, b, bBytes),
  },
  SHA1: {
    header: 'x-amz-checksum-sha1',
    digestBytes: 20,
    types: ['COMPOSITE'],
    create: () => createHash('sha1'),
  },
  SHA256: {
    header: 'x-amz-checksum-sha256',
    digestBytes: 32,
    types: ['COMPOSITE'],
    create: () => createHash('sha256'),
  },
};

class Crc32Hasher implements Hasher {
  readonly #crc: (chunk: Uint8Array, state: number) => number;
  #state = 0;

  constructor(crc: (chunk: Uint8Array, state: number) => number) {
    this.#crc = crc;
  }

  update(chunk: Uint8Array): void {
    this.#state = this.#crc(chunk, this.#state);
  }

  digest(): Uint8Array {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(this.#state);
    return bytes;
  }
}

/** The header and trailer that carries a value of this algorithm, in lower case. */
export function checksumHeader(algorithm: ChecksumAlgorithm): ChecksumSpec['header'] {
  return checksums[algorithm].header;
}

/** The algorithm of a name in any case. */
export function findChecksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  const upper = name.toUpperCase();
  return checksumAlgorithms.find((algorithm) => algorithm === upper);
}

/** Whether `value` is the base64 of a digest of this algorithm, in the one canonical spelling. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, value: string): boolean {
  const bytes = Buffer.from(value, 'base64');
  return bytes.length === checksums[algorithm].digestBytes && bytes.toString('base64') === value;
}

/** The checksum of the parts' checksums, with the part count: `base64-N`. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, partValues: readonly string[]): string {
  const hasher = checksums[algorithm].create();
  for (const value of partValues) hasher.update(Buffer.from(value, 'base64'));
  return `${Buffer.from(hasher.digest()).toString('base64')}-${partValues.length}`;
}

/**
 * The checksum of all parts' bytes in order, from the parts' own checksums.
 * Only for algorithms whose types include FULL_OBJECT; throws a TypeError for others.
 */
export function fullObjectChecksum(
  algorithm: ChecksumAlgorithm,
  parts: readonly { readonly value: string; readonly sizeBytes: number }[],
): string {
  const { combine, create } = checksums[algorithm];
  if (!combine) throw new TypeError(`${algorithm} has no full-object checksum of parts`);
  let sum = create().digest();
  for (const part of parts) sum = combine(sum, Buffer.from(part.value, 'base64'), part.sizeBytes);
  return Buffer.from(sum).toString('base64');
}
