/**
 * Gives the memory beneath a buffer back at once; nothing is in it afterwards. The garbage collector would find it too, but
 * hundreds of blocks later: to V8 a block of 256 KiB is a small object with something large outside of its heap.
 *
 * Only for whoever owns the whole `ArrayBuffer`, and once nobody reads it any more, the kernel included.
 */
export function releaseMemory(bytes: Uint8Array): void {
  (bytes.buffer as ArrayBuffer).transfer(0);
}

/** The same chunks, each of which is good until the next one is asked for. They must be the consumer's to keep. */
export async function* releaseEach(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of chunks) {
    yield chunk;
    releaseMemory(chunk);
  }
}
