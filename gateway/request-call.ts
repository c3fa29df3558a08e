import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Account, Bucket } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import type { Engine } from '../engine/engine.ts';
import type { Accounts } from './accounts.ts';
import type { Authentication } from './auth/authenticate.ts';
import type { Method, ObjectCall } from './operation.ts';
import { createPayload, type PayloadRequest } from './payload/create-payload.ts';
import { readSmallBody } from './payload/read-small-body.ts';
import type { IncomingRequest, S3HandlerParts } from './s3-handler.ts';

/** DeleteObjects and CompleteMultipartUpload carry the largest documents: 1,000 keys, 10,000 parts. */
const maxXmlBytes = 4 * 1024 * 1024;

/** An authenticated request as operations see it. One object a request; `bucket` and `key` are set once they are known. */
export class RequestCall implements ObjectCall {
  readonly query: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
  readonly caller: Account;
  bucketName = '';
  key = '';
  readonly #parts: S3HandlerParts;
  readonly #request: IncomingRequest;
  readonly #authentication: Authentication & { readonly kind: 'signed' };
  #bucket: Bucket | undefined;

  constructor(call: {
    readonly parts: S3HandlerParts;
    readonly request: IncomingRequest;
    /** With those that a presigned URL carries as parameters. */
    readonly headers: IncomingHttpHeaders;
    readonly query: ReadonlyMap<string, string>;
    readonly authentication: Authentication & { readonly kind: 'signed' };
  }) {
    this.#parts = call.parts;
    this.#request = call.request;
    this.#authentication = call.authentication;
    this.query = call.query;
    this.headers = call.headers;
    this.caller = call.authentication.account;
  }

  get requestId(): string {
    return this.#request.requestId;
  }

  get method(): Method {
    return this.#request.message.method as Method;
  }

  get engine(): Engine {
    return this.#parts.engine;
  }

  get accounts(): Accounts {
    return this.#parts.accounts;
  }

  get clock(): Clock {
    return this.#parts.clock;
  }

  get region(): string {
    return this.#parts.region;
  }

  get endpoint(): string {
    return `http://${this.headers.host ?? ''}`;
  }

  get storageClasses(): readonly string[] {
    return this.#parts.storageClasses;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  get bucket(): Bucket {
    if (this.#bucket === undefined) throw new Error('an operation looked at a bucket that it did not ask for');
    return this.#bucket;
  }

  set bucket(bucket: Bucket) {
    this.#bucket = bucket;
  }

  payload(): Payload {
    return createPayload(this.#source());
  }

  xmlBody({ checksumIsOf = 'body' }: { readonly checksumIsOf?: 'body' | 'object' } = {}): Promise<Uint8Array> {
    const checksums = checksumIsOf === 'body' ? 'verify' : 'ignore';
    return readSmallBody(createPayload({ ...this.#source(), checksums, lengthRequired: false }), maxXmlBytes);
  }

  #source(): PayloadRequest {
    const { body } = this.#request;
    const { headers } = this;
    return { body, headers, authentication: this.#authentication, idleTimeoutMs: this.#parts.bodyIdleMs };
  }
}
