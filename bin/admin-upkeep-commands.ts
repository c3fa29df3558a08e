import type { AdminCommand } from './admin-commands.ts';
import { renderBytes, renderColumns } from './render-columns.ts';

interface ShownDrain {
  readonly provider: string;
  readonly shardsLeft: number;
  readonly bytesLeft: number;
  readonly oldCopies: number;
  readonly bytesPerS?: number;
  readonly leftS?: number;
  readonly hindrance?: 'no-place' | 'provider-down' | 'failing';
}

/** The work in the background as the admin API shows it. */
interface ShownUpkeep {
  readonly scrub: {
    readonly roundStartedAt: string;
    readonly roundPart: number;
    readonly oldestUnscrubbedAt?: string;
    readonly behind: readonly string[];
    readonly shards: Readonly<Record<'good' | 'missing' | 'corrupt' | 'unreadable', number>>;
  };
  readonly drains: readonly ShownDrain[];
  readonly rebalance: {
    readonly isBalancing: boolean;
    readonly restCause?: 'even' | 'too-little' | 'off';
    readonly skew: number;
    readonly stripesAgainstSpread: number;
    readonly shardsMoved: number;
    readonly bytesMoved: number;
  };
}

const hindrances: Readonly<Record<NonNullable<ShownDrain['hindrance']>, string>> = {
  'no-place': 'waits: no other provider can take its shards',
  'provider-down': 'waits: it is down',
  failing: 'waits: its shards cannot be moved now',
};

const upkeep: AdminCommand = {
  words: ['upkeep'],
  usage: 'upkeep',
  summary: 'how far scrub has come, how long drains will take, and how even the fleet is',
  options: {},
  prepare: async () => ({ method: 'GET', target: '/admin/v1/upkeep' }),
  render: (answer) => renderUpkeep(answer as ShownUpkeep),
};

/** What operators ask about the work in the background. */
export const upkeepCommands: readonly AdminCommand[] = [upkeep];

function renderUpkeep({ scrub, drains, rebalance }: ShownUpkeep): string {
  return `${renderScrub(scrub)}${renderRebalance(rebalance)}${renderDrains(drains)}`;
}

function renderScrub({ roundStartedAt, roundPart, oldestUnscrubbedAt, behind, shards }: ShownUpkeep['scrub']): string {
  const { good, missing, corrupt, unreadable } = shards;
  const lines = [
    `scrub: ${renderPercent(roundPart)} of the round that began ${roundStartedAt}`,
    ...(oldestUnscrubbedAt === undefined ? [] : [`  no shard unread for longer than since ${oldestUnscrubbedAt}`]),
    `  since the start: ${good} good, ${missing} missing, ${corrupt} corrupt, ${unreadable} unreadable for now`,
    ...(behind.length === 0 ? [] : [`  still to be read at ${behind.join(', ')}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function renderRebalance(rebalance: ShownUpkeep['rebalance']): string {
  const { isBalancing, restCause, skew, stripesAgainstSpread, shardsMoved, bytesMoved } = rebalance;
  const against = stripesAgainstSpread === 0 ? '' : `, ${stripesAgainstSpread} stripes against the spread rule`;
  const moved = shardsMoved === 0 ? '' : `, ${shardsMoved} shards (${renderBytes(bytesMoved)}) moved since the start`;
  const doing = isBalancing ? 'under way' : restCause === 'off' ? 'turned off' : 'at rest';
  const excuse = restCause === 'too-little' ? ': too little is stored to matter' : '';
  return `rebalance: ${doing}${excuse}, skew ${renderPercent(skew)}${against}${moved}\n`;
}

function renderDrains(drains: readonly ShownDrain[]): string {
  if (drains.length === 0) return 'drain: none\n';
  const rows = drains.map((drain) => [
    drain.provider,
    String(drain.shardsLeft),
    renderBytes(drain.bytesLeft),
    drain.bytesPerS === undefined ? '-' : `${renderBytes(drain.bytesPerS)}/s`,
    describeDrain(drain),
  ]);
  return renderColumns(['DRAIN', 'SHARDS LEFT', 'BYTES LEFT', 'RATE', ''], rows);
}

function describeDrain({ shardsLeft, oldCopies, leftS, hindrance }: ShownDrain): string {
  if (shardsLeft === 0) return oldCopies === 0 ? 'empty: it can be removed' : `empty but for ${oldCopies} old copies`;
  if (hindrance !== undefined) return hindrances[hindrance];
  return leftS === undefined ? 'begins' : `about ${renderDuration(leftS)} left`;
}

function renderDuration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}

function renderPercent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
