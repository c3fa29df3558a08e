import { S3Error } from '../s3-error.ts';

/** How a body is framed and what vouches for its bytes, from x-amz-content-sha256. */
export type PayloadMode =
  | { readonly kind: 'unsigned' }
  /** The digest that the client declared; lower case where it is hexadecimal at all. */
  | { readonly kind: 'digest'; readonly sha256Hex: string }
  /** aws-chunked: chunks with a signature each, or none; with trailing headers, or none. */
  | { readonly kind: 'chunked'; readonly signed: boolean; readonly trailer: boolean };

export const unsignedPayload = 'UNSIGNED-PAYLOAD';

const chunkedModes: ReadonlyMap<string, PayloadMode> = new Map([
  ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD', { kind: 'chunked', signed: true, trailer: false }],
  ['STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', { kind: 'chunked', signed: true, trailer: true }],
  ['STREAMING-UNSIGNED-PAYLOAD-TRAILER', { kind: 'chunked', signed: false, trailer: true }],
]);

/**
 * Reads the value of an x-amz-content-sha256 header.
 * Source: AWS "Signature Calculations for the Authorization Header", Amazon S3 API reference.
 * @throws S3Error InvalidArgument; NotImplemented for the ECDSA ways of signing chunks
 */
export function parsePayloadMode(value: string): PayloadMode {
  if (value === unsignedPayload) return { kind: 'unsigned' };
  if (/^[0-9a-f]{64}$/i.test(value)) return { kind: 'digest', sha256Hex: value.toLowerCase() };
  const mode = chunkedModes.get(value);
  if (mode) return mode;
  if (value.startsWith('STREAMING-AWS4-ECDSA-P256-SHA256-')) {
    throw new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
      Header: 'x-amz-content-sha256',
    });
  }
  throw new S3Error(
    'InvalidArgument',
    'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
    { ArgumentName: 'x-amz-content-sha256', ArgumentValue: value },
  );
}

/**
 * The same for a presigned request, where AWS takes every other value for a digest that then does not match: a body
 * must not be framed by someone who holds nothing but a URL.
 */
export function parsePresignedPayloadMode(value: string): PayloadMode {
  if (value === unsignedPayload) return { kind: 'unsigned' };
  return { kind: 'digest', sha256Hex: /^[0-9a-f]{64}$/i.test(value) ? value.toLowerCase() : value };
}
