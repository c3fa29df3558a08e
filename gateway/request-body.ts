import type { IncomingMessage, ServerResponse } from 'node:http';
import { releaseWhole } from '../core/release-memory.ts';
import type { RequestTally } from '../core/request-tally.ts';
import { brokenFraming, isConnectionError, wrongByteCount } from './payload/body-errors.ts';
import { S3Error } from './s3-error.ts';

/** How long the rest of a body that was refused may take to arrive. */
const maxDropMs = 10_000;
const noBytes = new Uint8Array(0);

/**
 * The body of a request as it is framed. It is read once: piece by piece, or all at once. A client that waits for
 * 100-continue is told to go on when the bytes are first asked for.
 */
export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #tally: RequestTally;
  #awaitsContinue: boolean;
  #pieces: AsyncGenerator<Uint8Array> | undefined;
  /** Every byte is here, though the parser may not have said so yet. */
  #isWhole = false;

  constructor(parts: {
    message: IncomingMessage;
    response: ServerResponse;
    tally: RequestTally;
    /** The client sent `Expect: 100-continue`. */
    awaitsContinue: boolean;
  }) {
    this.#message = parts.message;
    this.#response = parts.response;
    this.#tally = parts.tally;
    this.#awaitsContinue = parts.awaitsContinue;
  }

  /** Whether the client still waits to be told to go on. */
  get awaitsContinue(): boolean {
    return this.#awaitsContinue;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    this.#pieces ??= this.#read();
    return this.#pieces;
  }

  /**
   * All of a body of known length in one buffer, which belongs to the caller. A small one has often come along with its
   * head; then this costs no event, no timer and no turn.
   *
   * @param idleTimeoutMs how long the client may send nothing
   * @throws S3Error RequestTimeout, IncompleteBody where the connection broke
   */
  readAll(sizeBytes: number, idleTimeoutMs: number): Promise<Uint8Array> {
    this.#tellToGoOn();
    const message = this.#message;
    if (sizeBytes === 0) return Promise.resolve(noBytes);
    if (message.readableLength !== sizeBytes) return this.#collect(sizeBytes, idleTimeoutMs);
    this.#isWhole = true;
    this.#tally.bytesIn += sizeBytes;
    const pieces: Uint8Array[] = [];
    // From node 26 on `read` gives what came at once, and not all that is there.
    for (let piece = message.read(); piece !== null; piece = message.read()) pieces.push(piece);
    // The parser says that the body is over only after this turn; whoever flows hears it.
    message.resume();
    return Promise.resolve(joinPieces(pieces));
  }

  /**
   * Reads and drops what is left of a body that was refused in its midst: many a client looks at no answer before it
   * has sent everything, and the next request on the connection lies behind it.
   */
  drop(): void {
    const { complete, socket } = this.#message;
    if (!(this.#isWhole || complete || socket.destroyed || this.#awaitsContinue)) void this.#drop();
  }

  async #drop(): Promise<void> {
    const message = this.#message;
    const { socket } = message;
    const giveUp = (): void => void message.destroy();
    const limit = setTimeout(giveUp, maxDropMs);
    // Node no longer tells a request that was answered that its connection broke.
    socket.once('close', giveUp);
    const pieces = this[Symbol.asyncIterator]();
    try {
      while (!(await pieces.next()).done);
    } catch {
      // The client went away, which is all the same now.
    } finally {
      clearTimeout(limit);
      socket.off('close', giveUp);
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    this.#tellToGoOn();
    for await (const chunk of this.#message as AsyncIterable<Uint8Array>) {
      this.#tally.bytesIn += chunk.length;
      yield chunk;
      // Asked for the next one, nobody reads it any more.
      releaseWhole(chunk);
    }
  }

  #tellToGoOn(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.#response.writeContinue();
  }

  /** By events and not by iteration, so that an end before its time leaves the connection alone: the error is still to be sent. */
  #collect(sizeBytes: number, idleTimeoutMs: number): Promise<Uint8Array> {
    const message = this.#message;
    const pieces: Uint8Array[] = [];
    let receivedBytes = 0;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const stop = (): void => {
      clearTimeout(timer);
      message.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
      message.pause();
    };
    const fail = (error: unknown): void => {
      stop();
      reject(error);
    };
    const onData = (chunk: Uint8Array): void => {
      receivedBytes += chunk.length;
      this.#tally.bytesIn += chunk.length;
      // More than was said can come only of a mistake of ours; it is not to cost memory as well.
      if (receivedBytes <= sizeBytes) pieces.push(chunk);
      timer.refresh();
    };
    const onEnd = (): void => {
      stop();
      if (receivedBytes !== sizeBytes) reject(wrongByteCount(sizeBytes, receivedBytes));
      else resolve(joinPieces(pieces));
    };
    const onError = (error: Error): void => fail(isConnectionError(error) ? brokenFraming() : error);
    const onClose = (): void => fail(brokenFraming());
    const timer = setTimeout(() => fail(new S3Error('RequestTimeout')), idleTimeoutMs);
    if (message.destroyed) onClose();
    else message.on('error', onError).on('close', onClose).on('end', onEnd).on('data', onData);
    return promise;
  }
}

function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
