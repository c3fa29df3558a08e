import type { AdminCommand } from './admin-commands.ts';

/** What operators ask about the work in the background, and about what the data can bear. */
export const upkeepCommands: readonly AdminCommand[] = [];
