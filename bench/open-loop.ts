import { type Answer, HttpConnection } from './http-connection.ts';

/** One request that is due at a time of its own, whatever became of those before it. */
export interface DueRequest {
  readonly kind: string;
  readonly head: Uint8Array;
  readonly body: Uint8Array | undefined;
  readonly dueAtMs: number;
  /** Told what came of it, with the time from when it was due. */
  readonly settle: (answer: Answer | Error, latencyMs: number) => void;
}

/**
 * Sends requests when they are due, over connections that are kept; one that finds all of them busy waits, and its latency counts from when it was due. So a server
 * that stalls is charged for all that would have come meanwhile, as its clients would (Tene, "How NOT to Measure Latency").
 */
export class OpenLoop {
  readonly #url: URL;
  readonly #idle: HttpConnection[] = [];
  readonly #queue: DueRequest[] = [];
  #queueHead = 0;
  #underWay = 0;
  #whenIdle: (() => void) | undefined;
  #isClosed = false;

  private constructor(url: URL) {
    this.#url = url;
  }

  static async open(url: URL, connections: number): Promise<OpenLoop> {
    const loop = new OpenLoop(url);
    for (let count = 0; count < connections; count++) loop.#idle.push(await HttpConnection.open(url));
    return loop;
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#queue.length - this.#queueHead;
  }

  send(request: DueRequest): void {
    const connection = this.#idle.pop();
    if (connection === undefined) this.#queue.push(request);
    else this.#sendOn(connection, request);
  }

  /** Resolves when every request was answered. */
  async drain(): Promise<void> {
    while (this.#underWay > 0 || this.waiting > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#idle) connection.close();
  }

  #sendOn(connection: HttpConnection, request: DueRequest): void {
    this.#underWay += 1;
    connection.send(request.head, request.body).then(
      (answer) => this.#settle(connection, request, answer),
      (error: Error) => void this.#replace(connection, request, error),
    );
  }

  #settle(connection: HttpConnection, request: DueRequest, outcome: Answer | Error): void {
    this.#underWay -= 1;
    request.settle(outcome, performance.now() - request.dueAtMs);
    const next = this.#takeNext();
    if (next !== undefined) this.#sendOn(connection, next);
    else if (this.#isClosed) connection.close();
    else this.#idle.push(connection);
    if (this.#underWay === 0) this.#whenIdle?.();
  }

  /** A connection that broke, or was closed for having been idle, makes room for a new one. */
  async #replace(broken: HttpConnection, request: DueRequest, error: Error): Promise<void> {
    broken.close();
    const connection = await HttpConnection.open(this.#url).catch(() => broken);
    this.#settle(connection, request, error);
  }

  #takeNext(): DueRequest | undefined {
    if (this.waiting === 0) return undefined;
    const next = this.#queue[this.#queueHead++];
    if (this.#queueHead > 1024 && this.#queueHead * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#queueHead);
      this.#queueHead = 0;
    }
    return next;
  }
}
