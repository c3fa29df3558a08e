import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const testFolder = join(import.meta.dirname, '..');

/**
 * Folders whose files share one process in `npm test`, a file after the other: a process that loads a gateway and an SDK pays most of a
 * second for it, which is more than most of these files take. What kills, measures or fills a process runs in one of its own, and so
 * does each file of a folder that is not named here. Any file also runs by itself (`node --test FILE`).
 */
export const groups = {
  engine: ['engine', 'recovery'],
  fleet: ['node', 'upkeep'],
  gateway: ['admin', 'auth', 'faults', 's3', 'wire'],
  parts: ['core', 'crypto', 'erasure', 'gateway', 'gateway-unit', 'metadata', 'monitoring', 'payload', 'placement'],
} as const;

export type GroupName = keyof typeof groups;

/** Hooks outside of all suites would run for every test of the process. */
const hookOfAll = /^(test\.|it\.)?(before|after|beforeEach|afterEach)\(/m;

/** All test files, in order. */
export async function findTests(folder = ''): Promise<string[]> {
  const found: string[] = [];
  for await (const path of glob('**/*.test.ts', { cwd: join(testFolder, folder) })) {
    found.push(join(testFolder, folder, path));
  }
  return found.sort();
}

/** The files of a group: all of its folders but those that have hooks outside of all suites. */
export async function findGroup(name: GroupName): Promise<string[]> {
  const paths = (await Promise.all(groups[name].map((folder) => findTests(folder)))).flat();
  const isShared = await Promise.all(paths.map(async (path) => !hookOfAll.test(await readFile(path, 'utf8'))));
  return paths.filter((_, index) => isShared[index]);
}

/** Registers all tests of a group with this process. */
export async function importGroup(name: GroupName): Promise<void> {
  for (const path of await findGroup(name)) await import(path);
}
