import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { z } from 'zod';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { Accounts } from '../accounts.ts';
import { type AuthContext, authenticate } from '../auth/authenticate.ts';
import { AuthorizationMemo } from '../auth/authorization-memo.ts';
import { SigningKeys } from '../auth/signing-key.ts';
import { RequestIds } from '../request-id.ts';
import { AdminError, toAdminError } from './admin-error.ts';
import type { AdminParts, AdminRoute } from './admin-route.ts';
import { describeApi } from './open-api.ts';
import { openApiRoute } from './open-api-route.ts';

/** The service in whose scope requests are signed: a signature for S3 is none for the admin API, nor the other way round. */
export const adminService = 'holdfast-admin';

const maxBodyBytes = 64 * 1024;
const bodyTimeoutMs = 30_000;

export interface AdminHandlerParts extends AdminParts {
  readonly routes: readonly AdminRoute[];
  readonly accounts: Accounts;
  /** Whoever may use the API: the canonical id of the root account. */
  readonly rootId: string;
  readonly region: string;
  readonly clock: Clock;
  readonly log: Log;
}

interface Matched {
  readonly route: AdminRoute;
  readonly path: Record<string, string>;
}

/** The way of every request to the admin API: read the body, authenticate, find the row, check by its schemas, act, answer in JSON. */
export class AdminHandler {
  readonly #parts: AdminHandlerParts;
  readonly #authContext: AuthContext;
  readonly #requestIds = new RequestIds();
  readonly #patterns: readonly { readonly route: AdminRoute; readonly pattern: RegExp }[];
  /** Made when it is first asked for: it takes longer than all else of a start that belongs to this API. */
  #description: string | undefined;

  constructor(parts: AdminHandlerParts) {
    const { accounts, region, clock, routes } = parts;
    this.#parts = parts;
    this.#authContext = {
      findCredentials: (accessKeyId) => accounts.findByAccessKey(accessKeyId),
      region,
      service: adminService,
      clock,
      signingKeys: new SigningKeys({ maxKeys: 100 }),
      memo: new AuthorizationMemo({ maxHeaders: 100 }),
    };
    this.#patterns = routes.map((route) => {
      const pattern = new RegExp(`^${route.path.replaceAll('.', '\\.').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`);
      return { route, pattern };
    });
  }

  /** Answers a request whose path begins with `/admin/`. Never throws. */
  async handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = this.#requestIds.next();
    const gone = new AbortController();
    response.once('close', () => gone.abort(new DOMException('The client went away', 'AbortError')));
    try {
      send(response, requestId, 200, await this.#act(message, requestId, gone.signal));
    } catch (error) {
      const known = toAdminError(error);
      if (known === undefined && !gone.signal.aborted) {
        this.#parts.log.error({ requestId, err: error }, 'admin request failed');
      }
      const { status, code, message: text, faults } = known ?? internalError;
      const body = { code, message: text, ...(faults.length > 0 && { faults }), requestId };
      send(response, requestId, status, JSON.stringify(body));
    }
  }

  /** @returns the answer in JSON */
  async #act(message: IncomingMessage, requestId: string, signal: AbortSignal): Promise<string> {
    const body = await readBody(message);
    const [rawPath = '', rawQuery = ''] = (message.url ?? '').split(/\?(.*)/s);
    this.#authenticate(message, rawPath, rawQuery, body);
    const { route, path } = this.#match(message.method ?? '', rawPath);
    const faults: string[] = [];
    const call = {
      path: check(route.pathSchema, path, '', faults),
      query: check(route.querySchema, Object.fromEntries(new URLSearchParams(rawQuery)), '', faults),
      body: route.bodySchema ? check(route.bodySchema, parseJson(body), '', faults) : refuseBody(body, faults),
      signal,
    };
    if (faults.length > 0) throw new AdminError(400, 'InvalidRequest', 'The request is not valid.', faults);
    if (route === openApiRoute) {
      this.#description ??= JSON.stringify(describeApi(this.#parts.routes));
      return this.#description;
    }
    const answer = await route.act(this.#parts, call);
    if (route.method !== 'GET')
      this.#parts.log.info({ requestId, operation: route.name, path }, 'changed by an operator');
    return JSON.stringify(answer);
  }

  #authenticate(message: IncomingMessage, rawPath: string, rawQuery: string, body: Buffer): void {
    const digest = createHash('sha256').update(body).digest('hex');
    const declared = message.headers['x-amz-content-sha256'];
    // Signers for other services than S3 do not send it; the signature covers the digest all the same.
    if (declared !== undefined && declared !== digest) {
      throw new AdminError(400, 'InvalidRequest', 'x-amz-content-sha256 is not the digest of the body.');
    }
    if (message.headers.authorization === undefined) throw accessDenied();
    const { method = '', rawHeaders } = message;
    const headers = { ...message.headers, 'x-amz-content-sha256': digest };
    const authentication = authenticate({ method, rawPath, rawQuery, headers, rawHeaders }, this.#authContext);
    const isRoot = authentication.kind === 'signed' && authentication.account.canonicalId === this.#parts.rootId;
    if (!isRoot) throw accessDenied();
  }

  #match(method: string, rawPath: string): Matched {
    const found = this.#patterns.flatMap(({ route, pattern }) => {
      const match = pattern.exec(rawPath);
      return match ? [{ route, path: { ...match.groups } }] : [];
    });
    const matched = found.find(({ route }) => route.method === method);
    if (matched !== undefined) return matched;
    if (found.length === 0) throw new AdminError(404, 'NotFound', 'There is nothing at this path.');
    const allowed = found.map(({ route }) => route.method).join(', ');
    throw new AdminError(405, 'MethodNotAllowed', `This path knows ${allowed}.`);
  }
}

const internalError = new AdminError(500, 'InternalError', 'Something failed that should not; the log has the cause.');

function accessDenied(): AdminError {
  return new AdminError(403, 'AccessDenied', 'The admin API is for the root account: sign the request with its key.');
}

async function readBody(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => message.destroy(new Error('the body did not come')), bodyTimeoutMs);
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) {
        throw new AdminError(413, 'BodyTooLarge', `A body has at most ${maxBodyBytes} bytes.`);
      }
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new AdminError(400, 'InvalidRequest', 'The body is not JSON.');
  }
}

function refuseBody(body: Buffer, faults: string[]): undefined {
  if (body.length > 0) faults.push('body: there must be none');
  return undefined;
}

/** What a schema makes of a value; faults are named without the values, which may be secrets. */
function check(schema: z.ZodType, value: unknown, prefix: string, faults: string[]): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  faults.push(...parsed.error.issues.map((issue) => `${prefix}${issue.path.join('.') || 'request'}: ${issue.message}`));
  return undefined;
}

function send(response: ServerResponse, requestId: string, status: number, json: string): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(json),
    'x-request-id': requestId,
    'cache-control': 'no-store',
    ...(status === 413 && { connection: 'close' }),
  });
  response.end(json);
}
