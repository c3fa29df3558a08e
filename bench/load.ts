import { setTimeout as delay } from 'node:timers/promises';
import { type Access, HeadSigner } from './head-signer.ts';
import { type Answer, HttpConnection } from './http-connection.ts';

/** The head of a signed request, whole: made beforehand, or each time that it is sent. */
export interface PreparedRequest {
  readonly name: string;
  readonly head: Buffer | (() => Buffer);
  readonly body: Buffer | undefined;
  /** Whether the answer is what it should be, as far as a benchmark looks. */
  readonly isRight: (answer: Answer) => boolean;
}

export interface LoadResult {
  readonly requests: number;
  /** Of bodies, in both directions. */
  readonly bytes: number;
  /** Answers of 503, after which a request was sent again: servers that are at their bounds say SlowDown. */
  readonly refusals: number;
  readonly seconds: number;
  /** Of each request, from its first byte out to the last byte in, with all tries. */
  readonly latenciesMs: readonly number[];
}

const refusalPauseMs = 20;
/** Of one request; then it fails. */
const maxRefusals = 200;

/** Clients that keep one connection each and send one prepared request after the other, in turn. */
export class LoadGenerator {
  readonly #url: URL;
  readonly #requests: readonly PreparedRequest[];
  readonly #clients: number;
  #next = 0;
  #refusals = 0;

  constructor(parts: { url: URL; requests: readonly PreparedRequest[]; clients: number }) {
    this.#url = parts.url;
    this.#requests = parts.requests;
    this.#clients = parts.clients;
  }

  /** Each client sends at least one request, and no new one after `durationMs`. @throws Error for any answer that is not right */
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
      let bytes = 0;
      this.#refusals = 0;
      const startedAtMs = performance.now();
      const goesOn = begin(startedAtMs);
      const client = async (at: number): Promise<void> => {
        do {
          const sentAtMs = performance.now();
          const movedBytes = await this.#send(connections, at, this.#requests[this.#next++ % this.#requests.length]!);
          bytes += movedBytes;
          latenciesMs.push(performance.now() - sentAtMs);
        } while (goesOn());
      };
      await Promise.all(connections.map((_connection, at) => client(at)));
      const seconds = (performance.now() - startedAtMs) / 1000;
      return { requests: latenciesMs.length, bytes, refusals: this.#refusals, seconds, latenciesMs };
    } finally {
      for (const connection of connections) connection.close();
    }
  }

  /** @returns bytes of both bodies */
  async #send(connections: HttpConnection[], at: number, request: PreparedRequest): Promise<number> {
    const { name, head, body, isRight } = request;
    for (let refusals = 0; ; refusals++) {
      // A new connection takes time as well, where the server wants one.
      if (!connections[at]!.isOpen) connections[at] = await HttpConnection.open(this.#url);
      const answer = await connections[at]!.send(typeof head === 'function' ? head() : head, body);
      if (isRight(answer)) return answer.bodyBytes + (body?.length ?? 0);
      if (answer.status !== 503 || refusals === maxRefusals)
        throw new Error(`${name}: status ${answer.status}, ${answer.bodyBytes} bytes ${answer.errorText}`);
      this.#refusals += 1;
      await delay(refusalPauseMs);
    }
  }
}

/** Makes a bucket, or finds that it is there. */
export async function createBucket(access: Access, bucket: string): Promise<void> {
  const head = new HeadSigner(access).sign({ method: 'PUT', path: `/${bucket}`, bodyBytes: 0 });
  const request = { name: `PUT /${bucket}`, head, body: undefined, isRight: ({ status }: Answer) => status === 200 };
  await new LoadGenerator({ url: access.url, requests: [request], clients: 1 }).runAll();
}
