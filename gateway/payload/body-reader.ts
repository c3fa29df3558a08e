import { S3Error } from '../s3-error.ts';
import { brokenFraming, isConnectionError } from './body-errors.ts';

/**
 * Pulls the bytes of a request off its connection, and gives up on a client that sends nothing for too long. Only the
 * time that is spent waiting for the client counts. The body's iterator is never returned early: for node:http that
 * would destroy the socket on which the error is still to be sent.
 */
export class BodyReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #idleTimeoutMs: number;
  /** One timer for the whole body, re-armed by each wait. */
  #timer: NodeJS.Timeout | undefined;
  /** Fails the wait in progress. Between waits the timer may fire unheard: the last one is settled. */
  #fail: (error: Error) => void = () => {};

  constructor(options: { body: AsyncIterable<Uint8Array>; idleTimeoutMs: number }) {
    this.#iterator = options.body[Symbol.asyncIterator]();
    this.#idleTimeoutMs = options.idleTimeoutMs;
  }

  /**
   * The next bytes, which belong to the caller; undefined at the end.
   * @throws S3Error RequestTimeout, IncompleteBody where the connection broke
   */
  next(): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#arm();
      this.#iterator.next().then(
        (result) => resolve(result.done ? undefined : result.value),
        (error: unknown) => reject(isConnectionError(error) ? brokenFraming() : error),
      );
    });
  }

  /** Stops the timer. The bytes that were not read stay where they are. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#timer) {
      this.#timer.refresh();
      return;
    }
    this.#timer = setTimeout(() => this.#fail(new S3Error('RequestTimeout')), this.#idleTimeoutMs);
    this.#timer.unref();
  }
}
