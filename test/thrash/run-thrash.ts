import { parseArgs } from 'node:util';
import { thrash } from './thrash.ts';

// node test/thrash/run-thrash.ts [--ops N] [--seed S]: the long form of thrash.test.ts.

const { values } = parseArgs({
  options: { ops: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const acts = Number(values.ops);
const seed = values.seed === undefined ? Date.now() & 0x7fffffff : Number(values.seed);
const reportEvery = 10_000;

const startedAtMs = performance.now();
let reported = 0;

function render(counts: ReadonlyMap<string, number>): string {
  return Array.from(counts, ([name, count]) => `${name} ${count}`)
    .sort()
    .join(', ');
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function progress(done: number): string {
  const seconds = (performance.now() - startedAtMs) / 1000;
  const memory = `${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB of memory`;
  return `${Math.round(done / seconds)} a second, ${Math.round(done / cpuSeconds())} a second of CPU, ${memory}`;
}

process.stdout.write(`${acts} operations, seed ${seed}\n`);
const report = await thrash({
  acts,
  seed,
  onRound: (done) => {
    if (done - reported < reportEvery) return;
    reported = done;
    process.stdout.write(`${done} operations, ${progress(done)}\n`);
  },
});
process.stdout.write(
  [
    `operations: ${report.acts} in ${report.rounds} rounds, ${progress(report.acts)}: ${render(report.counts)}`,
    `faults: ${render(report.faults)}`,
    `shards: ${report.shardsRepaired} rebuilt, ${report.shardsMoved} moved; the gateway and its fleet: ${render(report.events)}`,
    `checked: ${report.objects} objects byte for byte, every shard of ${report.stripes} stripes, no orphans, the status`,
    `CPU: ${Math.round(cpuSeconds())} s`,
    '',
  ].join('\n'),
);
