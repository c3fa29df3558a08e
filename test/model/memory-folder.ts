import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** A folder for files that are flushed often in tests which are not about flushing: in memory where the system has such a one. */
export const memoryFolder: string = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
