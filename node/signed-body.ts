import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { digestContent, unsignedContent } from '../placement/providers/node/request-signature.ts';
import { NodeFault } from './node-fault.ts';
import type { SignedContent } from './request-gate.ts';

/** What comes is handed on in pieces of about this length: one write each. */
const pieceBytes = 256 * 1024;

/** The body of a request: as long as its signature says, and with the digest that it says. It is read once. */
export class SignedBody {
  readonly bytes: number;
  readonly #message: IncomingMessage;
  readonly #digest: string;
  readonly #idleMs: number;

  /** @param parts.idleMs how long the sender may send nothing; then the connection is cut */
  constructor(parts: { message: IncomingMessage; content: SignedContent; idleMs: number }) {
    this.bytes = parts.content.bytes;
    this.#message = parts.message;
    this.#digest = parts.content.digest;
    this.#idleMs = parts.idleMs;
  }

  /**
   * The whole body, which belongs to the caller.
   *
   * @throws NodeFault `too-large`, `content-mismatch`, `body-timeout`
   */
  async readAll(maxBytes: number): Promise<Buffer> {
    if (this.bytes > maxBytes) throw new NodeFault('too-large', `at most ${maxBytes} bytes are taken here`);
    const chunks: Buffer[] = [];
    for await (const chunk of this.#chunks()) chunks.push(chunk);
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, this.bytes);
    if (this.bytes > 0 && this.#digest !== unsignedContent) this.#compare(digestContent([body]));
    return body;
  }

  /**
   * The body in pieces, each a list of buffers that belong to the caller. What it throws at the end, where the digest does not fit, makes all of
   * them worthless.
   */
  async *pieces(): AsyncGenerator<readonly Buffer[]> {
    const digest = this.bytes > 0 && this.#digest !== unsignedContent ? createHash('sha256') : undefined;
    let piece: Buffer[] = [];
    let gatheredBytes = 0;
    for await (const chunk of this.#chunks()) {
      digest?.update(chunk);
      piece.push(chunk);
      gatheredBytes += chunk.length;
      if (gatheredBytes < pieceBytes) continue;
      yield piece;
      piece = [];
      gatheredBytes = 0;
    }
    if (digest !== undefined) this.#compare(digest.digest('hex'));
    if (piece.length > 0) yield piece;
  }

  #compare(digest: string): void {
    if (digest !== this.#digest) throw new NodeFault('content-mismatch', 'the body is not the one that was signed');
  }

  /** Node sees to it that there are as many bytes as the head says, or an error. */
  async *#chunks(): AsyncGenerator<Buffer> {
    if (this.bytes === 0) return;
    const message = this.#message;
    let isWaiting = true;
    const timer = setTimeout(() => {
      // Time that we take ourselves does not count.
      if (isWaiting) message.destroy(new NodeFault('body-timeout', 'the body stalled'));
      else timer.refresh();
    }, this.#idleMs);
    try {
      for await (const chunk of message as AsyncIterable<Buffer>) {
        isWaiting = false;
        yield chunk;
        isWaiting = true;
        timer.refresh();
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
