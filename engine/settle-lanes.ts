import type { ShardLane } from './shard-lane.ts';

/** A lane is late when it takes so many times as long as the faster half of all, of an odd number the smaller half. */
const lateFactor = 4;

/** And stuck, so that it is given up even where the stripe fails without it, not before so many times as long as it takes to be late. */
const stuckFactor = 2;

export interface LaneRule {
  /** With so many that are done the stripe is safe. */
  readonly needed: number;
  /** No lane is late before this, in milliseconds. */
  readonly lateMs: number;
}

/**
 * Starts work on all lanes and waits for it. A lane that is late by the measure of the others is hurried: it turns to another provider,
 * or gives up once enough of the others are done. Where they are not, it is waited for until it is stuck: for some seconds, not until
 * the deadline of its call, since whoever sent the bytes had better try again.
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
    let waitMs = Number.POSITIVE_INFINITY;
    let isAnyLate = false;
    const hurry = (): void => {
      isAnyLate = true;
      const rule = { startedAtMs, lateMs: waitMs, stuckMs: waitMs * stuckFactor };
      for (const lane of pending) lane.hurry({ ...rule, mayDie: done >= needed });
    };
    const watch = (): void => {
      waitMs = Math.max(lateMs, (performance.now() - startedAtMs) * lateFactor);
      timer = setInterval(hurry, waitMs);
    };
    const end = (lane: ShardLane): void => {
      pending.delete(lane);
      if (!lane.isDead) done += 1;
      if (pending.size > 0) {
        if (timer === undefined && done >= Math.floor(lanes.length / 2)) watch();
        // Another one moved, and now those that are late can be done without.
        else if (isAnyLate && done === needed) hurry();
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
