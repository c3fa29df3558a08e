import type { AuthRequest } from './auth-request.ts';
import { canonicalPath, type QueryParameter } from './uri-encoding.ts';

/**
 * The text whose digest is signed. It is Latin-1, as node:http reads headers: one character a byte of the request.
 *
 * Source: AWS "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
 * @param query canonical, in order, with the signature itself left out
 * @param signedHeaders lower-case names as the client lists them; one that is absent counts as empty
 * @throws S3Error InvalidURI
 */
export function createCanonicalRequest(
  request: AuthRequest,
  query: readonly QueryParameter[],
  signedHeaders: readonly string[],
  payloadHash: string,
): string {
  let text = `${request.method}\n${canonicalPath(request.rawPath)}\n`;
  for (let index = 0; index < query.length; index++) {
    const { name, value } = query[index]!;
    text += index === 0 ? `${name}=${value}` : `&${name}=${value}`;
  }
  const values = collectValues(request.rawHeaders, signedHeaders);
  for (const name of signedHeaders) text += `\n${name}:${values.get(name) ?? ''}`;
  return `${text}\n\n${signedHeaders.join(';')}\n${payloadHash}`;
}

/** Trimmed values by lower-case name; those of a repeated header joined by commas in the order they came. */
function collectValues(rawHeaders: readonly string[], names: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!names.includes(name)) continue;
    const value = trim(rawHeaders[index + 1]!);
    const earlier = values.get(name);
    values.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  return values;
}

/** Not String.trim() or \s: in Latin-1 they would eat the byte 0xA0 of a UTF-8 sequence. */
function trim(value: string): string {
  if (!value.includes(' ') && !value.includes('\t')) return value;
  const single = value.replace(/[ \t]+/g, ' ');
  return single.slice(Number(single.startsWith(' ')), single.endsWith(' ') ? -1 : undefined);
}
