import { createHash, createHmac } from 'node:crypto';
import { request } from 'node:http';

export interface SignedRequest {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Goes into x-amz-content-sha256 in place of the body's digest. */
  readonly payloadHash?: string;
  /** Signs as of this time. */
  readonly nowMs?: number;
}

export interface SignedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly text: string;
}

export type SignedFetch = (method: string, pathAndQuery: string, options?: SignedRequest) => Promise<SignedAnswer>;

interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/**
 * A client that sends exactly what it is told, path included, with a SigV4 signature of its own making: it shares no
 * code with the gateway. Source: AWS "Create a signed AWS API request".
 */
export function createSignedFetch(endpoint: string, key: Key, region: string, service = 's3'): SignedFetch {
  const { host, hostname, port } = new URL(endpoint);
  return (method, pathAndQuery, options = {}) => {
    const body = typeof options.body === 'string' ? Buffer.from(options.body) : options.body;
    const headers = signHeaders({ method, pathAndQuery, host, region, service, key, body, options });
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          hostname,
          port,
          method,
          path: pathAndQuery,
          headers: { ...headers, ...(body && { 'content-length': body.length }) },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            const whole = Buffer.concat(chunks);
            resolve({
              status: answer.statusCode ?? 0,
              headers: toHeaders(answer.headers),
              body: whole,
              // Decoded only where it is looked at: for a long body that takes longer than to receive it.
              get text() {
                return whole.toString();
              },
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  };
}

function toHeaders(raw: NodeJS.Dict<string | string[]>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) headers.set(name, String(value));
  return headers;
}

/** The headers of a signed request, `authorization` among them. Exported for tests that speak over raw sockets. */
export function signHeaders(input: {
  method: string;
  pathAndQuery: string;
  host: string;
  region: string;
  service?: string;
  key: Key;
  body?: Uint8Array | undefined;
  options?: SignedRequest;
}): Record<string, string> {
  const { method, pathAndQuery, host, region, service = 's3', key, body, options = {} } = input;
  const timestamp = new Date(options.nowMs ?? Date.now()).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const payloadHash = options.payloadHash ?? sha256(body ?? '');
  const headers: Record<string, string> = {
    host,
    'x-amz-date': timestamp,
    'x-amz-content-sha256': payloadHash,
    ...lowerCased(options.headers),
  };
  const names = Object.keys(headers).toSorted();
  const [path = '/', query = ''] = pathAndQuery.split(/\?(.*)/s);
  const canonical = [
    method,
    path,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headers[name]?.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    payloadHash,
  ].join('\n');
  const scope = `${timestamp.slice(0, 8)}/${region}/${service}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, sha256(canonical)].join('\n');
  const signingKey = [timestamp.slice(0, 8), region, service, 'aws4_request'].reduce<Buffer>(
    (secret, text) => createHmac('sha256', secret).update(text).digest(),
    Buffer.from(`AWS4${key.secretAccessKey}`),
  );
  const signature = createHmac('sha256', signingKey).update(toSign).digest('hex');
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return headers;
}

function lowerCased(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** The query as the client encoded it, sorted; it must already be encoded as SigV4 wants. */
function canonicalQuery(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
    .toSorted((a, b) => (sortName(a) < sortName(b) ? -1 : 1))
    .join('&');
}

/** By name before value: `=` must come before every character that a name may go on with. */
function sortName(pair: string): string {
  return pair.replace('=', '\0');
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}
