/** Takes the body of an answer as it comes, and holds no more of it than was asked for. */
export interface AnswerSink<T> {
  /** @throws Error for more than there may be, or for what it does not understand; the request is then given up */
  push(chunk: Uint8Array): void;
  /** What the body came to. @throws Error where it is not whole */
  end(): T;
}

/** Exactly `length` bytes, in a buffer that belongs to the caller. */
export class ExactSink implements AnswerSink<Uint8Array> {
  readonly #bytes: Buffer;
  #filled = 0;

  constructor(length: number) {
    this.#bytes = Buffer.allocUnsafeSlow(length);
  }

  push(chunk: Uint8Array): void {
    if (this.#filled + chunk.length > this.#bytes.length) throw tooLong(this.#bytes.length);
    this.#bytes.set(chunk, this.#filled);
    this.#filled += chunk.length;
  }

  end(): Uint8Array {
    if (this.#filled < this.#bytes.length) {
      throw new RangeError(`the answer ended after ${this.#filled} of ${this.#bytes.length} bytes`);
    }
    return this.#bytes;
  }
}

/** Up to `maxBytes`, as they are. */
export class BytesSink implements AnswerSink<Buffer> {
  readonly #maxBytes: number;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Uint8Array): void {
    this.#length += chunk.length;
    if (this.#length > this.#maxBytes) throw tooLong(this.#maxBytes);
    this.#chunks.push(chunk);
  }

  end(): Buffer {
    return Buffer.concat(this.#chunks, this.#length);
  }
}

/** A JSON document of up to `maxBytes`, as whoever asked understands it. */
export class JsonSink<T> implements AnswerSink<T> {
  readonly #bytes: BytesSink;
  readonly #parse: (value: Readonly<Record<string, unknown>>) => T;

  /** @param parse throws for what it does not understand */
  constructor(maxBytes: number, parse: (value: Readonly<Record<string, unknown>>) => T) {
    this.#bytes = new BytesSink(maxBytes);
    this.#parse = parse;
  }

  push(chunk: Uint8Array): void {
    this.#bytes.push(chunk);
  }

  end(): T {
    const value: unknown = JSON.parse(this.#bytes.end().toString());
    if (typeof value !== 'object' || value === null) throw new TypeError('the answer is no JSON object');
    return this.#parse(value as Record<string, unknown>);
  }
}

function tooLong(maxBytes: number): Error {
  return new RangeError(`the answer is longer than ${maxBytes} bytes`);
}
