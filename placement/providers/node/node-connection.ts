import { randomBytes } from 'node:crypto';
import { type Dispatcher, Pool } from 'undici';
import type { Clock } from '../../../core/clock.ts';
import { type AnswerSink, JsonSink } from './answer-sink.ts';
import { CallSlots } from './call-slots.ts';
import type { NodeEndpoint } from './node-endpoint.ts';
import { NodeExchange, NodeRefusal } from './node-exchange.ts';
import type { NodeKey } from './node-key.ts';
import { instancePath } from './node-protocol.ts';
import { digestContent, noContent, RequestSigner, unsignedContent } from './request-signature.ts';

/** Sockets that stay idle longer are closed; the node keeps them a little longer still, so that none is closed under a request. */
const keepAliveMs = 30_000;
const maxInstanceBytes = 4096;
/** Bodies of several buffers up to this length are joined and sent in one write. */
const joinedBytes = 2 ** 20;

export interface NodeRequest<T> {
  readonly method: Dispatcher.HttpMethod;
  /** Path and query. */
  readonly target: string;
  /** The body's pieces, which must stay as they are until the request is over. */
  readonly body?: readonly Uint8Array[];
  readonly sink: AnswerSink<T>;
}

/** Sends signed requests to one node, over a bounded number of sockets with one request on each at a time. */
export class NodeConnection {
  readonly #pool: Pool;
  readonly #signer: RequestSigner;
  readonly #clock: Clock;
  readonly #signsContent: boolean;
  readonly #slots: CallSlots;
  /** Tells this process's requests from those of others with the same key. */
  readonly #session = randomBytes(16).toString('hex');
  #sequence = 0;
  #instance: Promise<string> | undefined;

  constructor(parts: {
    endpoint: NodeEndpoint;
    key: NodeKey;
    clock: Clock;
    connections: number;
    /** How many of the connections requests of `send` may take; the rest is for whoever calls `sendAtOnce`. */
    sharedConnections: number;
    connectTimeoutMs: number;
    idleTimeoutMs: number;
    signsContent: boolean;
    /** Certificates to trust instead of the system's, in PEM. */
    ca: string | undefined;
  }) {
    this.#signer = new RequestSigner(parts.key);
    this.#clock = parts.clock;
    this.#signsContent = parts.signsContent;
    this.#slots = new CallSlots(parts.sharedConnections);
    this.#pool = new Pool(parts.endpoint.origin, {
      connections: parts.connections,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      headersTimeout: parts.idleTimeoutMs,
      bodyTimeout: parts.idleTimeoutMs,
      connect: { timeout: parts.connectTimeoutMs, ...(parts.ca !== undefined && { ca: parts.ca }) },
    });
  }

  /**
   * Sends a request once a connection is free.
   *
   * @throws NodeRefusal; the signal's reason; any other error where the node cannot be reached or makes no sense
   */
  async send<T>(request: NodeRequest<T>, signal: AbortSignal | undefined): Promise<T> {
    await this.#slots.take(signal);
    return this.sendAtOnce(request, signal, () => this.#slots.give());
  }

  /**
   * As `send`, for who has seen to it that a connection is free.
   *
   * @param onOver called once, when the connection is free again
   */
  async sendAtOnce<T>(request: NodeRequest<T>, signal: AbortSignal | undefined, onOver: () => void): Promise<T> {
    let release = onOver;
    try {
      const known = await this.#knownInstance(signal);
      const content = this.#describeContent(request.body);
      const first = Promise.withResolvers<void>();
      release = () => first.promise.then(onOver);
      try {
        return await this.#dispatch(request, known, content, signal, first.resolve);
      } catch (error) {
        // It was started anew. A request that is refused so was not carried out.
        if (!(error instanceof NodeRefusal) || error.error !== 'instance-changed') throw error;
        if (error.instance === undefined || error.instance === known || signal?.aborted) throw error;
        this.#instance = Promise.resolve(error.instance);
        await first.promise;
        const second = Promise.withResolvers<void>();
        release = () => second.promise.then(onOver);
        return await this.#dispatch(request, error.instance, content, signal, second.resolve);
      }
    } finally {
      release();
    }
  }

  /** Ends all requests with an error. */
  async close(): Promise<void> {
    await this.#pool.destroy(new Error('the provider was closed'));
  }

  #dispatch<T>(
    request: NodeRequest<T>,
    instance: string,
    content: { readonly bytes: number; readonly digest: string },
    signal: AbortSignal | undefined,
    onOver: () => void,
  ): Promise<T> {
    const { method, target, body } = request;
    const authorization = this.#signer.sign({
      method,
      target,
      instance,
      session: this.#session,
      sequence: this.#sequence++,
      dateMs: this.#clock.now(),
      contentBytes: content.bytes,
      content: content.digest,
    });
    const headers = ['authorization', authorization];
    if (body !== undefined) headers.push('content-length', String(content.bytes));
    return this.#start(
      { method, path: target, headers, body: joinBody(body, content.bytes) },
      request.sink,
      signal,
      onOver,
    );
  }

  #start<T>(
    options: Dispatcher.DispatchOptions,
    sink: AnswerSink<T>,
    signal: AbortSignal | undefined,
    onOver: () => void,
  ): Promise<T> {
    const exchange = new NodeExchange({ sink, signal, onOver });
    try {
      signal?.throwIfAborted();
      this.#pool.dispatch(options, exchange);
    } catch (error) {
      exchange.fail(error);
    }
    return exchange.promise;
  }

  #describeContent(body: readonly Uint8Array[] | undefined): { bytes: number; digest: string } {
    let bytes = 0;
    for (const buffer of body ?? []) bytes += buffer.length;
    if (body === undefined || bytes === 0) return { bytes, digest: noContent };
    return { bytes, digest: this.#signsContent ? digestContent(body) : unsignedContent };
  }

  /** Asked for once, by all that need it together; each caller's signal ends only its own wait. */
  async #knownInstance(signal: AbortSignal | undefined): Promise<string> {
    signal?.throwIfAborted();
    if (this.#instance === undefined) {
      const asking = this.#askInstance();
      this.#instance = asking;
      asking.catch(() => {
        if (this.#instance === asking) this.#instance = undefined;
      });
    }
    return signal === undefined ? this.#instance : orAborted(this.#instance, signal);
  }

  #askInstance(): Promise<string> {
    const sink = new JsonSink(maxInstanceBytes, ({ instance }) => {
      if (typeof instance !== 'string' || !/^[0-9a-f]{32}$/.test(instance))
        throw new TypeError('no instance of a node');
      return instance;
    });
    return this.#start({ method: 'GET', path: instancePath }, sink, undefined, () => {});
  }
}

/** undici takes iterables, which its types do not say. */
function joinBody(body: readonly Uint8Array[] | undefined, bytes: number): Uint8Array | null {
  if (body === undefined || bytes === 0) return null;
  if (body.length === 1) return body[0]!;
  return bytes <= joinedBytes ? Buffer.concat(body, bytes) : (body as unknown as Uint8Array);
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
