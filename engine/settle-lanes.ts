import type { ShardLane } from './shard-lane.ts';

/** A lane is late when it takes so many times as long as the faster half of all. */
const lateFactor = 4;

export interface LaneRule {
  /** With so many that are done the stripe is safe. */
  readonly needed: number;
  /** No lane is late before this, in milliseconds. */
  readonly lateMs: number;
}

/**
 * Starts work on all lanes and waits for it. A lane that is late by the measure of the others is hurried: it turns to another provider,
 * or gives up once enough of the others are done.
 *
 * @throws what one of them threw, and only once all have ended: until then somebody may still read the buffers
 */
export function settleLanes(
  lanes: readonly ShardLane[],
  start: (lane: ShardLane) => Promise<void>,
  { needed, lateMs }: LaneRule,
): Promise<void> {
  if (lanes.length === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const startedAtMs = performance.now();
    const pending = new Set(lanes);
    let done = 0;
    let failure: { readonly error: unknown } | undefined;
    let timer: NodeJS.Timeout | undefined;
    const hurry = (waitedMs: number): void => {
      for (const lane of pending) lane.hurry(waitedMs, done >= needed);
    };
    const watch = (): void => {
      const waitMs = Math.max(lateMs, (performance.now() - startedAtMs) * lateFactor);
      timer = setInterval(hurry, waitMs, waitMs);
    };
    const end = (lane: ShardLane): void => {
      pending.delete(lane);
      if (!lane.isDead) done += 1;
      if (pending.size > 0) {
        if (timer === undefined && done * 2 >= lanes.length) watch();
        return;
      }
      clearInterval(timer);
      if (failure === undefined) resolve();
      else reject(failure.error);
    };
    for (const lane of lanes) {
      start(lane).then(
        () => end(lane),
        (error: unknown) => {
          failure ??= { error };
          end(lane);
        },
      );
    }
  });
}
