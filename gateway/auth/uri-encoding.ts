import { S3Error } from '../s3-error.ts';

/**
 * One spelling for every way of percent-encoding the same bytes, by decoding and encoding each byte once, as S3 does
 * before it checks a signature: clients differ in what they escape and in the case of hexadecimal digits.
 * Source: AWS "Signature Calculations for the Authorization Header", UriEncode().
 */

/** A decoded and canonically encoded query parameter. */
export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

const unreserved = /^[A-Za-z0-9\-._~]*$/;
const unreservedPath = /^[A-Za-z0-9\-._~/]*$/;

/** The canonical spelling of each byte. */
const spellings: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return unreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

/**
 * A path with nothing normalised: empty, `.` and `..` segments are parts of a key.
 * @throws S3Error InvalidURI
 */
export function canonicalPath(rawPath: string): string {
  return unreservedPath.test(rawPath) ? rawPath : recode(rawPath, '/', '+');
}

/**
 * All parameters in canonical order: by name, then by value. A parameter without `=` has an empty value, and a raw `+`
 * is a space (S3 accepts what HTML forms and URLSearchParams make of one).
 * @throws S3Error InvalidURI
 */
export function parseCanonicalQuery(rawQuery: string): QueryParameter[] {
  const parameters: QueryParameter[] = [];
  if (rawQuery === '') return parameters;
  for (const pair of rawQuery.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    parameters.push({
      name: recodeQuery(equals < 0 ? pair : pair.slice(0, equals)),
      value: equals < 0 ? '' : recodeQuery(pair.slice(equals + 1)),
    });
  }
  return parameters.sort((a, b) => compare(a.name, b.name) || compare(a.value, b.value));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function recodeQuery(raw: string): string {
  return unreserved.test(raw) ? raw : recode(raw, '%2F', ' ');
}

function recode(raw: string, slash: string, plus: '+' | ' '): string {
  const plusByte = plus.charCodeAt(0);
  let text = '';
  for (let index = 0; index < raw.length; index++) {
    let byte = raw.charCodeAt(index);
    if (byte === 0x25) {
      byte = parseEscape(raw, index);
      index += 2;
    } else if (byte === 0x2b) {
      byte = plusByte;
    }
    // Beyond a byte: cannot come out of a request line, but must not be mistaken for another character.
    if (byte > 255) throw new S3Error('InvalidURI', undefined, { URI: raw });
    text += byte === 0x2f ? slash : spellings[byte];
  }
  return text;
}

function parseEscape(raw: string, index: number): number {
  const digits = raw.slice(index + 1, index + 3);
  if (!/^[0-9a-f]{2}$/i.test(digits)) throw new S3Error('InvalidURI', undefined, { URI: raw });
  return Number.parseInt(digits, 16);
}
