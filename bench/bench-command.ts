import type { FlagName, FlagValues } from './flags.ts';

/** What one benchmark found: for people, and for programs. */
export interface BenchReport {
  /** Markdown, so that a run can be pasted into docs/performance.md. */
  readonly text: string;
  /** One for each thing that was measured, of numbers and names; with `--json` all of them are printed. */
  readonly rows: readonly object[];
  /** What could not be measured, and why; the process then exits with 1. */
  readonly failures?: readonly string[];
}

/** What a benchmark is asked to do: the flags that it takes, and where it says how far it is. */
export interface BenchRequest extends FlagValues {
  /** Names that follow the command's own, or stand in its place. */
  readonly names: readonly string[];
  /** A line of progress, for standard error. */
  readonly progress: (line: string) => void;
  /** A line of the report that is worth showing before the report is whole; not to be repeated in it. */
  readonly say: (line: string) => void;
}

/** A row of the table in commands.ts. */
export interface BenchCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagName[];
  /** Whether `npm run bench` without a name runs it as well. */
  readonly isInDefault: boolean;
  readonly run: (request: BenchRequest) => Promise<BenchReport>;
}
