import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { diskRecorder } from './disk-recorder.ts';

export * from 'node:fs';

const openReal = promisify(fs.open);
const writeReal = promisify(fs.writev);
const writeAtReal = promisify(fs.write);
const truncateReal = promisify(fs.ftruncate);

/** The callback form is never called: who uses it promisifies it first. */
function replace<T extends (...all: never[]) => unknown>(work: T): { [promisify.custom]: T } {
  return Object.assign(
    () => {
      throw new Error('this function is not recorded');
    },
    { [promisify.custom]: work },
  );
}

export const open = replace(async (path: string, flags: string, mode?: number): Promise<number> => {
  const fd = await openReal(path, flags, mode);
  const [creates, truncates] = [/[wa]/.test(flags), flags.includes('w')];
  diskRecorder.note({ kind: 'open', path: diskRecorder.pathOf(path), fd, creates, truncates });
  return fd;
});

export const writev = replace(async (fd: number, buffers: readonly Uint8Array[]) => {
  const result = await writeReal(fd, buffers);
  const bytes = Buffer.concat(buffers).subarray(0, result.bytesWritten);
  diskRecorder.note({ kind: 'write', fd, bytes: Buffer.from(bytes) });
  return result;
});

export const write = replace(async (fd: number, buffer: Uint8Array, from: number, length: number, position: number) => {
  const result = await writeAtReal(fd, buffer, from, length, position);
  const bytes = Buffer.from(buffer.subarray(from, from + result.bytesWritten));
  diskRecorder.note({ kind: 'write', fd, bytes, position });
  return result;
});

export function writeSync(fd: number, buffer: Uint8Array, from: number, length: number, position: number): number {
  const bytesWritten = fs.writeSync(fd, buffer, from, length, position);
  diskRecorder.note({ kind: 'write', fd, bytes: Buffer.from(buffer.subarray(from, from + bytesWritten)), position });
  return bytesWritten;
}

export const ftruncate = replace(async (fd: number, length: number) => {
  await truncateReal(fd, length);
  diskRecorder.note({ kind: 'truncate', fd, length });
});

export const fdatasync = replace((fd: number) => sync(fd, promisify(fs.fdatasync)));
export const fsync = replace((fd: number) => sync(fd, promisify(fs.fsync)));

async function sync(fd: number, work: (fd: number) => Promise<void>): Promise<void> {
  const ticket = diskRecorder.drawTicket();
  diskRecorder.note({ kind: 'sync-begin', fd, ticket });
  await work(fd);
  diskRecorder.note({ kind: 'sync-end', ticket });
}

export function fdatasyncSync(fd: number): void {
  const ticket = diskRecorder.drawTicket();
  diskRecorder.note({ kind: 'sync-begin', fd, ticket });
  fs.fdatasyncSync(fd);
  diskRecorder.note({ kind: 'sync-end', ticket });
}
