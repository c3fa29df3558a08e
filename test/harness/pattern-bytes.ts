import { createCipheriv, createHash } from 'node:crypto';

/** Bytes that look random but are the same for the same seed, so that a failure can be repeated. */
export function patternBytes(lengthBytes: number, seed: number | string = 1): Buffer {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
}

/** In hex digits, as an ETag has it. */
export function md5Hex(bytes: Uint8Array | string): string {
  return createHash('md5').update(bytes).digest('hex');
}
