import type { BenchCommand } from './bench-command.ts';
import { flags } from './flags.ts';

const generalFlags = [
  ['--json', 'rows as JSON on standard output, and nothing else there'],
  ['--help', 'this text'],
] as const;

/** What `--help` says, made of the table of commands and that of flags. */
export function renderUsage(commands: readonly BenchCommand[], caseNames: readonly string[]): string {
  const flagLines = Object.entries(flags).map(([name, flag]) => {
    const takers = commands.filter((command) => (command.flags as readonly string[]).includes(name));
    const scope = takers.length === commands.length ? '' : ` (${takers.map((command) => command.name).join(', ')})`;
    return [`--${name}${'value' in flag ? ` ${flag.value}` : ''}`, `${flag.summary}${scope}`] as const;
  });
  const commandLines = commands.map(
    ({ name, summary, isInDefault }) => [name, `${summary}${isInDefault ? ' *' : ''}`] as const,
  );
  return `usage: npm run bench -- [NAME ...] [flags]

Without a name those marked with * run.

${align(commandLines)}

${align([...flagLines, ...generalFlags])}

The beginning of a case's name runs the gateway with all cases that begin so:

${wrap(caseNames, 110)}
`;
}

function align(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([left]) => left.length)) + 2;
  return lines.map(([left, right]) => `  ${left.padEnd(width)}${right}`).join('\n');
}

function wrap(words: readonly string[], width: number): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines.join('\n');
}
