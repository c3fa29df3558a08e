import type { Answer } from './http-connection.ts';

const maxHeadBytes = 16 * 1024;
const maxErrorBytes = 1024;

/**
 * Reads answers of HTTP/1.1 one after the other, as their bytes come. Bodies are counted and dropped. It knows lengths and chunks
 * (RFC 9112, sections 6 and 7); an answer that ends where the connection does is an error, as are trailers.
 */
export class AnswerParser {
  #head = '';
  #isInBody = false;
  /** Bytes of the body, or of its present chunk with the line's end behind it, that are still to come. */
  #left = 0;
  #isChunked = false;
  /** The line with a chunk's length, as far as it has come. */
  #line = '';
  #isLastChunk = false;
  #status = 0;
  #bodyBytes = 0;
  #errorText = '';
  #isLast = false;

  /** @returns the answer that these bytes complete, if any; @throws Error for what it does not understand */
  push(bytes: Buffer): Answer | undefined {
    const body = this.#isInBody ? bytes : this.#readHead(bytes);
    if (body === undefined) return undefined;
    return (this.#isChunked ? this.#readChunks(body) : this.#readBody(body)) ? this.#finish() : undefined;
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
    this.#isChunked = length === undefined && /\r\ntransfer-encoding: *chunked/i.test(head);
    if (length === undefined && !this.#isChunked && this.#status !== 204)
      throw new Error(`an answer without a length:\n${head}`);
    this.#isInBody = true;
    // Before HTTP/1.1 a connection had to be kept on purpose (RFC 9112, section 9.3).
    this.#isLast = head.startsWith('HTTP/1.0')
      ? !/\r\nconnection: *keep-alive/i.test(head)
      : /\r\nconnection: *close/i.test(head);
    this.#left = Number(length ?? 0);
    return bytes.subarray(end + 4 - seen);
  }

  #readBody(bytes: Buffer): boolean {
    if (bytes.length > this.#left) throw new Error('an answer that is longer than it says');
    this.#left -= bytes.length;
    this.#take(bytes);
    return this.#left === 0;
  }

  #readChunks(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left === 0) {
        const end = bytes.indexOf('\n', at);
        this.#line += bytes.toString('latin1', at, end < 0 ? bytes.length : end);
        if (this.#line.length > maxErrorBytes) throw new Error('a chunk without a length');
        if (end < 0) return false;
        at = end + 1;
        this.#beginChunk();
        continue;
      }
      const taken = Math.min(this.#left, bytes.length - at);
      // The last two bytes are the end of the line behind the chunk.
      const ofBody = Math.max(0, Math.min(taken, this.#left - 2));
      this.#take(bytes.subarray(at, at + ofBody));
      if (!/^\r?\n?$/.test(bytes.toString('latin1', at + ofBody, at + taken)))
        throw new Error('a chunk without an end');
      this.#left -= taken;
      at += taken;
      if (this.#left > 0 || !this.#isLastChunk) continue;
      if (at < bytes.length) throw new Error('an answer that is longer than it says');
      return true;
    }
    return false;
  }

  #beginChunk(): void {
    const length = /^([\da-f]+)(?:;.*)?\r$/i.exec(this.#line)?.[1];
    if (length === undefined) throw new Error(`not the length of a chunk: ${this.#line}`);
    this.#line = '';
    this.#left = Number.parseInt(length, 16) + 2;
    this.#isLastChunk = this.#left === 2;
  }

  #take(bytes: Buffer): void {
    this.#bodyBytes += bytes.length;
    if (this.#status >= 300 && this.#errorText.length < maxErrorBytes) this.#errorText += bytes.toString();
  }

  #finish(): Answer {
    const answer = {
      status: this.#status,
      bodyBytes: this.#bodyBytes,
      errorText: this.#errorText,
      isLast: this.#isLast,
    };
    this.#isInBody = false;
    this.#isLastChunk = false;
    this.#bodyBytes = 0;
    this.#errorText = '';
    return answer;
  }
}
