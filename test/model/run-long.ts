import { parseArgs } from 'node:util';
import { checkHistories } from './check-histories.ts';

// node test/model/run-long.ts [--histories N] [--seed S]: many histories, each of which is checked against the model. One
// that goes wrong ends the run and is printed as it belongs into regressions.test.ts.

const { values } = parseArgs({
  options: { histories: { type: 'string', default: '10000' }, seed: { type: 'string' } },
});
const count = Number(values.histories);
const seed = values.seed === undefined ? Date.now() & 0x7fffffff : Number(values.seed);
const reportEvery = 500;

const startedAtMs = performance.now();
let done = 0;
let stepCount = 0;

function report(): void {
  const seconds = Math.round((performance.now() - startedAtMs) / 1000);
  process.stdout.write(`${done} histories of ${stepCount} steps in ${seconds} s\n`);
}

process.stdout.write(`${count} histories, seed ${seed}\n`);
await checkHistories({
  count,
  seed,
  onDone: ({ steps }) => {
    done += 1;
    stepCount += steps.length;
    if (done % reportEvery === 0 || done === count) report();
  },
});
