import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a small file whole or not at all: temporary file, flush, rename, flush of the folder. */
export async function writeFileSafely(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
