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

/** What there is to choose from. */
export interface Choice {
  readonly commands: readonly BenchCommand[];
  /** The command whose cases have names of their own. */
  readonly caseCommand: string;
  readonly caseNames: readonly string[];
}

/**
 * Finds the benchmarks that are named: by their own names, or by the beginnings of names of cases. Without a name, those that
 * belong to the default and take all flags that are given.
 *
 * @param environment which has what some flags stand for
 * @throws UsageError that names what is wrong
 */
export function parseCommandLine(
  words: readonly string[],
  choice: Choice,
  environment: Readonly<Record<string, string | undefined>> = {},
): CommandLine {
  const { given, names } = splitWords(words);
  const values = parseValues(given, environment);
  const isJson = given.json === true;
  if (given.help === true) return { isHelp: true, isJson, selections: [], values };
  const used = flagNames.filter((name) => given[name] !== undefined);
  const selections = names.length === 0 ? selectDefault(used, choice) : selectNamed(names, choice);
  for (const name of used) {
    if (selections.some(({ command }) => command.flags.includes(name))) continue;
    throw new UsageError(`${selections.map(({ command }) => command.name).join(', ')}: no --${name} here`);
  }
  return { isHelp: false, isJson, selections, values };
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

function parseValues(given: GivenFlags, environment: Readonly<Record<string, string | undefined>>): FlagValues {
  const entries = flagNames.map((name) => {
    const flag = flags[name];
    const { key, schema } = flag;
    const parsed = schema.safeParse(given[name] ?? ('variable' in flag ? environment[flag.variable] : undefined));
    if (parsed.success) return [key, parsed.data] as const;
    throw new UsageError(`--${name} ${given[name]}: ${parsed.error.issues[0]?.message}`);
  });
  return Object.fromEntries(entries) as FlagValues;
}

function selectDefault(used: readonly FlagName[], { commands }: Choice): Selection[] {
  const chosen = commands.filter(
    ({ isInDefault, flags: taken }) => isInDefault && used.every((name) => taken.includes(name)),
  );
  if (chosen.length > 0) return chosen.map((command) => ({ command, names: [] }));
  throw new UsageError(
    `no benchmark that runs without its name takes ${used.map((name) => `--${name}`).join(' and ')}`,
  );
}

function selectNamed(names: readonly string[], { commands, caseCommand, caseNames }: Choice): Selection[] {
  const prefixes = names.filter((name) => !commands.some((command) => command.name === name));
  for (const prefix of prefixes) {
    if (!caseNames.some((name) => name.startsWith(prefix))) throw new UsageError(`no benchmark is called ${prefix}`);
  }
  return commands
    .filter(({ name }) => names.includes(name) || (name === caseCommand && prefixes.length > 0))
    .map((command) => ({ command, names: command.name === caseCommand ? prefixes : [] }));
}
