import { Agent, request } from 'node:http';
import { processKey, processRegion } from '../test/harness/gateway-process.ts';
import { signHeaders } from '../test/harness/signed-fetch.ts';

export interface PreparedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Signs beforehand, so that the clock sees no signing. A signature is good for 15 minutes. The payload is not signed. */
export function prepareRequest(url: URL, method: string, path: string, bodyBytes: number): PreparedRequest {
  const headers = signHeaders({
    method,
    pathAndQuery: path,
    host: url.host,
    region: processRegion,
    key: processKey,
    options: { payloadHash: 'UNSIGNED-PAYLOAD' },
  });
  return { method, path, headers: { ...headers, 'content-length': String(bodyBytes) } };
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
  readonly #agent: Agent;
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
    this.#agent = new Agent({ keepAlive: true, maxSockets: parts.clients });
  }

  /** Each client sends at least one request, and no new one after `durationMs`. @throws Error for any answer but 200 */
  run(durationMs: number): Promise<LoadResult> {
    const endsAtMs = performance.now() + durationMs;
    return this.#load(() => performance.now() < endsAtMs);
  }

  /** Sends every request once. */
  runAll(): Promise<LoadResult> {
    let left = this.#requests.length - this.#clients;
    return this.#load(() => left-- > 0);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #load(goesOn: () => boolean): Promise<LoadResult> {
    const latenciesMs: number[] = [];
    const startedAtMs = performance.now();
    const client = async (): Promise<void> => {
      do {
        const sentAtMs = performance.now();
        await this.#send(this.#requests[this.#next++ % this.#requests.length]!);
        latenciesMs.push(performance.now() - sentAtMs);
      } while (goesOn());
    };
    await Promise.all(Array.from({ length: this.#clients }, client));
    const seconds = (performance.now() - startedAtMs) / 1000;
    return { requests: latenciesMs.length, seconds, latenciesMs };
  }

  #send({ method, path, headers }: PreparedRequest): Promise<void> {
    const { hostname, port } = this.#url;
    return new Promise((resolve, reject) => {
      const sent = request({ agent: this.#agent, hostname, port, method, path, headers }, (answer) => {
        let received = 0;
        answer.on('data', (chunk: Buffer) => {
          received += chunk.length;
        });
        answer.on('error', reject);
        answer.on('end', () => {
          if (answer.statusCode === 200 && received === this.#answerBytes) resolve();
          else reject(new Error(`${method} ${path}: status ${answer.statusCode}, ${received} bytes`));
        });
      });
      sent.on('error', reject);
      sent.end(this.#body);
    });
  }
}
