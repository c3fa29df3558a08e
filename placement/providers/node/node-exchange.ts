import type { Dispatcher } from 'undici';
import { type AnswerSink, BytesSink } from './answer-sink.ts';

const maxErrorBytes = 4096;

/** The node answered, and not with success. */
export class NodeRefusal extends Error {
  readonly status: number;
  /** A `NodeError` where the node keeps to the protocol; it may be any text. */
  readonly error: string;
  /** The instance that the node says it is, where it says so. */
  readonly instance: string | undefined;

  constructor(status: number, body: Buffer) {
    const { error, message, instance } = parseBody(body);
    super(`the node answered ${status} ${error}${message === '' ? '' : `: ${message}`}`);
    this.name = 'NodeRefusal';
    this.status = status;
    this.error = error;
    this.instance = instance;
  }
}

/** The node is a stranger: what it says goes into logs only in part and in plain characters. */
function parseBody(body: Buffer): { error: string; message: string; instance: string | undefined } {
  const text = (value: unknown): string =>
    typeof value === 'string' ? value.slice(0, 300).replace(/[^\x20-\x7e]/g, '?') : '';
  try {
    const value = JSON.parse(body.toString()) as Record<string, unknown>;
    const instance = typeof value.instance === 'string' && /^[0-9a-f]{32}$/.test(value.instance);
    return {
      error: text(value.error) || 'without a reason',
      message: text(value.message),
      instance: instance ? (value.instance as string) : undefined,
    };
  } catch {
    return { error: 'without a reason', message: '', instance: undefined };
  }
}

/** One request on its way through undici, and its answer on the way into a sink. */
export class NodeExchange<T> implements Dispatcher.DispatchHandler {
  readonly promise: Promise<T>;
  readonly #resolve: (result: T) => void;
  readonly #reject: (error: unknown) => void;
  readonly #sink: AnswerSink<T>;
  readonly #signal: AbortSignal | undefined;
  readonly #onOver: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #errorSink: BytesSink | undefined;
  #failure: Error | undefined;

  /** @param parts.onOver called once undici has let go of the request, which may be after `promise` has settled */
  constructor(parts: { sink: AnswerSink<T>; signal: AbortSignal | undefined; onOver: () => void }) {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.promise = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#sink = parts.sink;
    this.#signal = parts.signal;
    this.#onOver = parts.onOver;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** It never came to be sent. */
  fail(error: unknown): void {
    this.#reject(error);
    this.#end();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) controller.abort(this.#failure);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
    if (status >= 300) this.#errorSink = new BytesSink(maxErrorBytes);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    try {
      (this.#errorSink ?? this.#sink).push(chunk);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  onResponseEnd(): void {
    try {
      if (this.#errorSink !== undefined) this.#reject(new NodeRefusal(this.#status, this.#errorSink.end()));
      else this.#resolve(this.#sink.end());
    } catch (error) {
      this.#reject(error);
    }
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#reject(error);
    this.#end();
  }

  readonly #onAbort = (): void => this.#giveUp(this.#signal?.reason);

  /** Cuts the connection, which carries nothing else: there is one request on each at a time. */
  #giveUp(reason: unknown): void {
    this.#reject(reason);
    this.#failure = reason instanceof Error ? reason : new Error('the request was given up', { cause: reason });
    this.#controller?.abort(this.#failure);
  }

  #end(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#onOver();
  }
}
