import * as fs from 'node:fs/promises';
import { diskRecorder } from './disk-recorder.ts';

export * from 'node:fs/promises';

export async function mkdir(path: string, options?: { recursive: true }): Promise<string | undefined> {
  const made = await fs.mkdir(path, options);
  diskRecorder.note({ kind: 'mkdir', path: diskRecorder.pathOf(path) });
  return made;
}

export async function rename(from: string, to: string): Promise<void> {
  await fs.rename(from, to);
  diskRecorder.note({ kind: 'rename', from: diskRecorder.pathOf(from), to: diskRecorder.pathOf(to) });
}

export async function unlink(path: string): Promise<void> {
  await fs.unlink(path);
  diskRecorder.note({ kind: 'remove', path: diskRecorder.pathOf(path) });
}

export async function rm(path: string, options?: { recursive: boolean; force: boolean }): Promise<void> {
  await fs.rm(path, options);
  diskRecorder.note({ kind: 'remove', path: diskRecorder.pathOf(path) });
}
