import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import type { AuthRequest } from '../../gateway/auth/auth-request.ts';
import { accessKeyId, region, secretAccessKey, signingDate } from './test-account.ts';

/** The hash that the signer asks for, on node:crypto. */
class NodeSha256 {
  readonly #secret: string | Uint8Array | undefined;
  #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret as string | Uint8Array | undefined;
    this.#hash = this.#create();
  }

  update(chunk: Uint8Array | string): void {
    this.#hash.update(chunk);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = this.#create();
  }

  #create(): Hash | Hmac {
    return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
  }
}

/** The signer of AWS's own SDK: the oracle of the tests. */
export function createSmithySigner(secret = secretAccessKey): SignatureV4 {
  return new SignatureV4({
    credentials: { accessKeyId, secretAccessKey: secret },
    region,
    service: 's3',
    sha256: NodeSha256 as never,
    uriEscapePath: false,
  });
}

export interface PlainRequest {
  readonly method: string;
  /** Percent-encoded, as the SDK sends it. */
  readonly path: string;
  readonly query: Record<string, string | string[] | null>;
  readonly headers: Record<string, string>;
  readonly body?: string;
}

const host = 'bucket.s3.example.com:9000';

/** Signs with an Authorization header. */
export async function signRequest(request: PlainRequest, secret?: string): Promise<AuthRequest> {
  const signed = await createSmithySigner(secret).sign(toHttpRequest(request), { signingDate });
  return toAuthRequest(signed as unknown as SignedRequest);
}

/** Signs with query parameters, as the SDK's S3 presigner does. */
export async function presignRequest(plain: PlainRequest, expiresIn: number, secret?: string): Promise<AuthRequest> {
  const request = { ...plain, headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', ...plain.headers } };
  const signed = await createSmithySigner(secret).presign(toHttpRequest(request), { signingDate, expiresIn });
  return toAuthRequest(signed as unknown as SignedRequest);
}

function toHttpRequest(request: PlainRequest): never {
  const { method, path, query, headers, body } = request;
  return { method, path, query, headers: { host, ...headers }, body, protocol: 'https:', hostname: host } as never;
}

interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: PlainRequest['query'];
  readonly headers: Record<string, string>;
}

function toAuthRequest(signed: SignedRequest): AuthRequest {
  return createAuthRequest({
    method: signed.method,
    rawPath: signed.path,
    rawQuery: formatQuery(signed.query ?? {}),
    headers: Object.entries(signed.headers),
  });
}

/** The request as it comes off the wire: header values are the bytes of UTF-8, one character each. */
export function createAuthRequest(request: {
  method: string;
  rawPath: string;
  rawQuery: string;
  headers: readonly (readonly [name: string, value: string])[];
}): AuthRequest {
  const { method, rawPath, rawQuery } = request;
  const rawHeaders: string[] = [];
  const headers: Record<string, string> = {};
  for (const [name, text] of request.headers) {
    const value = Buffer.from(text)
      .toString('latin1')
      .replace(/^[ \t]+|[ \t]+$/g, '');
    rawHeaders.push(name, value);
    const lower = name.toLowerCase();
    headers[lower] = headers[lower] === undefined ? value : `${headers[lower]}, ${value}`;
  }
  return { method, rawPath, rawQuery, headers, rawHeaders };
}

export function formatQuery(query: PlainRequest['query']): string {
  return Object.entries(query)
    .flatMap(([name, value]) => (Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]]))
    .map(([name, value]) =>
      value === null ? encodeURIComponent(name!) : `${encodeURIComponent(name!)}=${encodeURIComponent(value!)}`,
    )
    .join('&');
}
