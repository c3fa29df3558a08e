import type { AuthRequest } from './auth-request.ts';
import { canonicalPath, type QueryParameter } from './uri-encoding.ts';

export interface CanonicalClaim {
  /** Canonical, in order, with the signature itself left out. */
  readonly query: readonly QueryParameter[];
  /** Lower-case names as the client lists them; one that is absent counts as empty. */
  readonly signedHeaders: readonly string[];
  /** The last line. */
  readonly payloadHash: string;
  /** Whether a header came more than once: `headers` does not tell then how, and the raw ones are looked at. */
  readonly hasRepeatedHeaders: boolean;
}

/**
 * The text whose digest is signed. It is Latin-1, as node:http reads headers: one character a byte of the request.
 *
 * Source: AWS "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".
 * @throws S3Error InvalidURI
 */
export function createCanonicalRequest(request: AuthRequest, claim: CanonicalClaim): string {
  const { query, signedHeaders, payloadHash, hasRepeatedHeaders } = claim;
  let text = `${request.method}\n${canonicalPath(request.rawPath)}\n`;
  for (let index = 0; index < query.length; index++) {
    const { name, value } = query[index]!;
    text += index === 0 ? `${name}=${value}` : `&${name}=${value}`;
  }
  if (hasRepeatedHeaders) {
    const values = collectValues(request.rawHeaders, signedHeaders);
    for (const name of signedHeaders) text += `\n${name}:${values.get(name) ?? ''}`;
  } else {
    for (const name of signedHeaders) text += `\n${name}:${trim(String(request.headers[name] ?? ''))}`;
  }
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
