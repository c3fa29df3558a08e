import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { settleLanes } from '../../engine/settle-lanes.ts';
import type { ShardLane } from '../../engine/shard-lane.ts';

describe('lanes that hang', { timeout: 20_000 }, () => {
  // An object of a few KiB has one data and m parity shards, so with m = 2 there are three.
  for (const [count, hanging] of [
    [2, 1],
    [3, 2],
    [5, 3],
    [6, 3],
  ] as const) {
    it(`are hurried where they are ${hanging} of ${count}, and the others are not`, async () => {
      const hurried = new Set<number>();
      const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
      const lanes = ends.map(({ resolve }, at) => {
        const hurry = (): void => {
          hurried.add(at);
          resolve();
        };
        return { isDead: false, hurry } as unknown as ShardLane;
      });
      for (const { resolve } of ends.slice(hanging)) resolve();
      const workOf = new Map(lanes.map((lane, at) => [lane, ends[at]!.promise]));
      await settleLanes(lanes, (lane) => workOf.get(lane)!, { needed: count - 1, lateMs: 1 });
      assert.deepEqual([...hurried], Array.from(ends.slice(0, hanging).keys()));
    });
  }
});
