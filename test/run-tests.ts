import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, relative } from 'node:path';
import { findGroup, findTests, type GroupName, groups } from './groups/groups.ts';

// node test/run-tests.ts [node's options]: `npm test`. Every test file runs, in a process of its own or in that of its group; but
// not those that drive aws-cli and its like, which are slow to start and not on every machine: `npm run test:clients`.

const project = join(import.meta.dirname, '..');
const names = Object.keys(groups) as GroupName[];
const grouped = new Set((await Promise.all(names.map(findGroup))).flat());
const ofClients = new Set(await findTests('clients'));
const files = (await findTests())
  .filter((path) => !grouped.has(path) && !ofClients.has(path))
  .map((path) => relative(project, path));
const options = ['--test', '--test-concurrency=3', '--test-timeout=600000', ...process.argv.slice(2)];
const child = spawn(process.execPath, [...options, ...files], { cwd: project, stdio: 'inherit' });
const [code] = (await once(child, 'exit')) as [number | null];
process.exitCode = code ?? 1;
