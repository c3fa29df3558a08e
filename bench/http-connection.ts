import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

/** What came back. The body of an answer that is no success is kept as far as it explains it. */
export interface Answer {
  readonly status: number;
  readonly bodyBytes: number;
  readonly errorText: string;
}

/** Read into by all connections in turn: what is read is looked at before the next read, and not kept. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024);
const maxHeadBytes = 16 * 1024;
const maxErrorBytes = 1024;

/**
 * An HTTP/1.1 client on one connection, for one request at a time and answers with a Content-Length: a small fraction of the CPU time of
 * node:http's, so that the load takes little from the server that is measured. It understands nothing that the
 * servers of this benchmark do not send, and fails on it.
 */
export class HttpConnection {
  readonly #socket: Socket;
  #head = '';
  /** Bytes of the answer's body that are still to come; undefined in its head. */
  #bodyLeft: number | undefined;
  #status = 0;
  #bodyBytes = 0;
  #errorText = '';
  #waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined;

  private constructor(url: URL) {
    this.#socket = createConnection({
      host: url.hostname,
      port: Number(url.port),
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (count, buffer) => {
          this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, count));
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static async open(url: URL): Promise<HttpConnection> {
    const connection = new HttpConnection(url);
    await once(connection.#socket, 'connect');
    return connection;
  }

  get isBusy(): boolean {
    return this.#waiting !== undefined;
  }

  /** @param head of the request, ending with an empty line; `body` must be as long as it says */
  send(head: Uint8Array, body: Uint8Array | undefined): Promise<Answer> {
    if (this.#waiting !== undefined) throw new Error('a connection has one request at a time');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
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
      const body = this.#bodyLeft === undefined ? this.#readHead(bytes) : bytes;
      if (body === undefined) return;
      this.#readBody(body);
    } catch (error) {
      this.#fail(error as Error);
      this.close();
    }
  }

  /** @returns what follows the head, or undefined while it is not complete */
  #readHead(bytes: Buffer): Buffer | undefined {
    const seen = this.#head.length;
    this.#head += bytes.toString('latin1', 0, Math.min(bytes.length, maxHeadBytes));
    const end = this.#head.indexOf('\r\n\r\n', Math.max(0, seen - 3));
    if (end < 0) {
      if (this.#head.length >= maxHeadBytes) throw new Error('an answer without an end of its head');
      return undefined;
    }
    const head = this.#head.slice(0, end);
    this.#head = '';
    this.#status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined && this.#status !== 204) throw new Error(`an answer without a length:\n${head}`);
    this.#bodyLeft = Number(length ?? 0);
    return bytes.subarray(end + 4 - seen);
  }

  #readBody(bytes: Buffer): void {
    const left = (this.#bodyLeft ?? 0) - bytes.length;
    if (left < 0) throw new Error('an answer that is longer than it says');
    this.#bodyLeft = left;
    this.#bodyBytes += bytes.length;
    if (this.#status >= 300 && this.#errorText.length < maxErrorBytes) this.#errorText += bytes.toString();
    if (left > 0) return;
    const answer = { status: this.#status, bodyBytes: this.#bodyBytes, errorText: this.#errorText };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#bodyLeft = undefined;
    this.#bodyBytes = 0;
    this.#errorText = '';
    waiting?.resolve(answer);
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}
