import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runCrashes } from './crash-run.ts';

const kills = 200;

describe('a gateway that is killed under load', { timeout: 580_000 }, () => {
  it('comes back with all that it acknowledged, and nothing torn, wherever it died', async (test) => {
    const seed = Date.now() & 0xffff;
    test.diagnostic(`seed ${seed}`);
    const report = await runCrashes({ kills, seed, say: () => undefined });
    const { answered, killsAtSteps, killsAtStart } = report;
    test.diagnostic(`${report.kills} kills, ${killsAtStart} of them at the start; ${answered} requests answered`);
    test.diagnostic([...killsAtSteps].map(([step, count]) => `${step} ${count}`).join(', '));
    assert.ok(report.kills >= kills);
    assert.ok(answered > kills, `only ${answered} requests were answered: there was no load`);
    const spared = [...killsAtSteps].filter(([, count]) => count < 2).map(([step]) => step);
    assert.deepEqual(spared, [], 'steps at which no process died, or only one');
  });
});
