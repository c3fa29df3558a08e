import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto';
import { S3Error } from '../s3-error.ts';
import { hmacSha256 } from './signing-key.ts';

export const algorithm = 'AWS4-HMAC-SHA256';

/** What the signatures of chunks and trailers build on, and what their errors tell. */
export interface SignatureSeed {
  readonly accessKeyId: string;
  /** The request's own signature, hexadecimal. */
  readonly signature: string;
  readonly signingKey: KeyObject;
  /** ISO 8601 basic format. */
  readonly timestamp: string;
  readonly scope: string;
  /** Latin-1, one character a byte. */
  readonly canonicalRequest: string;
}

/**
 * Checks a request's signature.
 * @throws S3Error SignatureDoesNotMatch, with all that a client needs to find its mistake
 */
export function checkRequestSignature(seed: SignatureSeed): void {
  const digest = createHash('sha256').update(seed.canonicalRequest, 'latin1').digest('hex');
  checkSignature(seed, `${algorithm}\n${seed.timestamp}\n${seed.scope}\n${digest}`, seed.signature);
}

/**
 * Checks one signature in constant time.
 * @throws S3Error SignatureDoesNotMatch
 */
export function checkSignature(seed: SignatureSeed, stringToSign: string, provided: string): void {
  const expected = Buffer.from(hmacSha256(seed.signingKey, stringToSign).toString('hex'), 'latin1');
  const actual = Buffer.from(provided, 'latin1');
  if (actual.length === expected.length && timingSafeEqual(actual, expected)) return;
  const canonicalRequest = Buffer.from(seed.canonicalRequest, 'latin1');
  throw new S3Error('SignatureDoesNotMatch', undefined, {
    AWSAccessKeyId: seed.accessKeyId,
    StringToSign: stringToSign,
    SignatureProvided: provided,
    StringToSignBytes: hexBytes(Buffer.from(stringToSign)),
    CanonicalRequest: canonicalRequest.toString(),
    CanonicalRequestBytes: hexBytes(canonicalRequest),
  });
}

/** `41 57 53`, as S3's error documents spell bytes. */
function hexBytes(bytes: Buffer): string {
  return bytes.toString('hex').replace(/..(?!$)/g, '$& ');
}
