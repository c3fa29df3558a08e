import { z } from 'zod';
import type { DrainProgress } from '../../engine/upkeep/move/drain.ts';
import type { MoveProgress } from '../../engine/upkeep/move/mover.ts';
import type { ScrubProgress } from '../../engine/upkeep/scrub/scrub.ts';
import { type AdminRoute, adminRoute } from './admin-route.ts';

const time = z.iso.datetime();

const upkeep = z
  .strictObject({
    scrub: z.strictObject({
      roundStartedAt: time,
      roundPart: z.number().meta({ description: 'How much of what is stored the round has read, 0 to 1' }),
      oldestUnscrubbedAt: time.optional().meta({ description: 'No shard has gone unread for longer than since then' }),
      behind: z.array(z.string()).meta({
        description: 'Providers that could not be read when the round came by, and are read when they are back',
      }),
      shards: z
        .strictObject({ good: z.int(), missing: z.int(), corrupt: z.int(), unreadable: z.int() })
        .meta({ description: 'Since the gateway started' }),
    }),
    drains: z.array(
      z.strictObject({
        provider: z.string(),
        shardsLeft: z.int(),
        bytesLeft: z.int(),
        shardsMoved: z.int().meta({ description: 'Since the gateway started' }),
        oldCopies: z.int().meta({
          description: 'Shards that were moved, and lie there until nobody can need them there: do not wipe it before',
        }),
        bytesPerS: z.int().optional(),
        leftS: z.int().optional().meta({ description: 'Estimated from how fast it went of late' }),
        hindrance: z.enum(['no-place', 'provider-down', 'failing']).optional(),
      }),
    ),
    rebalance: z.strictObject({
      isBalancing: z.boolean(),
      restCause: z.enum(['even', 'too-little', 'off']).optional(),
      skew: z.number().meta({
        description: 'The greatest distance of a provider from what it should hold, against what they hold on average',
      }),
      stripesAgainstSpread: z.int().meta({
        description: 'Live stripes with more than m shards in one operator, country or zone',
      }),
      shardsMoved: z.int(),
      bytesMoved: z.int(),
    }),
  })
  .meta({ id: 'Upkeep' });

function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

function renderScrub(progress: ScrubProgress): z.input<typeof upkeep>['scrub'] {
  const { roundStartedAtMs, roundPart, oldestUnscrubbedMs, behind, shards } = progress;
  return {
    roundStartedAt: toTime(roundStartedAtMs),
    roundPart,
    ...(oldestUnscrubbedMs !== undefined && { oldestUnscrubbedAt: toTime(oldestUnscrubbedMs) }),
    behind: [...behind],
    shards,
  };
}

function renderDrain({ providerId, leftMs, ...drain }: DrainProgress): z.input<typeof upkeep>['drains'][number] {
  return { provider: providerId, ...drain, ...(leftMs !== undefined && { leftS: Math.ceil(leftMs / 1000) }) };
}

function renderMoves({ drains, rebalance }: MoveProgress): Omit<z.input<typeof upkeep>, 'scrub'> {
  return { drains: drains.map(renderDrain), rebalance };
}

/** What operators ask about the work in the background. */
export const upkeepRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/v1/upkeep',
    name: 'ReadUpkeep',
    summary: 'How far scrub has come, which providers are being emptied and until when, and how even the fleet is.',
    answerSchema: upkeep,
    act: async (parts) => ({
      scrub: renderScrub(await parts.upkeep.readScrubProgress()),
      ...renderMoves(await parts.upkeep.readMoveProgress()),
    }),
  }),
];
