import { bucketCommands } from './admin-bucket-commands.ts';
import { providerCommands } from './admin-provider-commands.ts';
import { statusCommands } from './admin-status-commands.ts';
import { upkeepCommands } from './admin-upkeep-commands.ts';

export type AdminOptions = Readonly<Record<string, string | boolean | undefined>>;

/** What a command was called with. */
export interface AdminArguments {
  readonly options: AdminOptions;
  /** Empty for a command without. */
  readonly positional: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** @throws ConfigError */
  readFile(path: string): Promise<string>;
}

/** One row of `holdfast admin`: what to type, which request it makes, and how people read the answer. */
export interface AdminCommand {
  /** Such as `provider add`. */
  readonly words: readonly string[];
  readonly usage: string;
  readonly summary: string;
  /** The one argument without a name, where there is one. */
  readonly positional?: string;
  /** Options of its own. One that several commands have is of one kind in all of them, since it may stand before the command. */
  readonly options: Readonly<Record<string, 'text' | 'flag'>>;
  /** @throws ConfigError naming every fault */
  prepare(given: AdminArguments): Promise<{
    readonly method: string;
    readonly target: string;
    readonly body?: unknown;
  }>;
  /** Lines for people, with a line end. */
  render(answer: unknown, positional: string): string;
}

export const adminCommands: readonly AdminCommand[] = [
  ...providerCommands,
  ...bucketCommands,
  ...statusCommands,
  ...upkeepCommands,
];
