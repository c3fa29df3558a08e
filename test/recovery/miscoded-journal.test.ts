import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Stripe, StripeId } from '../../core/model.ts';
import { readMetric } from '../engine/engine-harness.ts';
import { assertOneWord, miscode } from '../engine/miscode.ts';
import { createBucket, type LiveEngine, never, put, RecoveryWorld, readEverything } from './recovery-harness.ts';

/** The stripes of all batches and chunks. */
async function systemStripes({ metadata }: LiveEngine): Promise<Stripe[]> {
  const objects = await metadata.listSystemObjects();
  const ids = objects.flatMap(({ spans }) => spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId)));
  return [...(await metadata.findStripes([...new Set<StripeId>(ids)])).values()];
}

describe('the journal in stripes that are wrongly coded', () => {
  for (const wrong of [[4, 5], [0, 4], [0]]) {
    it(`is mended by its own tags, and can be recovered from: shards ${wrong}`, async () => {
      const world = new RecoveryWorld();
      const live = await world.start();
      for (const name of ['first', 'second']) {
        await createBucket(live, name);
        await put(live, name, 'key', `bytes of ${name}`);
      }
      await live.journal.runOnce();
      const before = await systemStripes(live);
      assert.ok(before.length > 1);
      for (const stripe of before) {
        for (const index of wrong) {
          await miscode({ ...world, metadata: live.metadata }, stripe, index, (block) => block.fill(index + 1));
        }
      }
      await live.upkeep.scrub(never);
      await live.upkeep.runOnce();
      assert.equal(await readMetric(live.metrics.miscodedStripes, { outcome: 'mended' }), before.length);
      assert.equal(await readMetric(live.metrics.miscodedStripes, { outcome: 'unclear' }), 0);
      for (const stripe of await systemStripes(live)) await assertOneWord(world, stripe);
      const seen = await readEverything(live);
      await world.lose(live);
      // What the roots name is gone in part.
      for (const away of [[], [0, 1], [2, 5], [3, 4]]) {
        const providers = world.providers.filter((_, at) => !away.includes(at));
        const { metadata, report } = await world.recover({ providers });
        assert.deepEqual([report.roots, report.problems], [providers.length, []]);
        assert.deepEqual(await readEverything(await world.start(metadata)), seen);
      }
      await world.close();
    });
  }
});
