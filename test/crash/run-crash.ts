import { parseArgs } from 'node:util';
import { runCrashes } from './crash-run.ts';

// node test/crash/run-crash.ts [--kills N] [--seed S]: many kills over one data directory. The seed decides what is asked for
// and when the server is killed, though not how far it has come by then. Data of a run that failed are left where they are.

const { values } = parseArgs({ options: { kills: { type: 'string', default: '200' }, seed: { type: 'string' } } });
const kills = Number(values.kills);
const seed = values.seed === undefined ? Date.now() & 0xffff : Number(values.seed);

process.stdout.write(`${kills} kills, seed ${seed}\n`);
const { answered, startsMs, stripes } = await runCrashes({
  kills,
  seed,
  say: (text) => process.stdout.write(`${text}\n`),
});
const sorted = startsMs.toSorted((a, b) => a - b);
process.stdout.write(
  `${kills} kills survived, ${answered} requests answered, ${stripes} stripes in the end; ` +
    `start-up ${sorted[sorted.length >> 1]} ms in the middle, ${sorted.at(-1)} ms at most\n`,
);
