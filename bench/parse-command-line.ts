import { parseArgs } from 'node:util';
import type { BenchCommand } from './bench-command.ts';
import { type FlagName, type FlagValues, flags } from './flags.ts';

/** A command line that cannot be run: it is told, and the process exits with 2. */
export class UsageError extends Error {}

export interface Selection {
  readonly command: BenchCommand;
  readonly names: readonly string[];
}

export interface CommandLine {
  readonly isHelp: boolean;
  readonly isJson: boolean;
  readonly selections: readonly Selection[];
  readonly values: FlagValues;
}

const flagNames = Object.keys(flags) as FlagName[];

/**
 * Finds the benchmarks that are named: by their own names, or by the beginnings of names of cases, which all belong to one of them.
 *
 * @param caseNames of the benchmark called `caseCommand`
 * @throws UsageError that names what is wrong
 */
export function parseCommandLine(
  words: readonly string[],
  {
    commands,
    caseCommand,
    caseNames,
  }: { commands: readonly BenchCommand[]; caseCommand: string; caseNames: readonly string[] },
): CommandLine {
  const { given, names } = splitWords(words);
  const isHelp = given.help === true;
  const selections = isHelp ? [] : select(names, { commands, caseCommand, caseNames });
  for (const name of flagNames) {
    if (given[name] === undefined || selections.some(({ command }) => command.flags.includes(name))) continue;
    if (!isHelp) throw new UsageError(`${selections.map(({ command }) => command.name).join(', ')}: no --${name} here`);
  }
  return { isHelp, isJson: given.json === true, selections, values: parseValues(given) };
}

type GivenFlags = Readonly<Record<string, string | boolean | undefined>>;

function splitWords(words: readonly string[]): { given: GivenFlags; names: readonly string[] } {
  const options = Object.fromEntries(
    flagNames.map((name) => [name, { type: 'value' in flags[name] ? ('string' as const) : ('boolean' as const) }]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { ...options, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
    return { given: values as GivenFlags, names: positionals };
  } catch (error) {
    // The first sentence says what is wrong; others give advice about arguments that begin with a dash.
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

function parseValues(given: GivenFlags): FlagValues {
  const entries = flagNames.map((name) => {
    const { key, schema } = flags[name];
    const parsed = schema.safeParse(given[name]);
    if (parsed.success) return [key, parsed.data] as const;
    throw new UsageError(`--${name} ${given[name]}: ${parsed.error.issues[0]?.message}`);
  });
  return Object.fromEntries(entries) as FlagValues;
}

function select(
  names: readonly string[],
  {
    commands,
    caseCommand,
    caseNames,
  }: { commands: readonly BenchCommand[]; caseCommand: string; caseNames: readonly string[] },
): Selection[] {
  if (names.length === 0)
    return commands.filter(({ isInDefault }) => isInDefault).map((command) => ({ command, names: [] }));
  const prefixes = names.filter((name) => !commands.some((command) => command.name === name));
  for (const prefix of prefixes) {
    if (!caseNames.some((name) => name.startsWith(prefix))) throw new UsageError(`no benchmark is called ${prefix}`);
  }
  return commands
    .filter(({ name }) => names.includes(name) || (name === caseCommand && prefixes.length > 0))
    .map((command) => ({ command, names: command.name === caseCommand ? prefixes : [] }));
}
