import type { IncomingMessage } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Bucket } from '../core/model.ts';
import type { Engine } from '../engine/engine.ts';
import type { Accounts } from './accounts.ts';
import { type AuthContext, authenticate } from './auth/authenticate.ts';
import { AuthorizationMemo } from './auth/authorization-memo.ts';
import { SigningKeys } from './auth/signing-key.ts';
import { refuseEncryptionRequest } from './encryption-headers.ts';
import type { S3Response } from './operation.ts';
import type { FramedBody } from './payload/create-payload.ts';
import { RequestCall } from './request-call.ts';
import { parseRequestUrl } from './request-target.ts';
import type { Routed, Router } from './router.ts';
import { S3Error } from './s3-error.ts';

/** What the handler needs to serve S3, put together in `bin/`. */
export interface S3HandlerParts {
  readonly engine: Engine;
  readonly accounts: Accounts;
  readonly router: Router;
  readonly clock: Clock;
  readonly region: string;
  /** Suffix of virtual-host style names, where there is one. */
  readonly domain?: string | undefined;
  readonly storageClasses: readonly string[];
  /** How long a client may send nothing in the middle of a body. */
  readonly bodyIdleMs: number;
}

/** A request as it came from the socket. */
export interface IncomingRequest {
  readonly requestId: string;
  readonly message: IncomingMessage;
  /** Its bytes as framed. */
  readonly body: FramedBody;
  readonly signal: AbortSignal;
  /** Told as soon as it is known, for metrics and logs. */
  onOperation(name: string): void;
}

/** The way of every request: take the URL apart, route, authenticate, authorise, act. Errors are thrown; see the server. */
export class S3Handler {
  readonly #parts: S3HandlerParts;
  readonly #authContext: AuthContext;

  constructor(parts: S3HandlerParts) {
    const { accounts, region, clock } = parts;
    this.#parts = parts;
    this.#authContext = {
      findCredentials: (accessKeyId) => accounts.findByAccessKey(accessKeyId),
      region,
      clock,
      signingKeys: new SigningKeys({ maxKeys: 10_000 }),
      memo: new AuthorizationMemo({ maxHeaders: 10_000 }),
    };
  }

  /** Refusals come a turn later than the head, so that what the parser finds wrong with the same bytes comes first. */
  async handle(request: IncomingRequest): Promise<S3Response> {
    const { message } = request;
    const { router, domain, engine } = this.#parts;
    const method = message.method ?? '';
    const url = parseRequestUrl(message.url ?? '/', message.headers.host, domain);
    const { scope } = url.target;
    let routed = router.route(method, scope, url.query, message.headers);
    request.onOperation(operationName(routed));
    const authentication = authenticate(
      {
        method,
        rawPath: url.rawPath,
        rawQuery: url.rawQuery,
        headers: message.headers,
        rawHeaders: message.rawHeaders,
      },
      this.#authContext,
    );
    if (authentication.kind === 'anonymous') throw new S3Error('AccessDenied');
    let { headers } = message;
    if (hasAny(authentication.hoistedHeaders)) {
      headers = { ...headers, ...authentication.hoistedHeaders };
      routed = router.route(method, scope, url.query, headers);
      request.onOperation(operationName(routed));
    }
    if (routed.kind === 'refused') throw routed.error;
    if (!routed.operation.takesEncryption) refuseEncryptionRequest(headers);
    const call = new RequestCall({ parts: this.#parts, request, headers, query: url.query, authentication });
    const { operation } = routed;
    const { target } = url;
    if (target.scope !== 'service') {
      call.bucketName = target.bucket;
      if (target.scope === 'object') call.key = target.key;
      if (operation.access === 'bucket-owner') call.bucket = checkOwner(call, await engine.buckets.get(target.bucket));
    }
    return operation.handle(call as never);
  }
}

/** @throws S3Error AccessDenied unless the bucket is the caller's, and whose the client expects it to be */
function checkOwner({ headers, caller }: RequestCall, bucket: Bucket): Bucket {
  const expectedOwner = headers['x-amz-expected-bucket-owner'];
  if (bucket.ownerId !== caller.canonicalId) throw new S3Error('AccessDenied');
  if (expectedOwner !== undefined && expectedOwner !== caller.accountId) throw new S3Error('AccessDenied');
  return bucket;
}

/** The label of metrics and logs. */
function operationName(routed: Routed): string {
  return routed.kind === 'operation' ? routed.operation.name : 'Unsupported';
}

function hasAny(record: Readonly<Record<string, string>>): boolean {
  for (const _ in record) return true;
  return false;
}
