import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, Gauge, Registry } from 'prom-client';
import { TalliedFigures } from '../../core/tallied-figures.ts';

const labelNames = ['provider', 'outcome'] as const;

test('A tallied counter reads as prom-client shows one of its own', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const text = { name: 'holdfast_tried_total', help: 'Tried' };
  const tallied = new TalliedFigures({ ...text, type: 'counter', labelNames, registers: [ours] });
  const counter = new Counter({ ...text, labelNames, registers: [theirs] });
  const kept = tallied.series({ provider: 'p1', outcome: 'ok' });
  kept.value++;
  kept.value += 2;
  counter.inc({ provider: 'p1', outcome: 'ok' }, 3);
  for (const metric of [tallied, counter]) metric.inc({ provider: 'p"2\n', outcome: 'error' });
  assert.equal(await ours.metrics(), await theirs.metrics());
});

test('A tallied gauge reads as prom-client shows one of its own, zeros too', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const text = { name: 'holdfast_held_bytes', help: 'Held' };
  const tallied = new TalliedFigures({ ...text, type: 'gauge', labelNames: ['budget'] as const, registers: [ours] });
  const gauge = new Gauge({ ...text, labelNames: ['budget'], registers: [theirs] });
  tallied.series({ budget: 'read' }).value = 7;
  tallied.series({ budget: 'read' }).value -= 7;
  gauge.set({ budget: 'read' }, 0);
  assert.equal(await ours.metrics(), await theirs.metrics());
});

test('The same labels are the same series, whatever their order', () => {
  const tallied = new TalliedFigures({ name: 'a', help: 'a', type: 'counter', labelNames, registers: [] });
  assert.equal(tallied.series({ provider: 'p1', outcome: 'ok' }), tallied.series({ outcome: 'ok', provider: 'p1' }));
  assert.notEqual(tallied.series({ provider: 'p1', outcome: 'ok' }), tallied.series({ provider: 'ok', outcome: 'p1' }));
});
