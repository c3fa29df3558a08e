import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { thrash } from './thrash.ts';

const acts = 20_000;

describe('the engine', () => {
  it('loses nothing and shows nothing wrong while providers die, lie, freeze and return', async (test) => {
    const seed = Date.now() & 0x7fffffff;
    test.diagnostic(`${acts} operations, seed ${seed}`);
    const report = await thrash({ acts, seed });
    for (const kind of ['error', 'hang', 'slow', 'truncate', 'flip', 'lose', '503', 'full', 'wrong-shard'] as const) {
      assert.ok((report.faults.get(kind) ?? 0) > 0, `no fault of the kind ${kind} was met`);
    }
    assert.ok(report.shardsRepaired > 0 && report.shardsMoved > 0 && report.objects > 0);
    assert.ok((report.counts.get('outlived') ?? 0) > 0, 'no read went on after its stripes were freed');
    assert.ok((report.events.get('lost its disk') ?? 0) > 0, 'the disk was never lost');
  });
});
