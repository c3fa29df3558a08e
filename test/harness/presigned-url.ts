import { createHash, createHmac } from 'node:crypto';
import { rootKey } from './gateway.ts';

export interface Presigning {
  readonly method?: string;
  /** Encoded as SigV4 wants. */
  readonly path: string;
  readonly host: string;
  /** Further parameters, decoded. */
  readonly query?: Readonly<Record<string, string>>;
  /** Headers that the signature covers beside `host`, in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly expiresS?: number | string;
  readonly nowMs?: number;
  readonly region?: string;
  readonly key?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/**
 * Path and query of a presigned request, made by hand; shares no code with the gateway.
 * Source: AWS "Authenticating Requests: Using Query Parameters".
 */
export function presignPath(request: Presigning): string {
  const { method = 'GET', path, host, headers = {}, expiresS = 60, region = 'us-east-1', key = rootKey } = request;
  const timestamp = new Date(request.nowMs ?? Date.now()).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const scope = `${timestamp.slice(0, 8)}/${region}/s3/aws4_request`;
  const signed: Record<string, string> = { host, ...headers };
  const names = Object.keys(signed).toSorted();
  const parameters: Record<string, string> = {
    ...request.query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${key.accessKeyId}/${scope}`,
    'X-Amz-Date': timestamp,
    'X-Amz-Expires': String(expiresS),
    'X-Amz-SignedHeaders': names.join(';'),
  };
  const query = Object.entries(parameters)
    .toSorted(([a], [b]) => (encode(a) < encode(b) ? -1 : 1))
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
  const canonical = [
    method,
    path,
    query,
    ...names.map((name) => `${name}:${signed[name]}`),
    '',
    names.join(';'),
    'UNSIGNED-PAYLOAD',
  ].join('\n');
  const digest = createHash('sha256').update(canonical).digest('hex');
  const signingKey = scope
    .split('/')
    .reduce<Buffer>(
      (secret, text) => createHmac('sha256', secret).update(text).digest(),
      Buffer.from(`AWS4${key.secretAccessKey}`),
    );
  const signature = createHmac('sha256', signingKey)
    .update(['AWS4-HMAC-SHA256', timestamp, scope, digest].join('\n'))
    .digest('hex');
  return `${path}?${query}&X-Amz-Signature=${signature}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
