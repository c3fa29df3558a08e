import { chmod, readFile } from 'node:fs/promises';

/** A secret that an earlier start kept; undefined where there is none. Its file is for its owner alone from now on. */
export async function readKeptFile(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text !== undefined) await chmod(path, 0o600);
  return text;
}
