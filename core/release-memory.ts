/**
 * Gives the memory beneath a buffer back at once; nothing is in it afterwards. The garbage collector would find it too, but
 * hundreds of blocks later: to V8 a block of 256 KiB is a small object with something large outside of its heap.
 *
 * Only for whoever owns the whole `ArrayBuffer`, and once nobody reads it any more, the kernel included.
 */
export function releaseMemory(bytes: Uint8Array): void {
  (bytes.buffer as ArrayBuffer).transfer(0);
}

/** As `releaseMemory`, where that pays and the buffer is all of what lies beneath it. */
export function releaseWhole(bytes: Uint8Array): void {
  if (bytes.byteLength >= worthReleasingBytes && bytes.byteLength === bytes.buffer.byteLength) releaseMemory(bytes);
}

/** Below this the collector does as well, and cheaper. */
const worthReleasingBytes = 16 * 1024;

/**
 * The same chunks, each of which is good until the next one is asked for. They must be the consumer's to keep. Not a
 * generator, which would cost each chunk three promises.
 */
export function releaseEach(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => new ReleasingIterator(chunks[Symbol.asyncIterator]()) };
}

class ReleasingIterator implements AsyncIterator<Uint8Array, void, void> {
  readonly #source: AsyncIterator<Uint8Array>;
  #given: Uint8Array | undefined;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  async next(): Promise<IteratorResult<Uint8Array, void>> {
    this.#release();
    const next = await this.#source.next();
    if (next.done) return { done: true, value: undefined };
    this.#given = next.value;
    return next;
  }

  /** Releases nothing: whoever stops early may have the kernel still at work on the last chunk. */
  async return(): Promise<IteratorResult<Uint8Array, void>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  #release(): void {
    if (this.#given !== undefined && this.#given.byteLength >= worthReleasingBytes) releaseMemory(this.#given);
    this.#given = undefined;
  }
}
