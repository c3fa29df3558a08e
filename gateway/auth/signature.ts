import { hash } from 'node:crypto';
import type { HmacSha256 } from '../../core/hmac-sha256.ts';
import { S3Error } from '../s3-error.ts';

export const algorithm = 'AWS4-HMAC-SHA256';

/** What the signatures of chunks and trailers build on, and what their errors tell. */
export interface SignatureSeed {
  readonly accessKeyId: string;
  /** The request's own signature, hexadecimal. */
  readonly signature: string;
  readonly signingKey: HmacSha256;
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
  const text = seed.canonicalRequest;
  // Where all is ASCII, as it mostly is, UTF-8 and Latin-1 are the same, and no buffer is needed.
  const isAscii = Buffer.byteLength(text) === text.length;
  const digest = hash('sha256', isAscii ? text : Buffer.from(text, 'latin1'), 'hex');
  checkSignature(seed, `${algorithm}\n${seed.timestamp}\n${seed.scope}\n${digest}`, seed.signature);
}

/**
 * Checks one signature in constant time.
 * @throws S3Error SignatureDoesNotMatch
 */
export function checkSignature(seed: SignatureSeed, stringToSign: string, provided: string): void {
  if (seed.signingKey.matches(stringToSign, provided)) return;
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
