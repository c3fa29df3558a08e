import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Names that clients must encode, quote or sort with care; all of them are legal in a file system and in a key. */
export const oddNames: readonly string[] = [
  'plain.txt',
  'with space.txt',
  ' leading and trailing ',
  'a+b=c&d.txt',
  'percent%20literal%',
  'question?mark#hash',
  'semi;colon,comma@at$dollar!',
  'quote\'double"back`tick',
  'round(square[curly{angle<>}])',
  'tilde~caret^pipe|',
  '.hidden/..double/...triple',
  'umlaut-äöüß-é',
  '日本語/ファイル',
  'emoji-🪢-knot',
  'deep/er/and/deep/er/still',
  `long-${'n'.repeat(200)}`,
];

/** Lengths around the places where Holdfast cuts: nothing, one byte, a block, a row, more than one row. */
const sizes: readonly number[] = [
  0, 1, 4095, 4096, 4097, 16_384, 16_385, 100_000, 262_143, 262_145, 1_048_575, 1_048_577, 2_500_000,
];

/** `length` bytes that look random and are the same for the same seed. */
export function seededBytes(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Writes files of all those names and sizes below `folder`, and so many more small ones as asked for. */
export async function writeTree(folder: string, options: { seed: string; smallFiles: number }): Promise<void> {
  const small = Array.from({ length: options.smallFiles }, (_, index) => `small/${index % 10}/file-${index}.dat`);
  const names = [...oddNames, ...small];
  for (const [index, name] of names.entries()) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    const length = index < sizes.length ? sizes[index]! : 100 + ((index * 7919) % 20_000);
    await writeFile(path, seededBytes(`${options.seed}/${name}`, length));
  }
}

/** SHA-256 in hex of every file below `folder`, by path. */
export async function hashTree(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const hashes: Record<string, string> = {};
  for (const path of entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)))
    hashes[relative(folder, path)] = await hashFile(path);
  return hashes;
}

export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
