import type { Clock } from '../../core/clock.ts';
import { type PayloadMode, parsePayloadMode } from '../payload/payload-mode.ts';
import { S3Error } from '../s3-error.ts';
import type { AuthRequest } from './auth-request.ts';
import type { AuthorizationMemo, ParsedAuthorization } from './authorization-memo.ts';
import { type Credential, parseCredential } from './credential.ts';
import { algorithm } from './signature.ts';
import { formatSeconds, parseDateHeader, type SigningTime } from './signing-time.ts';

/** What a request claims of itself before the signature is checked. */
export interface AuthorizationClaim {
  readonly credential: Credential;
  /** Lower case, in the client's order. */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly time: SigningTime;
  /** The last line of the canonical request. */
  readonly payloadHash: string;
  readonly payloadMode: PayloadMode;
  readonly hoistedHeaders: Readonly<Record<string, string>>;
}

export const maxSkewMs = 15 * 60 * 1000;

/**
 * Reads an Authorization header and what belongs to it.
 * @throws S3Error
 */
export function readAuthorizationHeader(
  request: AuthRequest,
  authorization: string,
  context: {
    readonly region: string;
    readonly service?: string;
    readonly clock: Clock;
    readonly memo: AuthorizationMemo;
  },
): AuthorizationClaim {
  const { credential, signedHeaders, signature } = takeApart(authorization, context);
  const time = readSigningTime(request, context.memo);
  if (!time.timestamp.startsWith(credential.date)) {
    throw malformed(
      `Invalid credential date "${credential.date}". This date is not the same as X-Amz-Date: "${time.timestamp.slice(0, 8)}".`,
    );
  }
  checkSkew(time, context.clock.now());
  const payloadHash = request.headers['x-amz-content-sha256'];
  if (payloadHash === undefined) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  return {
    credential,
    signedHeaders,
    signature,
    time,
    payloadHash: String(payloadHash),
    payloadMode: parsePayloadMode(String(payloadHash)),
    hoistedHeaders: {},
  };
}

const signatureDigits = /^[0-9a-f]{64}$/;
const signatureLength = 64;

function takeApart(
  authorization: string,
  { region, service, memo }: { readonly region: string; readonly service?: string; readonly memo: AuthorizationMemo },
): ParsedAuthorization & { readonly signature: string } {
  // The signature stands last with every known client; then what comes before is the same for many requests.
  const digitsAt = authorization.length - signatureLength;
  const digits = authorization.slice(digitsAt);
  const endsInSignature = authorization.endsWith('Signature=', digitsAt) && signatureDigits.test(digits);
  const prefix = endsInSignature ? authorization.slice(0, digitsAt) : '';
  const known = endsInSignature ? memo.find(prefix) : undefined;
  if (known) return { credential: known.credential, signedHeaders: known.signedHeaders, signature: digits };
  const { Credential, SignedHeaders, Signature: signature } = parseComponents(authorization);
  const credential = parseCredential(Credential, region, service);
  if ('problem' in credential) throw malformed(credential.problem, credential.extra);
  const signedHeaders = SignedHeaders.toLowerCase().split(';');
  if (endsInSignature) memo.keep(prefix, { credential, signedHeaders });
  return { credential, signedHeaders, signature };
}

const componentNames = ['Credential', 'SignedHeaders', 'Signature'] as const;

/** `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`, in any order. */
function parseComponents(authorization: string): Record<(typeof componentNames)[number], string> {
  const space = authorization.indexOf(' ');
  const mechanism = authorization.slice(0, space);
  if (space < 0) {
    throw invalidHeader("Authorization header is invalid -- one and only one ' ' (space) required", authorization);
  }
  if (mechanism === 'AWS' || mechanism === 'AWS4-ECDSA-P256-SHA256') throw unsupportedMechanism();
  if (mechanism !== algorithm) throw invalidHeader('Unsupported Authorization Type', authorization);
  const components = new Map<string, string>();
  for (const part of authorization.slice(space + 1).split(',')) {
    const component = part.trim();
    const equals = component.indexOf('=');
    if (equals <= 0) throw malformed(`the authorization component "${component}" is malformed.`);
    components.set(component.slice(0, equals), component.slice(equals + 1));
  }
  if (components.size !== componentNames.length) {
    throw malformed('the authorization header requires three components: Credential, SignedHeaders, and Signature.');
  }
  const [Credential, SignedHeaders, Signature] = componentNames.map((name) => {
    const value = components.get(name);
    if (!value) throw malformed(`missing ${name}.`);
    return value;
  }) as [string, string, string];
  return { Credential, SignedHeaders, Signature };
}

function readSigningTime({ headers }: AuthRequest, memo: AuthorizationMemo): SigningTime {
  const amzDate = headers['x-amz-date'];
  const time =
    amzDate === undefined ? headers.date && parseDateHeader(headers.date) : memo.parseTimestamp(String(amzDate).trim());
  if (!time) throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  return time;
}

function checkSkew(time: SigningTime, now: number): void {
  if (Math.abs(now - time.ms) <= maxSkewMs) return;
  throw new S3Error('RequestTimeTooSkewed', undefined, {
    RequestTime: time.timestamp,
    ServerTime: formatSeconds(now),
    MaxAllowedSkewMilliseconds: String(maxSkewMs),
  });
}

/** For everything that is a signature, but not version 4 with HMAC. */
export function unsupportedMechanism(): S3Error {
  return new S3Error(
    'InvalidRequest',
    'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.',
  );
}

function invalidHeader(message: string, value: string): S3Error {
  return new S3Error('InvalidArgument', message, { ArgumentName: 'Authorization', ArgumentValue: value });
}

function malformed(problem: string, extra?: Readonly<Record<string, string>>): S3Error {
  return new S3Error('AuthorizationHeaderMalformed', `The authorization header is malformed; ${problem}`, extra);
}
