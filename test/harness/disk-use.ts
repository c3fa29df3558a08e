import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What the files below a folder take on the disk, in bytes; files that go away meanwhile do not count. */
export async function measureDiskUse(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const found = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    // POSIX counts in units of 512 bytes, whatever the file system's blocks are.
    bytes += (found?.blocks ?? 0) * 512;
  }
  return bytes;
}
