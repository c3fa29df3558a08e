import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import express, { type Express, type Request, type Response } from 'express';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { nodeHttp } from '../core/node-http.ts';
import { AnswerQueue } from './answer-queue.ts';
import { renderErrorDocument } from './error-response.ts';
import { Exchange } from './exchange.ts';
import { hostId, RequestIds } from './request-id.ts';
import { S3Error } from './s3-error.ts';
import type { S3Handler } from './s3-handler.ts';

export interface HttpServerParts {
  readonly handler: S3Handler;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Requests that came with `Expect: 100-continue` and are on their way through express. */
const awaitingContinue = new WeakSet<IncomingMessage>();

/** The S3 listener. Express carries one handler; routing is ours. */
export function createHttpServer(parts: HttpServerParts): Server {
  const requestIds = new RequestIds();
  const answers = new AnswerQueue();
  const exchangeParts = { ...parts, requestIds, answers, isStopping: () => !server.listening };
  const serve = (message: IncomingMessage, response: ServerResponse): void => {
    const awaitsContinue = awaitingContinue.delete(message);
    void new Exchange(exchangeParts, { message, response, awaitsContinue }).run();
  };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((message: IncomingMessage, response: ServerResponse) => serve(message, response));
  const listener = (message: IncomingMessage, response: ServerResponse): void =>
    void app(message as Request, response as Response, giveUp);
  const server = nodeHttp.createServer(
    {
      maxHeaderSize: 32 * 1024,
      keepAliveTimeout: 65_000,
      headersTimeout: 60_000,
      requestTimeout: 0,
      // Refused here, as every other request is, and not by Node, which sends no body and no request id.
      requireHostHeader: false,
      ...prepareClasses(app),
    },
    listener,
  );
  server.on('checkContinue', (message, response) => {
    awaitingContinue.add(message);
    listener(message, response);
  });
  // RFC 9110, section 10.1.1: an expectation that we do not know may be ignored.
  server.on('checkExpectation', listener);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    answerBadHttp(error, socket, requestIds.next()),
  );
  return server;
}

/** Express calls it where no handler took the request, or one threw; ours takes all, and answers its own errors. */
function giveUp(error?: unknown): void {
  throw error ?? new Error('a request was left to Express');
}

/**
 * Node's classes with Express's prototypes from the beginning. Express would give them to each request and response later, and
 * an object whose prototype was changed is slow wherever V8 has seen others like it.
 */
function prepareClasses(app: Express): Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'> {
  class PreparedRequest extends nodeHttp.IncomingMessage {}
  class PreparedResponse extends nodeHttp.ServerResponse {}
  Object.setPrototypeOf(PreparedRequest.prototype, app.request);
  Object.setPrototypeOf(PreparedResponse.prototype, app.response);
  Object.assign(app, { request: PreparedRequest.prototype, response: PreparedResponse.prototype });
  return {
    IncomingMessage: PreparedRequest,
    ServerResponse: PreparedResponse as unknown as typeof ServerResponse,
  };
}

/** What is not HTTP, or too large a head, never reaches a handler; it gets S3's XML all the same. */
function answerBadHttp(error: NodeJS.ErrnoException, socket: Socket, requestId: string): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 'RequestHeaderSectionTooLarge' : 'InvalidRequest';
  const s3Error = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? new S3Error('RequestTimeout') : new S3Error(code);
  const body = renderErrorDocument(s3Error, { requestId, resource: '/' });
  const head = [
    `HTTP/1.1 ${s3Error.status} Bad Request`,
    'Server: Holdfast',
    `x-amz-request-id: ${requestId}`,
    `x-amz-id-2: ${hostId(requestId)}`,
    'Content-Type: application/xml',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
