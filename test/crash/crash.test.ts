import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runCrashes } from './crash-run.ts';

const kills = 10;

describe('a gateway that is killed under load', { timeout: 200_000 }, () => {
  it('comes back with all that it acknowledged, and nothing torn, each time', async (test) => {
    const seed = Date.now() & 0xffff;
    const { answered, startsMs } = await runCrashes({ kills, seed, say: (text) => test.diagnostic(text) });
    test.diagnostic(`seed ${seed}: ${answered} requests answered between ${kills} kills`);
    test.diagnostic(`ready after ${startsMs.join(', ')} ms`);
    assert.ok(answered > kills, `only ${answered} requests were answered: there was no load`);
  });
});
