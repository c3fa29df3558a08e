import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { findGroup, findTests, type GroupName, groups } from './groups/groups.ts';

// node test/run-tests.ts [--test-name-pattern TEXT]...: `npm test`. Every test file runs, in a process of its own or in that of its group; but
// not those that drive aws-cli and its like, which are slow to start and not on every machine: `npm run test:clients`.

/** What takes longest, in this order, so that nothing long is left to run alone in the end. The rest is short. */
const longest = [
  'crash/crash.test.ts',
  'groups/gateway.test.ts',
  'model/model.test.ts',
  'groups/engine.test.ts',
  'groups/parts.test.ts',
  'thrash/thrash.test.ts',
  'groups/fleet.test.ts',
  'memory/memory.test.ts',
  'crash/power-cut.test.ts',
  'crash/start-cost.test.ts',
  'thrash/node-processes.test.ts',
  'space/churn.test.ts',
  'startup/startup.test.ts',
  'startup/master-key.test.ts',
  'startup/crash.test.ts',
].map((name) => join(import.meta.dirname, name));

const names = Object.keys(groups) as GroupName[];
const grouped = new Set((await Promise.all(names.map(findGroup))).flat());
const ofClients = new Set(await findTests('clients'));
const files = (await findTests()).filter((path) => !grouped.has(path) && !ofClients.has(path));
const missing = longest.filter((path) => !files.includes(path));
if (missing.length > 0) throw new Error(`no test files of their own: ${missing.join(', ')}`);
// node --test would sort them by name.
const ordered = [...longest, ...files.filter((path) => !longest.includes(path))];

const { values } = parseArgs({ options: { 'test-name-pattern': { type: 'string', multiple: true, default: [] } } });
const stream = run({
  files: ordered,
  // Of two processes on two cores, one would often wait for the disk.
  concurrency: 3,
  timeout: 1_800_000,
  cwd: join(import.meta.dirname, '..'),
  testNamePatterns: values['test-name-pattern'],
});
stream.on('test:fail', ({ todo }) => {
  if (todo === undefined || todo === false) process.exitCode = 1;
});
stream.compose(new spec()).pipe(process.stdout);
