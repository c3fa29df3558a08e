import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { WholeRead } from '../engine/engine.ts';
import type { AnswerQueue, ReadyAnswer } from './answer-queue.ts';
import { renderErrorDocument, toS3Error } from './error-response.ts';
import type { S3Response } from './operation.ts';
import { RequestBody } from './request-body.ts';
import { hostId, type RequestIds } from './request-id.ts';
import { S3Error } from './s3-error.ts';
import type { IncomingRequest, S3Handler } from './s3-handler.ts';
import { endUnsentBody } from './unsent-body.ts';

export interface ExchangeParts {
  readonly handler: S3Handler;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly requestIds: RequestIds;
  readonly answers: AnswerQueue;
  /** Whether the server takes no more connections. */
  readonly isStopping: () => boolean;
}

type Headers = S3Response['headers'];

/** Up to this length a body is handed over as text. */
const maxTextBytes = 8 * 1024;

/** One request and its answer: the only place that writes to a client's socket. */
export class Exchange implements IncomingRequest, ReadyAnswer {
  readonly message: IncomingMessage;
  readonly requestId: string;
  readonly body: RequestBody;
  readonly #parts: ExchangeParts;
  readonly #response: ServerResponse;
  readonly #startedAtMs = performance.now();
  /** Made for who asks for the signal: most small requests do not. */
  #gone: AbortController | undefined;
  #isGone = false;
  /** The source of an answer that was handed over whole: to be told when it was sent. */
  #sending: AsyncIterator<Uint8Array> | undefined;
  /** The body of an answer that waits to be sent. */
  #body: Uint8Array | undefined;
  /** Answered whole, and counting as memory in use until it was sent. */
  #whole: WholeRead | undefined;
  #operation = 'Unknown';
  #code = '';
  #mustClose = false;

  constructor(
    parts: ExchangeParts,
    {
      message,
      response,
      awaitsContinue,
    }: { message: IncomingMessage; response: ServerResponse; awaitsContinue: boolean },
  ) {
    this.#parts = parts;
    this.message = message;
    this.requestId = parts.requestIds.next();
    this.#response = response;
    this.body = new RequestBody({ message, response, awaitsContinue, tally: parts.metrics.requestTally });
  }

  /** Aborted when the client goes away. */
  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      if (this.#isGone) this.#gone.abort();
    }
    return this.#gone.signal;
  }

  #leave(): void {
    this.#isGone = true;
    this.#gone?.abort();
  }

  onOperation(name: string): void {
    this.#operation = name;
  }

  async run(): Promise<void> {
    this.#parts.metrics.requestTally.inFlight++;
    this.#response.on('close', () => this.#finish());
    this.#response.on('error', () => this.#leave());
    try {
      const { headers, httpVersion } = this.message;
      if (headers.host === undefined && httpVersion === '1.1') throw new S3Error('InvalidRequest', 'No Host header.');
      const { status, headers: answerHeaders, body } = await this.#parts.handler.handle(this);
      if (typeof body !== 'object' || body instanceof Uint8Array) this.#send(status, answerHeaders, body);
      else if ('release' in body) this.#sendWhole(status, answerHeaders, body);
      else await this.#stream(status, answerHeaders, body);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #send(status: number, headers: Headers, body: string | Uint8Array | undefined): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    // An answer to HEAD bears the length of what GET would send; 204 and 304 bear none (RFC 9110, section 8.6).
    const needsLength = status !== 204 && status !== 304 && headers?.['content-length'] === undefined;
    this.#writeHead(status, headers, needsLength ? String(bytes?.length ?? 0) : undefined);
    this.#body = this.message.method === 'HEAD' ? undefined : bytes;
    this.#parts.answers.add(this);
  }

  sendNow(): void {
    // Whoever went away in the meantime has made `#finish` give back the memory of the body.
    if (this.#isGone) return;
    const body = this.#body;
    this.#body = undefined;
    // As text, head and body are one string, for which node needs one buffer and one call.
    if (body !== undefined && body.length <= maxTextBytes) this.#response.end(latin1(body), 'latin1');
    else this.#response.end(body);
  }

  #sendWhole(status: number, headers: Headers, whole: WholeRead): void {
    if (this.#isGone) {
      whole.release(true);
      return;
    }
    this.#whole = whole;
    const { bytes } = whole;
    this.#parts.metrics.requestTally.bytesOut += bytes.length;
    this.#writeHead(status, headers, undefined);
    this.#body = bytes;
    this.#parts.answers.add(this);
  }

  async #stream(status: number, headers: Headers, body: AsyncIterable<Uint8Array>): Promise<void> {
    const chunks = body[Symbol.asyncIterator]();
    // The first chunk before the status line: what can fail early is still answered as an error.
    let next = await chunks.next();
    const tally = this.#parts.metrics.requestTally;
    try {
      this.#writeHead(status, headers, undefined);
      const isWhole = !next.done && String(next.value.length) === headers?.['content-length'];
      if (isWhole && !this.#isGone) {
        // Head and body in one go; `#finish` tells the source once the kernel has them.
        this.#sending = chunks;
        tally.bytesOut += next.value.length;
        this.#response.end(next.value);
        return;
      }
      for (; !next.done; next = await chunks.next()) {
        tally.bytesOut += next.value.length;
        await this.#write(next.value);
      }
      this.#response.end();
    } finally {
      if (this.#sending === undefined) await chunks.return?.();
    }
  }

  /** Until the kernel has the bytes: whoever made the chunk may use its memory again when it is asked for the next one. */
  #write(chunk: Uint8Array): Promise<void> {
    const { signal } = this;
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

  /** All headers at once and as a list, which node:http writes as it is; set one by one they would be gathered and checked first. */
  #writeHead(status: number, headers: Headers, contentLength: string | undefined): void {
    const list = ['server', 'Holdfast', 'x-amz-request-id', this.requestId, 'x-amz-id-2', hostId(this.requestId)];
    for (const name in headers) {
      const value = headers[name];
      if (value !== undefined) list.push(name, value);
    }
    if (contentLength !== undefined) list.push('content-length', contentLength);
    const mustEndBody = this.body.awaitsContinue && !endUnsentBody(this.message, this.#response);
    // Node closes what is idle when it stops, but would let a client that is busy go on for ever.
    if (mustEndBody || this.#mustClose || this.#parts.isStopping()) list.push('connection', 'close');
    this.#response.writeHead(status, list);
  }

  #refuse(cause: unknown): void {
    const { log } = this.#parts;
    if (this.#isGone) return; // Nobody is there to be told.
    const error = toS3Error(cause);
    this.#code = error.code;
    const context = {
      requestId: this.requestId,
      operation: this.#operation,
      method: this.message.method,
      url: this.message.url,
    };
    if (error.code === 'InternalError' || error.code === 'ServiceUnavailable')
      log.error({ ...context, err: cause }, 'request failed');
    else log.debug({ ...context, code: error.code }, 'request refused');
    if (this.#response.headersSent) {
      // Too late for a status: a cut connection tells the client that the body is not whole.
      log.error({ ...context, err: cause }, 'answer cut off');
      this.#response.destroy();
      return;
    }
    // It may never send the rest, and whoever comes next on this connection must not be taken for it.
    if (error.code === 'RequestTimeout') this.#mustClose = true;
    try {
      this.#sendError(error);
    } catch {
      this.#response.destroy();
    }
  }

  #sendError(error: S3Error): void {
    if (error.code === 'NotModified') {
      this.#send(304, error.headers, undefined);
      return;
    }
    const resource = (this.message.url ?? '/').split('?', 1)[0] as string;
    const body = renderErrorDocument(error, { requestId: this.requestId, resource });
    this.#send(error.status, { ...error.headers, 'content-type': 'application/xml' }, body);
  }

  #finish(): void {
    const { metrics, log } = this.#parts;
    const wasSent = this.#response.writableFinished;
    if (!wasSent) this.#leave();
    else this.body.drop();
    this.#whole?.release(wasSent);
    if (this.#sending !== undefined) void this.#endSource(this.#sending, wasSent);
    const [operation, code, status] = [this.#operation, this.#code, this.#response.statusCode];
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    metrics.requestTally.inFlight--;
    metrics.requestTally.end(operation, { status, code, seconds });
    if (log.isLevelEnabled('debug'))
      log.debug({ requestId: this.requestId, operation, status, code, seconds }, 'request');
  }

  /** Asked for the next chunk, a source knows that nobody reads the last one any more. */
  async #endSource(chunks: AsyncIterator<Uint8Array>, wasSent: boolean): Promise<void> {
    try {
      const next = wasSent ? await chunks.next() : undefined;
      if (!next?.done) await chunks.return?.();
    } catch (error) {
      this.#parts.log.warn({ requestId: this.requestId, err: error }, 'the source of an answer failed after its end');
    }
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
