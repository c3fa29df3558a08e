import { createHash, randomBytes } from 'node:crypto';

const pieceBytes = 256 * 1024;
const random = randomBytes(pieceBytes);

/**
 * A long body that takes no memory: pieces that differ from each other and from those of every other `name`, and do not compress.
 * Each piece is a buffer of its own, which belongs to the consumer.
 */
export function* generateBody(name: string, totalBytes: number): Generator<Buffer> {
  for (let offset = 0; offset < totalBytes; offset += pieceBytes) {
    const piece = Buffer.from(random.subarray(0, Math.min(pieceBytes, totalBytes - offset)));
    createHash('sha256').update(`${name}/${offset}`).digest().copy(piece);
    yield piece;
  }
}

export function hashGeneratedBody(name: string, totalBytes: number): string {
  const hash = createHash('sha256');
  for (const piece of generateBody(name, totalBytes)) hash.update(piece);
  return hash.digest('hex');
}
