import { glob } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe } from 'node:test';

const testFolder = join(import.meta.dirname, '..');

/**
 * Folders whose files share one process in `npm test`, a file after the other: a process that loads a gateway and an SDK pays most of a
 * second for it, which is more than most of these files take. What kills, measures or fills a process runs in one of its own, and so
 * does each file of a folder that is not named here. Any file also runs by itself (`node --test FILE`).
 */
export const groups = {
  engine: ['engine', 'recovery'],
  gateway: ['admin', 'auth', 'faults', 's3', 'wire'],
  parts: ['core', 'crypto', 'erasure', 'gateway', 'gateway-unit', 'metadata', 'payload', 'placement'],
} as const;

export type GroupName = keyof typeof groups;

/** The test files below a folder of `test/`, in order; all where none is named. */
export async function findTests(folder = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const path of glob('**/*.test.ts', { cwd: join(testFolder, folder) }))
    found.push(join(testFolder, folder, path));
  return found.sort();
}

/** Registers all tests of a group with this process: each file is a suite, so that hooks at the top of one are its own. */
export async function importGroup(name: GroupName): Promise<void> {
  for (const folder of groups[name]) {
    for (const path of await findTests(folder)) describe(relative(testFolder, path), () => import(path));
  }
}
