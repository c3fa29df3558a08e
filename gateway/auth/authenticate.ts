import type { Clock } from '../../core/clock.ts';
import type { Account } from '../../core/model.ts';
import { type PayloadMode, parsePayloadMode } from '../payload/payload-mode.ts';
import { S3Error } from '../s3-error.ts';
import type { AuthRequest } from './auth-request.ts';
import { type AuthorizationClaim, readAuthorizationHeader, unsupportedMechanism } from './authorization-header.ts';
import type { AuthorizationMemo } from './authorization-memo.ts';
import { createCanonicalRequest } from './canonical-request.ts';
import { isPresigned, readPresignedQuery } from './presigned-query.ts';
import { checkRequestSignature, type SignatureSeed } from './signature.ts';
import type { SigningKeys } from './signing-key.ts';
import { parseCanonicalQuery, type QueryParameter } from './uri-encoding.ts';

export interface AuthContext {
  findCredentials(accessKeyId: string): { readonly secretAccessKey: string; readonly account: Account } | undefined;
  /** The only region in whose scope requests are valid. */
  readonly region: string;
  /** The service in whose scope requests are valid; `s3` unless given. */
  readonly service?: string;
  readonly clock: Clock;
  readonly signingKeys: SigningKeys;
  readonly memo: AuthorizationMemo;
}

/** Who sent a request, and how its body is framed and vouched for. */
export type Authentication =
  | { readonly kind: 'anonymous'; readonly payloadMode: PayloadMode }
  | {
      readonly kind: 'signed';
      readonly account: Account;
      readonly accessKeyId: string;
      readonly payloadMode: PayloadMode;
      readonly seed: SignatureSeed;
      /**
       * Headers that a presigned URL carries as query parameters, by lower-case name. S3 takes them as if they had come
       * as headers. Empty for a request with an Authorization header.
       */
      readonly hoistedHeaders: Readonly<Record<string, string>>;
    };

/**
 * Verifies Signature Version 4, in an Authorization header or in a presigned URL. The body is not touched: what vouches
 * for it is checked as it is read.
 *
 * Source: AWS "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference.
 * @throws S3Error with the code, message and details that AWS gives
 */
export function authenticate(request: AuthRequest, context: AuthContext): Authentication {
  const query = parseCanonicalQuery(request.rawQuery);
  const header = request.headers.authorization;
  const presigned = isPresigned(query);
  const isVersion2 = query.some(({ name }) => version2Names.has(name));
  if (header !== undefined && (presigned || isVersion2)) throw twoMechanisms(header);
  if (header !== undefined) return verify(request, query, readAuthorizationHeader(request, header, context), context);
  if (presigned) return verify(request, query, readPresignedQuery(request, query, context), context);
  if (isVersion2) throw unsupportedMechanism();
  const hash = request.headers['x-amz-content-sha256'];
  return { kind: 'anonymous', payloadMode: hash === undefined ? { kind: 'unsigned' } : parsePayloadMode(String(hash)) };
}

const version2Names: ReadonlySet<string> = new Set(['AWSAccessKeyId', 'Signature']);

function verify(
  request: AuthRequest,
  query: readonly QueryParameter[],
  claim: AuthorizationClaim,
  context: AuthContext,
): Authentication {
  const { credential, signedHeaders, signature, payloadHash, payloadMode, hoistedHeaders } = claim;
  const { accessKeyId } = credential;
  const known = context.findCredentials(accessKeyId);
  if (!known) throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKeyId });
  refuseSessionToken(request, hoistedHeaders);
  const headerCount = refuseUnsignedHeaders(request, signedHeaders);
  const signed = query.length === 0 ? query : query.filter(({ name }) => name !== 'X-Amz-Signature');
  const seed: SignatureSeed = {
    accessKeyId,
    signature,
    signingKey: context.signingKeys.get(accessKeyId, known.secretAccessKey, credential),
    timestamp: claim.time.timestamp,
    scope: credential.scope,
    canonicalRequest: createCanonicalRequest(request, {
      query: signed,
      signedHeaders,
      payloadHash,
      hasRepeatedHeaders: request.rawHeaders.length !== 2 * headerCount,
    }),
  };
  checkRequestSignature(seed);
  return { kind: 'signed', account: known.account, accessKeyId, payloadMode, seed, hoistedHeaders };
}

/**
 * Whatever changes what a request does must be signed: the host, every x-amz-* header and Content-MD5. Not so
 * x-amz-content-sha256, which the signature covers in any case. Source: AWS "Signature Calculations for the
 * Authorization Header", CanonicalHeaders.
 *
 * @returns how many different headers there are
 */
function refuseUnsignedHeaders(request: AuthRequest, signedHeaders: readonly string[]): number {
  const unsigned = signedHeaders.includes('host') ? [] : ['host'];
  let headerCount = 0;
  for (const name in request.headers) {
    headerCount++;
    if (!name.startsWith('x-amz-') && name !== 'content-md5') continue;
    if (name !== 'x-amz-content-sha256' && !signedHeaders.includes(name)) unsigned.push(name);
  }
  if (unsigned.length === 0) return headerCount;
  throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
    HeadersNotSigned: unsigned.join(', '),
  });
}

/** Long-lived access keys have no session: a token beside one belongs to another key, and AWS says so. */
function refuseSessionToken(request: AuthRequest, hoistedHeaders: Readonly<Record<string, string>>): void {
  const token = request.headers['x-amz-security-token'] ?? hoistedHeaders['x-amz-security-token'];
  if (token === undefined || token === '') return;
  throw new S3Error('InvalidToken', 'The provided token is malformed or otherwise invalid.', {
    'Token-0': String(token),
  });
}

function twoMechanisms(header: string): S3Error {
  return new S3Error(
    'InvalidArgument',
    'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified',
    { ArgumentName: 'Authorization', ArgumentValue: header },
  );
}
