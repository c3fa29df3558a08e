import { invalidArgument } from './invalid-argument.ts';

/** A place in a listing as clients hold it: opaque to them, the name that a page ended with to us. */
export function encodeToken(name: string): string {
  return Buffer.from(name).toString('base64url');
}

/** @throws S3Error InvalidArgument where it is no token of ours */
export function decodeToken(token: string): string {
  const bytes = Buffer.from(token, 'base64url');
  const name = bytes.toString();
  // Decoding skips what is not base64, and replaces what is not UTF-8; only a token of ours survives the way back.
  if (name === '' || encodeToken(name) !== token) {
    throw invalidArgument('The continuation token provided is incorrect', 'continuation-token');
  }
  return name;
}
