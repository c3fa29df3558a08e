import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { estimateClockHz } from '../../bench/estimate-clock.ts';
import { renderProfile } from '../../bench/render-profile.ts';
import { type CpuProfile, summarizeProfile } from '../../bench/summarize-profile.ts';

const urlOf = (path: string) => pathToFileURL(`${import.meta.dirname}/../../${path}`).href;

const frames = [
  ['(idle)', ''],
  ['act', urlOf('engine/put-object.ts')],
  ['route', urlOf('gateway/router.ts')],
  ['parse', urlOf('node_modules/saxes/saxes.js')],
  ['onread', 'node:internal/streams/readable'],
  ['update', ''],
] as const;

const profile: CpuProfile = {
  nodes: frames.map(([functionName, url], id) => ({ id, callFrame: { functionName, url, lineNumber: 6 } })),
  samples: [0, 1, 1, 2, 3, 4, 5],
  timeDeltas: [5000, 300, 100, 200, 100, 100, 200],
};

describe('where the time of a request goes', () => {
  const summary = summarizeProfile(profile);

  it('is told by folder, package and part of node, idle time left out', () => {
    assert.equal(summary.busySeconds, 0.001);
    const shares = new Map(summary.areas.map(({ name, share }) => [name, Math.round(share * 100)]));
    assert.deepEqual(Object.fromEntries(shares), {
      'engine/': 40,
      'gateway/': 20,
      'native code': 20,
      'package saxes': 10,
      'node:streams': 10,
    });
  });

  it('is CPU time of the main thread, in microseconds a request', () => {
    const text = renderProfile('put', summary, { requests: 100, bytes: 400_000, mainThreadMicros: 250, clockHz: 3e9 });
    assert.match(text, /^\| all \| 100\.0 % \| 250 \|$/m);
    assert.match(text, /^\| engine\/ \| 40\.0 % \| 100 \|$/m);
    assert.match(text, /^\| act engine\/put-object\.ts:7 \| 40\.0 % \| 100 \|$/m);
    assert.doesNotMatch(text, /cycles/);
  });

  it('is cycles a byte as well where bodies are large', () => {
    const load = { requests: 10, bytes: 10 * 2 ** 20, mainThreadMicros: 2 ** 20 / 1000, clockHz: 2e9 };
    // A nanosecond a byte, at two cycles a nanosecond.
    assert.match(renderProfile('put', summary, load), /^\| all \| 100\.0 % \| 1049 \| 2 \|$/m);
  });

  it('is counted by a clock that a core could have', () => {
    const clockHz = estimateClockHz();
    assert.ok(clockHz > 1e8 && clockHz < 1e10, `${clockHz} Hz`);
  });
});
