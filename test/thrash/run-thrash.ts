import { parseArgs } from 'node:util';
import { thrash } from './thrash.ts';

// node test/thrash/run-thrash.ts [--ops N] [--seed S]: the long form of thrash.test.ts.

const { values } = parseArgs({
  options: { ops: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const acts = Number(values.ops);
const seed = values.seed === undefined ? Date.now() & 0x7fffffff : Number(values.seed);
const reportEvery = 20_000;

const startedAtMs = performance.now();
let reported = 0;

function render(counts: ReadonlyMap<string, number>): string {
  return Array.from(counts, ([name, count]) => `${name} ${count}`)
    .sort()
    .join(', ');
}

function perSecond(done: number): string {
  return `${Math.round(done / ((performance.now() - startedAtMs) / 1000))} a second`;
}

process.stdout.write(`${acts} operations, seed ${seed}\n`);
const report = await thrash({
  acts,
  seed,
  onRound: (done) => {
    if (done - reported < reportEvery) return;
    reported = done;
    process.stdout.write(`${done} operations, ${perSecond(done)}\n`);
  },
});
const { user, system } = process.cpuUsage();
process.stdout.write(
  [
    `operations: ${report.acts} in ${report.rounds} rounds, ${perSecond(report.acts)}: ${render(report.counts)}`,
    `faults: ${render(report.faults)}`,
    `shards: ${report.shardsRepaired} rebuilt, ${report.shardsMoved} moved; ${report.restarts} restarts of the engine`,
    `checked: ${report.objects} objects byte for byte, every shard of ${report.stripes} stripes, no orphans, the status`,
    `CPU: ${Math.round((user + system) / 1e6)} s`,
    '',
  ].join('\n'),
);
