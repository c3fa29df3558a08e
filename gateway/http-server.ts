import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import express from 'express';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { renderErrorDocument, toS3Error } from './error-response.ts';
import type { S3Response } from './operation.ts';
import { createRequestId } from './request-id.ts';
import { S3Error } from './s3-error.ts';
import type { S3Handler } from './s3-handler.ts';
import { answerWithoutBody } from './unsent-body.ts';

export interface HttpServerParts {
  readonly handler: S3Handler;
  readonly metrics: Metrics;
  readonly log: Log;
}

type Headers = NonNullable<S3Response['headers']>;

/** How long the rest of a body that was refused may take to arrive. */
const maxDropMs = 10_000;

/** Requests that came with `Expect: 100-continue` and were not told to go on yet. */
const awaitingContinue = new WeakSet<IncomingMessage>();

/** The S3 listener: the only place that writes to a client's socket. Express carries one handler; routing is ours. */
export function createHttpServer(parts: HttpServerParts): Server {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  const exchangeParts = { ...parts, isStopping: () => !server.listening };
  app.use((message: IncomingMessage, response: ServerResponse) => {
    void new Exchange(exchangeParts, message, response).run();
  });
  const server = createServer(
    {
      maxHeaderSize: 32 * 1024,
      keepAliveTimeout: 65_000,
      headersTimeout: 60_000,
      requestTimeout: 0,
      // Refused here, as every other request is, and not by Node, which sends no body and no request id.
      requireHostHeader: false,
    },
    app,
  );
  server.on('checkContinue', (message, response) => {
    awaitingContinue.add(message);
    app(message, response);
  });
  // RFC 9110, section 10.1.1: an expectation that we do not know may be ignored.
  server.on('checkExpectation', app);
  server.on('clientError', answerBadHttp);
  return server;
}

interface ExchangeParts extends HttpServerParts {
  readonly isStopping: () => boolean;
}

/** One request and its answer. */
class Exchange {
  readonly #parts: ExchangeParts;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #requestId = createRequestId();
  readonly #hostId = Buffer.from(this.#requestId).toString('base64');
  readonly #startedAtMs = performance.now();
  readonly #gone = new AbortController();
  readonly #chunks = this.#body();
  #operation = 'Unknown';
  #code = '';

  constructor(parts: ExchangeParts, message: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#message = message;
    this.#response = response;
  }

  async run(): Promise<void> {
    const { metrics } = this.#parts;
    metrics.requestsInFlight.inc();
    this.#response.once('close', () => this.#finish());
    this.#response.on('error', () => this.#gone.abort());
    try {
      await this.#send(await this.#handle());
    } catch (error) {
      await this.#refuse(error);
    }
  }

  #handle(): Promise<S3Response> {
    const { headers, httpVersion } = this.#message;
    if (headers.host === undefined && httpVersion === '1.1') throw new S3Error('InvalidRequest', 'No Host header.');
    return this.#parts.handler.handle({
      requestId: this.#requestId,
      message: this.#message,
      body: this.#chunks,
      signal: this.#gone.signal,
      onOperation: (name) => {
        this.#operation = name;
      },
    });
  }

  /** The body's bytes; a client that waits for 100-continue is told to go on when they are first asked for. */
  async *#body(): AsyncGenerator<Uint8Array> {
    if (awaitingContinue.delete(this.#message)) this.#response.writeContinue();
    const { bodyBytes } = this.#parts.metrics;
    for await (const chunk of this.#message as AsyncIterable<Uint8Array>) {
      bodyBytes.inc({ direction: 'in' }, chunk.length);
      yield chunk;
    }
  }

  async #send({ status, headers = {}, body }: S3Response): Promise<void> {
    if (body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array))
      return this.#stream(status, headers, body);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    this.#setHead(status, headers);
    const response = this.#response;
    // An answer to HEAD bears the length of what GET would send; 204 and 304 bear none (RFC 9110, section 8.6).
    if (status !== 204 && status !== 304 && !response.hasHeader('content-length'))
      response.setHeader('content-length', bytes?.length ?? 0);
    response.end(this.#message.method === 'HEAD' ? undefined : bytes);
  }

  async #stream(status: number, headers: Headers, body: AsyncIterable<Uint8Array>): Promise<void> {
    const chunks = body[Symbol.asyncIterator]();
    // The first chunk before the status line: what can fail early is still answered as an error.
    let next = await chunks.next();
    this.#setHead(status, headers);
    try {
      for (; !next.done; next = await chunks.next()) {
        this.#parts.metrics.bodyBytes.inc({ direction: 'out' }, next.value.length);
        await this.#write(next.value);
      }
      this.#response.end();
    } finally {
      await chunks.return?.();
    }
  }

  /** Until the kernel has the bytes: whoever made the chunk may use its memory again when it is asked for the next one. */
  #write(chunk: Uint8Array): Promise<void> {
    const { signal } = this.#gone;
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(signal.reason);
      signal.addEventListener('abort', giveUp, { once: true });
      this.#response.write(chunk, (error) => {
        signal.removeEventListener('abort', giveUp);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  #setHead(status: number, headers: Headers): void {
    const response = this.#response;
    response.statusCode = status;
    response.setHeader('server', 'Holdfast');
    response.setHeader('x-amz-request-id', this.#requestId);
    response.setHeader('x-amz-id-2', this.#hostId);
    for (const name in headers) {
      const value = headers[name];
      if (value !== undefined) response.setHeader(name, value);
    }
    // Node closes what is idle when it stops, but would let a client that is busy go on for ever.
    if (this.#parts.isStopping()) response.setHeader('connection', 'close');
    if (awaitingContinue.has(this.#message)) answerWithoutBody(this.#message, response);
  }

  async #refuse(cause: unknown): Promise<void> {
    const { log } = this.#parts;
    if (this.#gone.signal.aborted) return; // Nobody is there to be told.
    const error = toS3Error(cause);
    this.#code = error.code;
    const context = {
      requestId: this.#requestId,
      operation: this.#operation,
      method: this.#message.method,
      url: this.#message.url,
    };
    if (error.code === 'InternalError' || error.code === 'ServiceUnavailable')
      log.error({ ...context, err: cause }, 'request failed');
    else log.debug({ ...context, code: error.code }, 'request refused');
    // It may never send the rest, and whoever comes next on this connection must not be taken for it.
    if (error.code === 'RequestTimeout' && !this.#response.headersSent) this.#response.setHeader('connection', 'close');
    if (this.#response.headersSent) {
      // Too late for a status: a cut connection tells the client that the body is not whole.
      log.error({ ...context, err: cause }, 'answer cut off');
      this.#response.destroy();
      return;
    }
    await this.#send(this.#renderError(error)).catch(() => this.#response.destroy());
  }

  #renderError(error: S3Error): S3Response {
    const headers = { ...error.headers };
    if (error.code === 'NotModified') return { status: 304, headers };
    const resource = (this.#message.url ?? '/').split('?', 1)[0] as string;
    const body = renderErrorDocument(error, { requestId: this.#requestId, resource });
    return { status: error.status, headers: { ...headers, 'content-type': 'application/xml' }, body };
  }

  /**
   * Reads and drops what is left of a body that was refused in its midst: many a client looks at no answer before it
   * has sent everything, and the next request on the connection lies behind it.
   */
  async #dropRest(): Promise<void> {
    const { complete, socket } = this.#message;
    if (complete || socket.destroyed || awaitingContinue.has(this.#message)) return;
    const giveUp = (): void => void this.#message.destroy();
    const limit = setTimeout(giveUp, maxDropMs);
    // Node no longer tells a request that was answered that its connection broke.
    socket.once('close', giveUp);
    try {
      while (!(await this.#chunks.next()).done);
    } catch {
      // The client went away, which is all the same now.
    } finally {
      clearTimeout(limit);
      socket.off('close', giveUp);
    }
  }

  #finish(): void {
    if (this.#response.writableFinished) void this.#dropRest();
    else this.#gone.abort();
    const { metrics, log } = this.#parts;
    const operation = this.#operation;
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    metrics.requestsInFlight.dec();
    metrics.requests.inc({ operation, status: String(this.#response.statusCode), code: this.#code });
    metrics.requestSeconds.observe({ operation }, seconds);
    log.debug(
      { requestId: this.#requestId, operation, status: this.#response.statusCode, code: this.#code, seconds },
      'request',
    );
  }
}

/** What is not HTTP, or too large a head, never reaches a handler; it gets S3's XML all the same. */
function answerBadHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 'RequestHeaderSectionTooLarge' : 'InvalidRequest';
  const s3Error = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? new S3Error('RequestTimeout') : new S3Error(code);
  const requestId = createRequestId();
  const body = renderErrorDocument(s3Error, { requestId, resource: '/' });
  const head = [
    `HTTP/1.1 ${s3Error.status} Bad Request`,
    'Server: Holdfast',
    `x-amz-request-id: ${requestId}`,
    `x-amz-id-2: ${Buffer.from(requestId).toString('base64')}`,
    'Content-Type: application/xml',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
