import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly text: string;
}

/** A socket that sends exactly the bytes it is given and takes the answers apart, `100 Continue` included. */
export class RawConnection {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isEnded = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    const end = (): void => {
      this.#isEnded = true;
      this.#wake();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  /** Whether the server closed its side. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** What came and was not read yet. */
  get unread(): Buffer {
    return this.#received;
  }

  /** Resolves when the bytes are handed to the system; to a server that has gone it is not an error. */
  write(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.writable) this.#socket.write(bytes, () => resolve());
      else resolve();
    });
  }

  /** The next answer; `toHead` tells that it can have no body. Throws when the server closes before its end. */
  async readAnswer({ toHead = false } = {}): Promise<RawAnswer> {
    const headEnd = await this.#waitFor(() => {
      const index = this.#received.indexOf('\r\n\r\n');
      return index < 0 ? undefined : index + 4;
    });
    const [statusLine = '', ...lines] = this.#take(headEnd).toString('latin1').trimEnd().split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    assert.ok(status, `a status line, not ${JSON.stringify(statusLine)}`);
    const headers = new Headers();
    for (const line of lines)
      headers.append(line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim());
    const hasBody = !toHead && status >= 200 && status !== 204 && status !== 304;
    const body = hasBody ? await this.#readBody(headers) : Buffer.alloc(0);
    return { status, headers, body, text: body.toString() };
  }

  async #readBody(headers: Headers): Promise<Buffer> {
    if (headers.get('transfer-encoding') === 'chunked') return this.#readChunked();
    const lengthBytes = Number(headers.get('content-length') ?? 0);
    await this.#waitFor(() => (this.#received.length >= lengthBytes ? true : undefined));
    return this.#take(lengthBytes);
  }

  async #readChunked(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const lineEnd = await this.#waitFor(() => {
        const index = this.#received.indexOf('\r\n');
        return index < 0 ? undefined : index + 2;
      });
      const lengthBytes = Number.parseInt(this.#take(lineEnd).toString('latin1'), 16);
      await this.#waitFor(() => (this.#received.length >= lengthBytes + 2 ? true : undefined));
      chunks.push(this.#take(lengthBytes));
      this.#take(2);
      if (lengthBytes === 0) return Buffer.concat(chunks);
    }
  }

  /** Resolves when the server has closed its side. */
  async waitForEnd(): Promise<void> {
    while (!this.#isEnded) await this.#nextEvent();
  }

  /** Closes the client's side; the server may still answer. */
  end(): void {
    this.#socket.end();
  }

  /** Closes at once, with a reset where something was not read or sent yet. */
  destroy(): void {
    this.#socket.resetAndDestroy();
  }

  #take(lengthBytes: number): Buffer {
    const taken = this.#received.subarray(0, lengthBytes);
    this.#received = this.#received.subarray(lengthBytes);
    return taken;
  }

  async #waitFor<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#isEnded)
        throw new Error(`closed by the server; unread: ${JSON.stringify(this.#received.toString('latin1'))}`);
      await this.#nextEvent();
    }
  }

  #nextEvent(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** The bytes of a request's head. */
export function renderHead(method: string, pathAndQuery: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${pathAndQuery} HTTP/1.1\r\n${lines.join('')}\r\n`;
}
