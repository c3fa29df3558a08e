import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../../core/metrics.ts';
import { NodeMetrics } from '../../core/node-metrics.ts';

const cpuSeconds = /^holdfast_process_cpu_seconds_total \d/m;

for (const Kind of [Metrics, NodeMetrics]) {
  test(`the first readers of ${Kind.name} see those of the process, also when two come at once`, async () => {
    const metrics = new Kind({ processMetrics: true });
    for (const text of await Promise.all([metrics.readText(), metrics.readText()])) assert.match(text, cpuSeconds);
    assert.match(await metrics.readText(), cpuSeconds);
  });

  test(`${Kind.name} tell nothing of the process where nobody wants it`, async () => {
    assert.doesNotMatch(await new Kind().readText(), cpuSeconds);
  });
}
