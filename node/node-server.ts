import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { ByteBudget } from '../core/byte-budget.ts';
import type { Clock } from '../core/clock.ts';
import { drainServer } from '../core/drain-server.ts';
import type { Log } from '../core/log.ts';
import type { NodeMetrics } from '../core/node-metrics.ts';
import type { NodeKey } from '../placement/providers/node/node-key.ts';
import { instancePath } from '../placement/providers/node/node-protocol.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { NodeExchange } from './node-exchange.ts';
import { RefusalLog } from './refusal-log.ts';
import { RequestGate } from './request-gate.ts';
import { UploadTable } from './upload-table.ts';

/** Longer than gateways keep a socket that is idle, so that none is closed under a request. */
const keepAliveMs = 65_000;
const headMs = 10_000;
const maxHeadBytes = 8 * 1024;
const readyTimeoutMs = 5_000;

export interface NodeLimits {
  /** Memory for bodies and answers under way; past it, requests wait. */
  readonly budgetBytes: number;
  /** How long a request waits for memory before it is refused. */
  readonly budgetWaitMs: number;
  /** How long a gateway may send nothing in the middle of a body. */
  readonly bodyIdleMs: number;
  /** After how long without a call an upload is dropped. */
  readonly uploadIdleMs: number;
  readonly maxUploads: number;
  readonly maxConnections: number;
}

export const defaultNodeLimits: NodeLimits = {
  budgetBytes: 64 * 2 ** 20,
  budgetWaitMs: 5_000,
  bodyIdleMs: 30_000,
  uploadIdleMs: 10 * 60_000,
  maxUploads: 4096,
  maxConnections: 2048,
};

export interface NodeServerParts {
  /** Stays open after the server is closed. */
  readonly provider: Provider;
  /** Requests may be signed with any of them. */
  readonly keys: readonly NodeKey[];
  readonly metrics: NodeMetrics;
  readonly log: Log;
  readonly clock: Clock;
  readonly limits?: Partial<NodeLimits>;
  /** Certificate chain and private key in PEM; plain HTTP without them. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Whether metrics are told on this listener too. */
  readonly tellsMetrics: boolean;
}

/** A node's listener, not yet listening. */
export interface NodeServer {
  readonly server: Server;
  /** Takes no new requests, waits up to `drainMs` for those under way, and drops what was being uploaded. */
  stop(drainMs: number): Promise<void>;
}

/** Serves a provider over HTTP (docs/node-protocol.md), with health and metrics beside it. */
export function createNodeServer(parts: NodeServerParts): NodeServer {
  const { provider, keys, metrics, log, clock } = parts;
  const limits = { ...defaultNodeLimits, ...parts.limits };
  const gate = new RequestGate({ keys, clock });
  const uploads = new UploadTable({ provider, metrics, maxUploads: limits.maxUploads, idleMs: limits.uploadIdleMs });
  const budget = new ByteBudget({
    name: 'node',
    capacityBytes: limits.budgetBytes,
    waitMs: limits.budgetWaitMs,
    metrics,
  });
  const state = { isStopping: false };
  const isStopping = (): boolean => state.isStopping;
  const refusals = new RefusalLog(log);
  const exchangeParts = {
    provider,
    uploads,
    budget,
    metrics,
    gate,
    refusals,
    log,
    bodyIdleMs: limits.bodyIdleMs,
    isStopping,
  };
  const observe = createObserver({ provider, metrics, isStopping, tellsMetrics: parts.tellsMetrics });
  const serve: RequestListener = (message, response) => {
    if (message.url === instancePath) return sendJson(response, 200, { instance: gate.instance, nowMs: clock.now() });
    if (message.method === 'GET' && !message.url?.startsWith('/v1/')) return observe(message, response);
    void new NodeExchange(exchangeParts, message, response).run();
  };
  const options = {
    maxHeaderSize: maxHeadBytes,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headMs,
    requestTimeout: 0,
  };
  const server = parts.tls
    ? createTlsServer({ ...options, handshakeTimeout: headMs, ...parts.tls }, serve)
    : createServer(options, serve);
  server.maxConnections = limits.maxConnections;
  return {
    server,
    async stop(drainMs) {
      state.isStopping = true;
      if (server.listening) await drainServer(server, drainMs);
      await uploads.close();
    },
  };
}

/** Health and metrics, which need no key. For a listener of their own as well. */
export function createObserver(parts: {
  provider: Provider;
  metrics: NodeMetrics;
  isStopping: () => boolean;
  tellsMetrics: boolean;
}): RequestListener {
  const { provider, metrics, isStopping, tellsMetrics } = parts;
  const answer = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    switch (message.url) {
      case '/health/live':
        return sendJson(response, 200, { status: 'live' });
      case '/health/ready': {
        const isReady = !isStopping() && (await answers(provider));
        return sendJson(response, isReady ? 200 : 503, { status: isReady ? 'ready' : 'not ready' });
      }
      case '/metrics': {
        if (!tellsMetrics) break;
        const text = await metrics.readText();
        response.writeHead(200, { 'content-type': metrics.registry.contentType });
        response.end(text);
        return;
      }
    }
    sendJson(response, 404, { error: 'route-missing' });
  };
  return (message, response) => void answer(message, response).catch(() => response.destroy());
}

/** Whether the directory is there. */
async function answers(provider: Provider): Promise<boolean> {
  return provider.capacity(AbortSignal.timeout(readyTimeoutMs)).then(
    () => true,
    () => false,
  );
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
