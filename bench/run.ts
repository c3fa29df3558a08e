import { availableParallelism, cpus, loadavg } from 'node:os';
import { benchCases } from './bench-case.ts';
import type { BenchReport } from './bench-command.ts';
import { commands } from './commands.ts';
import { RefusedBucketError } from './other-endpoint.ts';
import { type CommandLine, parseCommandLine, UsageError } from './parse-command-line.ts';
import { renderUsage } from './render-usage.ts';

// npm run bench -- [NAME ...] [flags]: the benchmarks of commands.ts, as Markdown, or as one JSON document.

const choice = { commands, caseCommand: 'gateway', caseNames: benchCases.map(({ name }) => name) };

async function runAll({ selections, values, isJson }: CommandLine): Promise<void> {
  const progress = (line: string): void => void process.stderr.write(`${line}\n`);
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const say = isJson ? progress : print;
  say(`${describeMachine()}\n`);
  const reports: { name: string; report: BenchReport }[] = [];
  for (const { command, names } of selections) {
    if (selections.length > 1) say(`## ${command.name}\n`);
    const report = await command.run({ ...values, names, progress, say });
    say(report.text);
    reports.push({ name: command.name, report });
  }
  const failures = reports.flatMap(({ report }) => report.failures ?? []);
  for (const failure of failures) progress(`not measured: ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
  // One shape for all: with rows of several benchmarks, each names its own.
  const rows = reports.flatMap(({ name, report }) => report.rows.map((row) => ({ bench: name, ...row })));
  if (isJson) print(JSON.stringify({ rows }, undefined, 2));
}

/** The load tells whether the machine had anything else to do, which would spoil the figures. */
function describeMachine(): string {
  const cores = `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown CPU'}`;
  return `${cores}, node ${process.version}, load average ${loadavg()[0]?.toFixed(1)} at the start`;
}

try {
  const commandLine = parseCommandLine(process.argv.slice(2), choice, process.env);
  if (commandLine.isHelp) process.stdout.write(renderUsage(commands, choice.caseNames));
  else await runAll(commandLine);
} catch (error) {
  if (!(error instanceof UsageError || error instanceof RefusedBucketError)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  if (error instanceof UsageError) process.stderr.write('npm run bench -- --help tells what there is.\n');
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
