import type { IncomingMessage, ServerResponse } from 'node:http';
import { isFailure } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import { releaseWhole } from '../core/release-memory.ts';
import type { NodeAnswer, NodeCall, NodeParts } from './node-call.ts';
import { NodeFault as Fault, type NodeFault, toNodeFault } from './node-fault.ts';
import type { RefusalLog } from './refusal-log.ts';
import type { RequestGate } from './request-gate.ts';
import { findRoute } from './routes.ts';
import { SignedBody } from './signed-body.ts';

/** After a refusal so much of a body is read and dropped, so that the connection can go on; with more it is closed. */
const maxDroppedBytes = 8 * 2 ** 20;

export interface ExchangeParts extends NodeParts {
  readonly gate: RequestGate;
  readonly refusals: RefusalLog;
  readonly log: Log;
  readonly bodyIdleMs: number;
  isStopping(): boolean;
}

/** One signed request and its answer. It alone writes to the response. */
export class NodeExchange {
  readonly #parts: ExchangeParts;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #startedAtMs = performance.now();
  readonly #releases: (() => void)[] = [];
  #operation = 'Unknown';
  #code = '';

  constructor(parts: ExchangeParts, message: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#message = message;
    this.#response = response;
  }

  async run(): Promise<void> {
    this.#parts.metrics.requestTally.inFlight++;
    this.#response.on('close', () => this.#finish());
    this.#response.on('error', () => this.#gone.abort());
    try {
      await this.#send(await this.#serve());
    } catch (error) {
      this.#refuse(error);
    }
  }

  async #serve(): Promise<NodeAnswer> {
    const { gate, bodyIdleMs, isStopping } = this.#parts;
    const message = this.#message;
    const { method = '', url = '' } = message;
    const queryAt = url.indexOf('?');
    const found = findRoute(method, queryAt < 0 ? url : url.slice(0, queryAt));
    const content = gate.admit(message);
    if (found === undefined) throw new Fault('route-missing', 'there is no such route');
    this.#operation = found.route.operation;
    if (isStopping()) throw new Fault('stopping', 'the node is being stopped');
    const call: NodeCall = {
      name: found.name,
      query: new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt + 1)),
      body: new SignedBody({ message, content, idleMs: bodyIdleMs }),
      signal: this.#gone.signal,
      defer: (release) => this.#defer(release),
    };
    const answer = await found.route.run(this.#parts, call);
    this.#parts.metrics.requestTally.bytesIn += content.bytes;
    return answer;
  }

  /** What is deferred after the end runs at once. */
  #defer(release: () => void): void {
    if (this.#response.closed) release();
    else this.#releases.push(release);
  }

  async #send(answer: NodeAnswer): Promise<void> {
    if (answer.kind === 'stream') return this.#stream(answer);
    const text = answer.kind === 'json' ? JSON.stringify(answer.value) : '';
    this.#writeHead(200, answer.kind === 'json' ? 'application/json' : undefined, Buffer.byteLength(text));
    this.#response.end(text);
  }

  async #stream({ pieces, bytes, isReleased }: NodeAnswer & { kind: 'stream' }): Promise<void> {
    const source = pieces[Symbol.asyncIterator]();
    const response = this.#response;
    try {
      let next = await source.next();
      this.#writeHead(200, 'application/octet-stream', bytes);
      for (; !next.done; next = await source.next()) {
        // Node sends what is written in one turn together. (Its cork loses the event drain where an answer is chunked.)
        let isRoomLeft = true;
        for (const buffer of next.value) {
          this.#parts.metrics.requestTally.bytesOut += buffer.length;
          if (buffer.length === 0) continue;
          const onSent = isReleased ? (error?: Error | null) => error ?? releaseWhole(buffer) : undefined;
          isRoomLeft = response.write(buffer, onSent);
        }
        if (!isRoomLeft) await this.#waitForRoom();
      }
      response.end();
    } finally {
      await source.return?.();
    }
  }

  #waitForRoom(): Promise<void> {
    const { signal } = this.#gone;
    const response = this.#response;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      const onDrain = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      response.once('drain', onDrain);
    });
  }

  #writeHead(status: number, contentType: string | undefined, bytes: number | undefined): void {
    const list: string[] = [];
    if (contentType !== undefined) list.push('content-type', contentType);
    if (bytes !== undefined) list.push('content-length', String(bytes));
    if (this.#parts.isStopping()) list.push('connection', 'close');
    this.#response.writeHead(status, list);
  }

  #refuse(cause: unknown): void {
    const { log } = this.#parts;
    const fault = toNodeFault(cause);
    this.#code = this.#gone.signal.aborted && !(cause instanceof Fault) ? 'aborted' : fault.error;
    if (this.#gone.signal.aborted) return; // Nobody is there to be told.
    const context = { operation: this.#operation, method: this.#message.method, url: this.#message.url };
    if (fault.error === 'provider-error') log.error({ ...context, err: cause }, 'request failed');
    else if (isFailure(cause)) log.debug({ ...context, code: fault.error }, 'request failed');
    else
      this.#parts.refusals.note(
        { ...context, code: fault.error, peer: this.#message.socket.remoteAddress },
        fault.message,
      );
    if (this.#response.headersSent) {
      // Too late for a status: a connection that is cut tells that the answer is not whole.
      this.#response.destroy();
      return;
    }
    this.#sendFault(fault);
  }

  #sendFault(fault: NodeFault): void {
    const { complete, headers } = this.#message;
    const text = JSON.stringify({ error: fault.error, message: fault.message, ...fault.fields });
    const isTooLongToDrop = !complete && !(Number(headers['content-length'] ?? 0) <= maxDroppedBytes);
    if (isTooLongToDrop || headers['transfer-encoding'] !== undefined) this.#response.shouldKeepAlive = false;
    this.#writeHead(fault.status, 'application/json', Buffer.byteLength(text));
    this.#response.end(text);
    // What is left of the body lies before the next request.
    this.#message.resume();
  }

  #finish(): void {
    const { metrics, log } = this.#parts;
    const response = this.#response;
    if (!response.writableFinished) {
      this.#gone.abort();
      if (this.#code === '') this.#code = 'aborted';
    }
    for (const release of this.#releases) release();
    const seconds = (performance.now() - this.#startedAtMs) / 1000;
    metrics.requestTally.inFlight--;
    metrics.requestTally.end(this.#operation, { status: response.statusCode, code: this.#code, seconds });
    if (log.isLevelEnabled('debug')) {
      log.debug({ operation: this.#operation, status: response.statusCode, code: this.#code, seconds }, 'request');
    }
  }
}
