import { brokenFraming } from './body-errors.ts';
import type { BodyReader } from './body-reader.ts';

const nothing = new Uint8Array(0);
const lineFeed = 0x0a;

/** Reads lines and runs of bytes from a body whose pieces may end anywhere. */
export class ChunkCursor {
  readonly #reader: BodyReader;
  #piece: Uint8Array = nothing;
  #offset = 0;

  constructor(reader: BodyReader) {
    this.#reader = reader;
  }

  /**
   * The text before the next CRLF, as Latin-1; a lone CR or LF belongs to the text. Undefined where the body has ended.
   * @throws S3Error IncompleteBody where it ends, or `maxBytes` are read, before CRLF
   */
  async readLine(maxBytes: number): Promise<string | undefined> {
    let text = '';
    while (await this.#fill()) {
      const found = this.#piece.indexOf(lineFeed, this.#offset);
      const end = found < 0 ? this.#piece.length : found + 1;
      if (text.length + end - this.#offset > maxBytes + 2) throw brokenFraming();
      text += latin1(this.#piece.subarray(this.#offset, end));
      this.#offset = end;
      if (found >= 0 && text.endsWith('\r\n')) return text.slice(0, -2);
    }
    if (text === '') return undefined;
    throw brokenFraming();
  }

  /** At least one and at most `maxBytes` bytes, not copied. @throws S3Error IncompleteBody where the body has ended */
  async readSome(maxBytes: number): Promise<Uint8Array> {
    if (!(await this.#fill())) throw brokenFraming();
    const start = this.#offset;
    this.#offset = Math.min(this.#piece.length, start + maxBytes);
    return this.#piece.subarray(start, this.#offset);
  }

  /** Reads and drops what is left. @throws S3Error IncompleteBody where it is more than `maxBytes` */
  async drain(maxBytes: number): Promise<void> {
    for (let left = maxBytes; await this.#fill(); this.#piece = nothing) {
      left -= this.#piece.length - this.#offset;
      this.#offset = 0;
      if (left < 0) throw brokenFraming();
    }
  }

  /** Makes sure that there is at least one byte; false at the end. */
  async #fill(): Promise<boolean> {
    while (this.#offset >= this.#piece.length) {
      const piece = await this.#reader.next();
      if (!piece) return false;
      this.#piece = piece;
      this.#offset = 0;
    }
    return true;
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
