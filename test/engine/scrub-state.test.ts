import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { silentLog } from '../../core/log.ts';
import type { ProviderId, StripeId } from '../../core/model.ts';
import { ScrubState } from '../../engine/upkeep/scrub/scrub-state.ts';
import { createStripeId, stripeTimeMs } from '../../erasure/stripe-id.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';

type Step =
  | { readonly kind: 'write'; readonly ageMs: number }
  | { readonly kind: 'page'; readonly size: number; readonly failing: number }
  | { readonly kind: 'catch-up'; readonly isFailing: boolean }
  | { readonly kind: 'round' }
  | { readonly kind: 'restart' };

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), ageMs: fc.constantFrom(0, 0, 5, 400) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('page' as const), size: fc.nat(4), failing: fc.constantFrom(9, 9, 0, 1) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('catch-up' as const), isFailing: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constantFrom({ kind: 'round' as const }, { kind: 'restart' as const }) },
);

describe('what scrub knows of when a shard was read', () => {
  it('is never later than the truth, whatever is written, fails and restarts meanwhile', async () => {
    const provider = 'p' as ProviderId;
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 150, size: 'max' }), async (acts) => {
        const metadata = await openMemoryStore({ clock: { now: () => nowMs }, log: silentLog });
        let nowMs = 1_000_000;
        let state = new ScrubState(metadata);
        await state.load(nowMs);
        /** When each stripe's shard was read last, or else written. */
        const truth = new Map<StripeId, number>();
        const after = (id: StripeId | undefined) => [...truth.keys()].sort().filter((each) => each > (id ?? ''));
        for (const act of acts) {
          nowMs += 10;
          if (act.kind === 'write') truth.set(createStripeId(nowMs - act.ageMs), nowMs);
          else if (act.kind === 'round') state.beginRound(nowMs);
          else if (act.kind === 'restart') {
            await state.save();
            state = new ScrubState(metadata);
            await state.load(nowMs);
          } else if (act.kind === 'page') {
            const page = after(state.cursor).slice(0, act.size);
            for (const [at, id] of page.entries()) {
              nowMs += 1;
              if (at === act.failing) state.postpone(provider, id, state.lastReadMs(id));
              else truth.set(id, nowMs);
            }
            const last = page.at(-1);
            nowMs += 1;
            if (last !== undefined) state.advance(last, 1, nowMs);
          } else {
            const backlog = state.takeBacklog(provider);
            for (const id of backlog === undefined ? [] : truth.keys()) {
              nowMs += 1;
              if (id < backlog!.fromId || id > backlog!.toId) continue;
              if (act.isFailing) state.postpone(provider, id, backlog!.sinceMs);
              else truth.set(id, nowMs);
            }
          }
          const next = after(state.cursor)[0];
          const oldestMs = state.oldestMs(next, after(state.endBefore)[0]);
          const oldestTruth = Math.min(...truth.values());
          assert.ok(
            truth.size === 0 || (oldestMs !== undefined && oldestMs <= oldestTruth),
            `${oldestMs}, not ${oldestTruth}`,
          );
        }
        await metadata.close();
      }),
      { numRuns: 40 },
    );
  });

  it('is near the truth: of the first stripe of a round it knows the round before', async () => {
    const metadata = await openMemoryStore({ clock: { now: () => 0 }, log: silentLog });
    const state = new ScrubState(metadata);
    const ids = [1, 2, 3].map((n) => createStripeId(n * 1_000));
    await state.load(50_000);
    for (const [at, id] of ids.entries()) state.advance(id, 1, 60_000 + at);
    state.beginRound(90_000);
    assert.deepEqual(
      ids.map((id) => state.lastReadMs(id)),
      [50_000, 60_000, 60_001],
    );
    const young = createStripeId(80_000);
    assert.equal(state.lastReadMs(young), stripeTimeMs(young));
    for (let n = 0; n < 1_000; n++) state.advance(createStripeId(200_000 + n), 1, 300_000 + n);
    state.beginRound(400_000);
    const oldest = ids.map((id) => state.lastReadMs(id));
    assert.deepEqual(oldest, [90_000, 90_000, 90_000]);
    const gap = 300_000 + 700 - state.lastReadMs(createStripeId(200_700));
    assert.ok(gap >= 0 && gap < 16, `marks are sparse, and not more than that: ${gap}`);
    await metadata.close();
  });
});
