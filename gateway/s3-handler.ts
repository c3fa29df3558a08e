import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Account } from '../core/model.ts';
import type { Engine } from '../engine/engine.ts';
import type { Accounts } from './accounts.ts';
import { type Authentication, authenticate } from './auth/authenticate.ts';
import { SigningKeys } from './auth/signing-key.ts';
import type { BucketCall, Method, ObjectCall, Operation, S3Response, ServiceCall } from './operation.ts';
import { createPayload } from './payload/create-payload.ts';
import { readSmallBody } from './payload/read-small-body.ts';
import { type ParsedUrl, parseRequestUrl } from './request-target.ts';
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

/** A request as it came from the socket. `body` yields its bytes as framed. */
export interface IncomingRequest {
  readonly requestId: string;
  readonly message: IncomingMessage;
  readonly body: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** Told as soon as it is known, for metrics and logs. */
  onOperation(name: string): void;
}

/** DeleteObjects and CompleteMultipartUpload carry the largest documents: 1,000 keys, 10,000 parts. */
const maxXmlBytes = 4 * 1024 * 1024;

/** The way of every request: take the URL apart, route, authenticate, authorise, act. Errors are thrown; see the server. */
export class S3Handler {
  readonly #parts: S3HandlerParts;
  readonly #signingKeys = new SigningKeys({ maxKeys: 10_000 });

  constructor(parts: S3HandlerParts) {
    this.#parts = parts;
  }

  async handle(request: IncomingRequest): Promise<S3Response> {
    const { message } = request;
    const { router, domain } = this.#parts;
    const method = message.method ?? '';
    const url = parseRequestUrl(message.url ?? '/', message.headers.host, domain);
    const route = (headers: IncomingHttpHeaders): Routed => router.route(method, url.target.scope, url.query, headers);
    let routed = route(message.headers);
    request.onOperation(operationName(routed));
    const authentication = this.#authenticate(message, url);
    if (authentication.kind === 'anonymous') throw new S3Error('AccessDenied');
    const { hoistedHeaders } = authentication;
    const headers = { ...message.headers, ...hoistedHeaders };
    if (Object.keys(hoistedHeaders).length > 0) routed = route(headers);
    request.onOperation(operationName(routed));
    if (routed.kind === 'refused') throw routed.error;
    const call = this.#createCall(request, headers, url, authentication);
    return this.#dispatch(routed.operation, url, call, authentication.account);
  }

  #authenticate(message: IncomingMessage, { rawPath, rawQuery }: ParsedUrl): Authentication {
    const { accounts, region, clock } = this.#parts;
    const { method = '', headers, rawHeaders } = message;
    return authenticate(
      { method, rawPath, rawQuery, headers, rawHeaders },
      {
        findCredentials: (accessKeyId) => accounts.findByAccessKey(accessKeyId),
        region,
        clock,
        signingKeys: this.#signingKeys,
      },
    );
  }

  #createCall(
    request: IncomingRequest,
    headers: IncomingHttpHeaders,
    { query }: ParsedUrl,
    authentication: Authentication & { kind: 'signed' },
  ): ServiceCall {
    const { engine, accounts, clock, region, storageClasses, bodyIdleMs } = this.#parts;
    const { body, requestId, signal, message } = request;
    const source = { body, headers, authentication, idleTimeoutMs: bodyIdleMs };
    return {
      requestId,
      method: message.method as Method,
      query,
      headers,
      caller: authentication.account,
      engine,
      accounts,
      clock,
      region,
      endpoint: `http://${headers.host ?? ''}`,
      storageClasses,
      signal,
      payload: () => createPayload(source),
      xmlBody: ({ checksumIsOf = 'body' } = {}) => {
        const checksums = checksumIsOf === 'body' ? 'verify' : 'ignore';
        return readSmallBody(createPayload({ ...source, checksums, lengthRequired: false }), maxXmlBytes);
      },
    };
  }

  async #dispatch(
    operation: Operation,
    { target }: ParsedUrl,
    call: ServiceCall,
    caller: Account,
  ): Promise<S3Response> {
    if (target.scope === 'service') return operation.handle(call as never);
    if (operation.access === 'account') return operation.handle({ ...call, bucketName: target.bucket } as never);
    const bucket = await call.engine.buckets.get(target.bucket);
    const expectedOwner = call.headers['x-amz-expected-bucket-owner'];
    if (bucket.ownerId !== caller.canonicalId) throw new S3Error('AccessDenied');
    if (expectedOwner !== undefined && expectedOwner !== caller.accountId) throw new S3Error('AccessDenied');
    const bucketCall: BucketCall = { ...call, bucketName: target.bucket, bucket };
    if (target.scope === 'bucket') return operation.handle(bucketCall as never);
    return operation.handle({ ...bucketCall, key: target.key } satisfies ObjectCall as never);
  }
}

/** The label of metrics and logs. */
function operationName(routed: Routed): string {
  return routed.kind === 'operation' ? routed.operation.name : 'Unsupported';
}
