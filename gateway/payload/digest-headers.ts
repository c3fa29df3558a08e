import type { IncomingHttpHeaders } from 'node:http';
import { checksumHeader, isChecksumValue } from '../../core/checksums.ts';
import { type ChecksumAlgorithm, checksumAlgorithms } from '../../core/model.ts';
import type { DeclaredDigests } from '../../core/payload.ts';
import { parseChecksumAlgorithm } from '../checksum-algorithm.ts';
import { S3Error } from '../s3-error.ts';

/** What the headers say about the digests of a body. */
export interface DigestHeaders {
  readonly md5: string | undefined;
  /** To be computed, whether or not a value comes. */
  readonly algorithm: ChecksumAlgorithm | undefined;
  /** From a header. */
  readonly checksum: DeclaredDigests['checksum'];
  /** The value of `algorithm` is to come in a trailer. */
  readonly inTrailer: boolean;
}

/** x-amz-checksum-* headers that are about checksums and hold none. */
const otherHeaders: ReadonlySet<string> = new Set([
  'x-amz-checksum-algorithm',
  'x-amz-checksum-type',
  'x-amz-checksum-mode',
]);

/**
 * Reads Content-MD5, x-amz-checksum-*, x-amz-trailer and the headers that only name an algorithm, in AWS's order of
 * checks.
 * @param takesTrailers whether the framing of the body has room for trailers
 * @throws S3Error InvalidDigest, InvalidRequest, MalformedTrailerError
 */
export function parseDigestHeaders(headers: IncomingHttpHeaders, takesTrailers: boolean): DigestHeaders {
  const md5 = parseMd5(headers['content-md5'] as string | undefined);
  const names: string[] = [];
  for (const name in headers) if (name.startsWith('x-amz-checksum-') && !otherHeaders.has(name)) names.push(name);
  const trailers = parseTrailerNames(headers['x-amz-trailer']);
  if (names.length > 1 || trailers.length > 1) {
    throw invalid('Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.');
  }
  const [name] = names;
  const [trailer] = trailers;
  if (name !== undefined && trailer !== undefined) throw invalid('Expecting a single x-amz-checksum- header');
  if (trailer !== undefined && !takesTrailers) throw new S3Error('MalformedTrailerError');
  const carried = trailer ?? (name === undefined ? undefined : algorithmOfHeader(name));
  const named = parseChecksumAlgorithm(headers['x-amz-sdk-checksum-algorithm'] as string | undefined);
  if (carried && named && carried !== named) throw invalid('Value for x-amz-sdk-checksum-algorithm header is invalid.');
  const algorithm =
    carried ?? named ?? parseChecksumAlgorithm(headers['x-amz-checksum-algorithm'] as string | undefined);
  const checksum = name === undefined || !carried ? undefined : parseValue(carried, String(headers[name]), 'header');
  return { md5, algorithm, checksum, inTrailer: trailer !== undefined };
}

/**
 * Reads the value of a checksum trailer.
 * @throws S3Error InvalidRequest
 */
export function parseChecksumTrailer(algorithm: ChecksumAlgorithm, value: string): DeclaredDigests['checksum'] {
  return parseValue(algorithm, value, 'trailing header');
}

function parseMd5(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length === 16 && bytes.toString('base64') === value) return value;
  throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.', { 'Content-MD5': value });
}

/** The algorithms whose values the trailers will bring. Like AWS, commas at the end are nothing, elsewhere a mistake. */
function parseTrailerNames(value: string | string[] | undefined): ChecksumAlgorithm[] {
  if (value === undefined) return [];
  const items = String(value).trim().toLowerCase().split(',');
  while (items.length > 1 && items.at(-1) === '') items.pop();
  return items.map((item) => {
    const found = checksumAlgorithms.find((algorithm) => checksumHeader(algorithm) === item.trim());
    if (!found) throw invalid('The value specified in the x-amz-trailer header is not supported');
    return found;
  });
}

function algorithmOfHeader(name: string): ChecksumAlgorithm {
  const found = checksumAlgorithms.find((algorithm) => checksumHeader(algorithm) === name);
  if (!found) throw invalid('The algorithm type you specified in x-amz-checksum- header is invalid.');
  return found;
}

function parseValue(algorithm: ChecksumAlgorithm, value: string, place: string): DeclaredDigests['checksum'] {
  if (isChecksumValue(algorithm, value)) return { algorithm, value };
  throw invalid(`Value for ${checksumHeader(algorithm)} ${place} is invalid.`);
}

function invalid(message: string): S3Error {
  return new S3Error('InvalidRequest', message);
}
