import type { Clock } from '../../core/clock.ts';
import { parsePresignedPayloadMode, unsignedPayload } from '../payload/payload-mode.ts';
import { S3Error } from '../s3-error.ts';
import type { AuthRequest } from './auth-request.ts';
import { type AuthorizationClaim, maxSkewMs } from './authorization-header.ts';
import { parseCredential } from './credential.ts';
import { algorithm } from './signature.ts';
import { formatSeconds, parseTimestamp, type SigningTime } from './signing-time.ts';
import type { QueryParameter } from './uri-encoding.ts';

/** A week, the longest that a presigned URL can live. */
const maxExpiresSeconds = 604_800;

/** What a presigned URL cannot do without. */
const requiredNames = [
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Signature',
  'X-Amz-Date',
  'X-Amz-SignedHeaders',
  'X-Amz-Expires',
] as const;
type RequiredName = (typeof requiredNames)[number];

/** Any of these makes a request a presigned one, complete or not. X-Amz-Date alone does not: it may be a hoisted header. */
export function isPresigned(query: readonly QueryParameter[]): boolean {
  return query.some(({ name }) => name !== 'X-Amz-Date' && requiredNames.includes(name as RequiredName));
}

/**
 * Reads the parameters of a presigned URL.
 * Source: AWS "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
 * @throws S3Error
 */
export function readPresignedQuery(
  request: AuthRequest,
  query: readonly QueryParameter[],
  context: { readonly region: string; readonly service?: string; readonly clock: Clock },
): AuthorizationClaim {
  const { parameters, hoistedHeaders } = separate(query);
  if (parameters['X-Amz-Algorithm'] !== algorithm) {
    throw invalid('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"');
  }
  const credential = parseCredential(parameters['X-Amz-Credential'], context.region, context.service);
  if ('problem' in credential) {
    throw invalid(`Error parsing the X-Amz-Credential parameter; ${credential.problem}`, credential.extra);
  }
  const time = parseTimestamp(parameters['X-Amz-Date']);
  if (!time) throw invalid(`X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`);
  if (!time.timestamp.startsWith(credential.date)) {
    throw invalid(
      `Invalid credential date "${credential.date}". This date is not the same as X-Amz-Date: "${time.timestamp.slice(0, 8)}".`,
    );
  }
  checkLifetime(time, parameters['X-Amz-Expires'], context.clock.now());
  const payloadHash = String(
    request.headers['x-amz-content-sha256'] ?? hoistedHeaders['x-amz-content-sha256'] ?? unsignedPayload,
  );
  return {
    credential,
    signedHeaders: parameters['X-Amz-SignedHeaders'].toLowerCase().split(';'),
    signature: parameters['X-Amz-Signature'],
    time,
    payloadHash,
    payloadMode: parsePresignedPayloadMode(payloadHash),
    hoistedHeaders,
  };
}

/** The parameters of the signature, and what else the client put into the URL that would be an x-amz-* header. */
function separate(query: readonly QueryParameter[]): {
  parameters: Record<RequiredName, string>;
  hoistedHeaders: Record<string, string>;
} {
  const parameters: Partial<Record<RequiredName, string>> = {};
  const hoistedHeaders: Record<string, string> = {};
  for (const { name, value } of query) {
    if (requiredNames.includes(name as RequiredName)) parameters[name as RequiredName] ??= decode(value);
    else if (name.toLowerCase().startsWith('x-amz-')) hoistedHeaders[decode(name).toLowerCase()] ??= decode(value);
  }
  if (requiredNames.some((name) => !parameters[name])) {
    throw invalid(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    );
  }
  return { parameters: parameters as Record<RequiredName, string>, hoistedHeaders };
}

/** As node:http would have given it in a header: one character a byte. */
function decode(canonical: string): string {
  return canonical.replace(/%([0-9A-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function checkLifetime(time: SigningTime, expires: string, now: number): void {
  if (!/^-?\d+$/.test(expires)) throw invalid('X-Amz-Expires should be a number');
  const seconds = Number(expires);
  if (seconds < 0) throw invalid('X-Amz-Expires must be non-negative');
  if (seconds > maxExpiresSeconds) {
    throw invalid(
      'X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds',
    );
  }
  if (time.ms > now + maxSkewMs) {
    throw new S3Error('AccessDenied', 'Request is not valid yet', {
      RequestTime: time.timestamp,
      ServerTime: formatSeconds(now),
    });
  }
  const expiresAtMs = time.ms + seconds * 1000;
  if (now > expiresAtMs) {
    throw new S3Error('AccessDenied', 'Request has expired', {
      'X-Amz-Expires': expires,
      Expires: formatSeconds(expiresAtMs),
      ServerTime: formatSeconds(now),
    });
  }
}

function invalid(message: string, extra?: Readonly<Record<string, string>>): S3Error {
  return new S3Error('AuthorizationQueryParametersError', message, extra);
}
