import { HttpConnection } from './http-connection.ts';

/** The head of a signed request, whole: made beforehand, or each time that it is sent. */
export interface PreparedRequest {
  readonly name: string;
  readonly head: Buffer | (() => Buffer);
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Of each request, from its first byte out to the last byte in. */
  readonly latenciesMs: readonly number[];
}

/** Clients that keep one connection each and send one prepared request after the other, in turn. */
export class LoadGenerator {
  readonly #url: URL;
  readonly #requests: readonly PreparedRequest[];
  readonly #body: Buffer | undefined;
  readonly #answerBytes: number;
  readonly #clients: number;
  #next = 0;

  constructor(parts: {
    url: URL;
    requests: readonly PreparedRequest[];
    clients: number;
    /** Sent with each request. */
    body?: Buffer | undefined;
    /** How long each answer must be. */
    answerBytes: number;
  }) {
    this.#url = parts.url;
    this.#requests = parts.requests;
    this.#body = parts.body;
    this.#answerBytes = parts.answerBytes;
    this.#clients = parts.clients;
  }

  /** Each client sends at least one request, and no new one after `durationMs`. @throws Error for any answer but 200 */
  run(durationMs: number): Promise<LoadResult> {
    return this.#load((now) => {
      const endsAtMs = now + durationMs;
      return () => performance.now() < endsAtMs;
    });
  }

  /** Sends every request once. */
  runAll(): Promise<LoadResult> {
    let left = this.#requests.length - this.#clients;
    return this.#load(() => () => left-- > 0);
  }

  /** Connections are new each time: servers close those that were idle for some seconds. */
  async #load(begin: (nowMs: number) => () => boolean): Promise<LoadResult> {
    const connections = await Promise.all(Array.from({ length: this.#clients }, () => HttpConnection.open(this.#url)));
    try {
      const latenciesMs: number[] = [];
      const startedAtMs = performance.now();
      const goesOn = begin(startedAtMs);
      const client = async (connection: HttpConnection): Promise<void> => {
        do {
          const sentAtMs = performance.now();
          await this.#send(connection, this.#requests[this.#next++ % this.#requests.length]!);
          latenciesMs.push(performance.now() - sentAtMs);
        } while (goesOn());
      };
      await Promise.all(connections.map(client));
      const seconds = (performance.now() - startedAtMs) / 1000;
      return { requests: latenciesMs.length, seconds, latenciesMs };
    } finally {
      for (const connection of connections) connection.close();
    }
  }

  async #send(connection: HttpConnection, { name, head }: PreparedRequest): Promise<void> {
    const { status, bodyBytes, errorText } = await connection.send(
      typeof head === 'function' ? head() : head,
      this.#body,
    );
    if (status !== 200 || bodyBytes !== this.#answerBytes) {
      throw new Error(`${name}: status ${status}, ${bodyBytes} bytes ${errorText}`);
    }
  }
}
