import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AnswerParser } from './answer-parser.ts';

/** What came back. The body of an answer that is no success is kept as far as it explains it. */
export interface Answer {
  readonly status: number;
  readonly bodyBytes: number;
  readonly errorText: string;
  /** The server closes the connection behind it. */
  readonly isLast: boolean;
}

/** Read into by all connections in turn: what is read is looked at before the next read, and not kept. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);

/**
 * An HTTP/1.1 client on one connection, for one request at a time: a small fraction of the CPU time of
 * node:http's, so that the load takes little from the server that is measured. It fails on what it does not understand.
 */
export class HttpConnection {
  readonly #socket: Socket;
  readonly #parser = new AnswerParser();
  #isEnding = false;
  #waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** @param url of the server; http, or https with a certificate that this machine trusts */
  static async open(url: URL): Promise<HttpConnection> {
    const isTls = url.protocol === 'https:';
    const target = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || (isTls ? 443 : 80) };
    if (isTls) {
      const socket = connectTls({ ...target, servername: target.host });
      const connection = new HttpConnection(socket.setNoDelay());
      socket.on('data', (bytes) => connection.#receive(bytes));
      await once(socket, 'secureConnect');
      return connection;
    }
    const socket = createConnection({
      ...target,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (count, buffer) => {
          connection.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, count));
          return true;
        },
      },
    });
    const connection = new HttpConnection(socket);
    await once(socket, 'connect');
    return connection;
  }

  get isBusy(): boolean {
    return this.#waiting !== undefined;
  }

  /** Whether another request can be sent, as far as is known. */
  get isOpen(): boolean {
    return !this.#isEnding && !this.#socket.destroyed && this.#socket.writable;
  }

  /** @param head of the request, ending with an empty line; `body` must be as long as it says */
  send(head: Uint8Array, body: Uint8Array | undefined): Promise<Answer> {
    if (this.#waiting !== undefined) throw new Error('a connection has one request at a time');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#socket.destroyed) return this.#fail(new Error('the server closed the connection'));
      this.#socket.cork();
      this.#socket.write(head);
      if (body !== undefined && body.length > 0) this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    try {
      const answer = this.#parser.push(bytes);
      if (answer === undefined) return;
      this.#isEnding = answer.isLast;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(answer);
    } catch (error) {
      this.#fail(error as Error);
      this.close();
    }
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}
