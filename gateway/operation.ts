import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Account, Bucket } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import type { Engine, WholeRead } from '../engine/engine.ts';
import type { Accounts } from './accounts.ts';
import type { Scope } from './request-target.ts';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

/** What an operation answers; only the server writes to the socket. Headers that are undefined are left out. */
export interface S3Response {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /**
   * The server asks a stream for its first chunk before it sends the status, so that an early error is still a clean one. What was
   * read whole is released once it was sent.
   */
  readonly body?: string | Uint8Array | WholeRead | AsyncIterable<Uint8Array>;
}

/** What every operation is given: an authenticated request, and the parts that it acts on. */
export interface ServiceCall {
  readonly requestId: string;
  readonly method: Method;
  readonly query: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
  readonly caller: Account;
  readonly engine: Engine;
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly region: string;
  /** Base of URLs in answers, as the client addressed us, such as `http://127.0.0.1:9000`. */
  readonly endpoint: string;
  /** Names that x-amz-storage-class may have. */
  readonly storageClasses: readonly string[];
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** The body with its framing taken off. To be called at most once. @throws S3Error on bad headers */
  payload(): Payload;
  /**
   * The body of a request that holds XML; digests verified. Where the x-amz-checksum headers speak of an `object` that
   * the request is about, they are left to the operation.
   * @throws S3Error
   */
  xmlBody(options?: { readonly checksumIsOf?: 'body' | 'object' }): Promise<Uint8Array>;
}

export interface BucketCall extends ServiceCall {
  readonly bucketName: string;
  /** The bucket, which the caller owns. */
  readonly bucket: Bucket;
}

export interface ObjectCall extends BucketCall {
  readonly key: string;
}

/** Who may call an operation. `bucket-owner`: the bucket exists and is the caller's; `account`: any signed caller. */
export type Access = 'account' | 'bucket-owner';

/** One row of the operation table. */
export interface Operation {
  /** The name AWS gives it; the label in metrics and logs. */
  readonly name: string;
  readonly method: Method;
  readonly scope: Scope;
  /** Query parameters that must be there: with any value (true), or with this one. */
  readonly query: Readonly<Record<string, string | true>>;
  /** Headers that must be there. */
  readonly headers: readonly string[];
  readonly access: Access;
  /** Whether x-amz-server-side-encryption may come with it: what makes an object. */
  readonly takesEncryption?: boolean;
  readonly handle: (call: never) => Promise<S3Response>;
}

interface Row<Call> {
  readonly name: string;
  readonly method: Method;
  readonly query?: Readonly<Record<string, string | true>>;
  readonly headers?: readonly string[];
  readonly takesEncryption?: boolean;
  readonly handle: (call: Call) => Promise<S3Response>;
}

export function serviceOperation(row: Row<ServiceCall>): Operation {
  return { query: {}, headers: [], ...row, scope: 'service', access: 'account' };
}

/** An operation on a bucket that exists and belongs to the caller. */
export function bucketOperation(row: Row<BucketCall>): Operation {
  return { query: {}, headers: [], ...row, scope: 'bucket', access: 'bucket-owner' };
}

/** CreateBucket: the bucket need not exist, so `call.bucketName` is all there is of it. */
export function newBucketOperation(row: Row<Omit<BucketCall, 'bucket'>>): Operation {
  return { query: {}, headers: [], ...row, scope: 'bucket', access: 'account' };
}

/** An operation on a key of a bucket that exists and belongs to the caller. */
export function objectOperation(row: Row<ObjectCall>): Operation {
  return { query: {}, headers: [], ...row, scope: 'object', access: 'bucket-owner' };
}
