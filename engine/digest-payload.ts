import { hash } from 'node:crypto';
import { checksums, type Hasher } from '../core/checksums.ts';
import { Failure } from '../core/failure.ts';
import type { Checksum, ChecksumAlgorithm, ETagKind } from '../core/model.ts';
import type { DeclaredDigests } from '../core/payload.ts';
import type { Md5Lanes, Md5Stream } from '../crypto/md5/md5-lanes.ts';
import { pendingMd5 } from './manifest.ts';
import { createOpaqueETag } from './opaque-etag.ts';

/** Which digests of a payload to compute. */
export interface WantedDigests {
  readonly etags: ETagKind;
  readonly sha256: boolean;
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
}

export interface PayloadDigests {
  /** The MD5 in hex, or opaque where that was wanted. */
  readonly etag: string;
  /** The same where it is the MD5. */
  readonly md5Hex: string | undefined;
  readonly sha256Hex: string | undefined;
  readonly checksum: Checksum | undefined;
}

/**
 * All digests of a payload that is at hand: the one-shot calls cost half of what a stream does where there are few bytes.
 *
 * @param options.isMd5Pending somebody else computes the MD5: `pendingMd5` stands for it in the ETag
 */
export function digestWhole(
  plain: Uint8Array,
  { etags, sha256, checksumAlgorithm }: WantedDigests,
  { isMd5Pending = false }: { readonly isMd5Pending?: boolean } = {},
): PayloadDigests {
  const sha256Hex = sha256 || checksumAlgorithm === 'SHA256' ? hash('sha256', plain) : undefined;
  let value: string | undefined;
  if (checksumAlgorithm === 'SHA256' && sha256Hex !== undefined) {
    value = Buffer.from(sha256Hex, 'hex').toString('base64');
  } else if (checksumAlgorithm !== undefined) {
    const hasher = checksums[checksumAlgorithm].create();
    hasher.update(plain);
    value = Buffer.from(hasher.digest()).toString('base64');
  }
  const md5Hex = etags === 'md5' && !isMd5Pending ? hash('md5', plain) : undefined;
  return {
    etag: isMd5Pending ? pendingMd5 : (md5Hex ?? createOpaqueETag()),
    md5Hex,
    sha256Hex,
    checksum:
      checksumAlgorithm && value !== undefined
        ? { algorithm: checksumAlgorithm, type: 'FULL_OBJECT', value }
        : undefined,
  };
}

/** Computes all digests of a payload in the one pass over its bytes. Ends with `finish` or `close`. */
export class PayloadDigester {
  readonly #algorithm: ChecksumAlgorithm | undefined;
  readonly #md5: Md5Stream | undefined;
  readonly #sha256: Hasher | undefined;
  readonly #checksum: Hasher | undefined;

  /** @param sizeBytes of the payload, where it is known */
  constructor({ etags, sha256, checksumAlgorithm }: WantedDigests, md5: Md5Lanes, sizeBytes?: number) {
    this.#algorithm = checksumAlgorithm;
    this.#md5 = etags === 'md5' ? md5.openStream(sizeBytes) : undefined;
    // One pass of SHA-256 serves both as the payload's hash and as its checksum.
    this.#sha256 = sha256 || checksumAlgorithm === 'SHA256' ? checksums.SHA256.create() : undefined;
    this.#checksum =
      checksumAlgorithm && checksumAlgorithm !== 'SHA256' ? checksums[checksumAlgorithm].create() : undefined;
  }

  /** @returns undefined where all is done, else a promise; until it resolves the chunk must stay as it is */
  update(chunk: Uint8Array): Promise<void> | undefined {
    this.#sha256?.update(chunk);
    this.#checksum?.update(chunk);
    return this.#md5?.update(chunk);
  }

  /** Ends the stream. */
  async finish(): Promise<PayloadDigests> {
    const sha256 = this.#sha256?.digest();
    const sum = this.#algorithm === 'SHA256' ? sha256 : this.#checksum?.digest();
    const md5Hex = await this.#md5?.digest();
    return {
      etag: md5Hex ?? createOpaqueETag(),
      md5Hex,
      sha256Hex: sha256 && Buffer.from(sha256).toString('hex'),
      checksum:
        this.#algorithm && sum
          ? { algorithm: this.#algorithm, type: 'FULL_OBJECT', value: Buffer.from(sum).toString('base64') }
          : undefined,
    };
  }

  /** Gives up what was not finished. May be called at any time, and again. */
  close(): void {
    this.#md5?.close();
  }
}

/**
 * Compares what a client declared with what arrived.
 *
 * @throws Failure `digest-mismatch`; TypeError for a declared digest that nobody asked to compute
 */
export function checkDeclaredDigests(declared: DeclaredDigests, actual: PayloadDigests): void {
  if (declared.sha256Hex !== undefined) {
    if (actual.sha256Hex === undefined) throw new TypeError('a SHA-256 was declared only after the payload began');
    checkDigest('sha256', declared.sha256Hex.toLowerCase(), actual.sha256Hex);
  }
  if (declared.md5 !== undefined) {
    if (actual.md5Hex === undefined) throw new TypeError('an MD5 was declared only after the payload began');
    checkDigest('md5', declared.md5, Buffer.from(actual.md5Hex, 'hex').toString('base64'));
  }
  if (declared.checksum !== undefined) {
    const { algorithm, value } = declared.checksum;
    if (actual.checksum?.algorithm !== algorithm) throw new TypeError(`a ${algorithm} was declared but not announced`);
    checkDigest(algorithm, value, actual.checksum.value);
  }
}

function checkDigest(digest: string, expected: string, actual: string): void {
  if (expected !== actual) throw new Failure('digest-mismatch', { digest, expected, actual });
}
