import { parseArgs } from 'node:util';
import { runCrashes } from './crash-run.ts';
import { parseStep } from './kill-plan.ts';

// node test/crash/run-crash.ts [--kills N] [--seed S] [--step NAME]...: many kills. The seed decides what is asked for and when
// the server is killed, though not how far it has come by then. Data of a run that failed are left where they are.

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string' },
    step: { type: 'string', multiple: true },
  },
});
const kills = Number(values.kills);
const seed = values.seed === undefined ? Date.now() & 0xffff : Number(values.seed);
const steps = values.step?.map(parseStep);
const beganAtMs = performance.now();

process.stdout.write(`${kills} kills, seed ${seed}\n`);
const report = await runCrashes({
  kills,
  seed,
  ...(steps && { steps }),
  say: (text) => process.stdout.write(`${text}\n`),
});
const starts = report.startsMs.toSorted((a, b) => a - b);
for (const [step, count] of report.killsAtSteps) process.stdout.write(`${String(count).padStart(5)} ${step}\n`);
process.stdout.write(
  `${report.kills} kills survived in ${((performance.now() - beganAtMs) / 1000).toFixed(0)} s, ${report.killsAtStart} of them at the start; ` +
    `${report.answered} requests answered, ${report.stripes} stripes in the end; ` +
    `start-up ${starts[starts.length >> 1]} ms in the middle, ${starts.at(-1)} ms at most\n`,
);
process.exitCode = [...report.killsAtSteps.values()].includes(0) ? 1 : 0;
