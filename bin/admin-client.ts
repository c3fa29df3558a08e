import { createHash, createHmac } from 'node:crypto';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { adminService } from '../gateway/admin/admin-handler.ts';
import { deriveSigningKey } from '../gateway/auth/signing-key.ts';

export interface AdminEndpoint {
  /** Such as `http://127.0.0.1:9001`. */
  readonly url: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The gateway refused what was asked for, or could not be asked. */
export class AdminFailure extends Error {
  readonly faults: readonly string[];

  constructor(message: string, faults: readonly string[] = []) {
    super(message);
    this.name = 'AdminFailure';
    this.faults = faults;
  }
}

const timeoutMs = 120_000;
const maxAnswerBytes = 64 * 2 ** 20;

/**
 * Asks the admin API of a gateway.
 *
 * @param target path and query, encoded
 * @returns what the answer's JSON says
 * @throws AdminFailure
 */
export async function askAdmin(
  endpoint: AdminEndpoint,
  method: string,
  target: string,
  body?: unknown,
): Promise<unknown> {
  const url = URL.parse(target, endpoint.url);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new AdminFailure(`${endpoint.url} is no HTTP endpoint`);
  const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
  const headers = {
    ...sign(endpoint, method, url, bytes),
    ...(bytes.length > 0 && { 'content-type': 'application/json' }),
  };
  const { status, text } = await send(url, method, headers, bytes);
  const answer = parseAnswer(text);
  if (status === 200) return answer;
  const { code, message, faults } = (answer ?? {}) as { code?: string; message?: string; faults?: string[] };
  throw new AdminFailure(message ?? `${endpoint.url} answered with status ${status}${code ? ` ${code}` : ''}`, faults);
}

/** Source: AWS "Create a signed AWS API request". */
function sign(
  { region, accessKeyId, secretAccessKey }: AdminEndpoint,
  method: string,
  url: URL,
  body: Buffer,
): Record<string, string> {
  const timestamp = new Date().toISOString().replace(/[:-]|\.\d{3}/g, '');
  const date = timestamp.slice(0, 8);
  const digest = sha256(body);
  const signed = { host: url.host, 'x-amz-content-sha256': digest, 'x-amz-date': timestamp };
  const names = Object.keys(signed).join(';');
  const query = [...url.searchParams]
    .map((pair) => pair.map(encodeURIComponent).join('='))
    .sort()
    .join('&');
  const lines = Object.entries(signed).map(([name, value]) => `${name}:${value}`);
  const canonical = [method, url.pathname, query, ...lines, '', names, digest].join('\n');
  const scope = `${date}/${region}/${adminService}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', timestamp, scope, sha256(Buffer.from(canonical))].join('\n');
  const key = deriveSigningKey(secretAccessKey, { date, region, service: adminService });
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...signed, authorization };
}

function send(
  url: URL,
  method: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ readonly status: number; readonly text: string }> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const fail = (error: Error & { code?: string }): void => {
      const hint = error.code === 'ECONNREFUSED' ? ': does the gateway run, and is this its admin listener?' : '';
      reject(new AdminFailure(`${url.origin} cannot be asked: ${error.message || error.code}${hint}`));
    };
    const sent = request(
      url,
      { method, headers: { ...headers, 'content-length': body.length }, timeout: timeoutMs },
      (answer) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > maxAnswerBytes) sent.destroy(new Error('the answer does not end'));
          else chunks.push(chunk);
        });
        answer.on('error', fail);
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', fail);
    sent.end(body);
  });
}

function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
