import { readFile } from 'node:fs/promises';

/** CPU time that a process has taken so far. */
export interface CpuSeconds {
  readonly all: number;
  /** Of its first thread, which runs the JavaScript; the rest are file calls, garbage collection and compilation. */
  readonly mainThread: number;
}

/** USER_HZ, which Linux fixes at 100 for all that /proc tells (time(7)). */
const ticksPerSecond = 100;

export async function readCpuSeconds(pid: number): Promise<CpuSeconds> {
  const [all, mainThread] = await Promise.all([
    readTicks(`/proc/${pid}/stat`),
    readTicks(`/proc/${pid}/task/${pid}/stat`),
  ]);
  return { all: all / ticksPerSecond, mainThread: mainThread / ticksPerSecond };
}

/** utime and stime, fields 14 and 15 of proc(5); the name before them may hold spaces. */
async function readTicks(path: string): Promise<number> {
  const text = await readFile(path, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
