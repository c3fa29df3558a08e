import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram, Registry } from 'prom-client';
import { Metrics } from '../../core/metrics.ts';
import { TalliedHistogram } from '../../core/tallied-histogram.ts';

const buckets = [0.001, 0.01, 0.1];

test('a tallied histogram shows what the one of prom-client would', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const text = { name: 'seconds', help: 'How long', labelNames: ['operation'] as const };
  const tallied = new TalliedHistogram({ ...text, buckets, registers: [ours] });
  const plain = new Histogram({ ...text, buckets, registers: [theirs] });
  for (const operation of ['GetObject', 'PutObject']) {
    const series = tallied.series({ operation });
    for (const seconds of [0, 0.001, 0.0011, 0.01, 0.05, 0.1, 0.2, 7]) {
      series.observe(seconds);
      plain.observe({ operation }, seconds);
    }
  }
  assert.equal(await ours.metrics(), await theirs.metrics());
});

test('what is tallied shows in the metrics, however often they are asked for', async () => {
  const metrics = new Metrics();
  const tally = metrics.requestTally;
  tally.inFlight = 2;
  tally.bytesIn = 10;
  tally.end('PutObject', { status: 200, code: '', seconds: 0.002 });
  tally.end('PutObject', { status: 200, code: '', seconds: 0.2 });
  tally.end('PutObject', { status: 503, code: 'SlowDown', seconds: 0.02 });
  tally.end('PutObject', { status: 503, code: 'ServiceUnavailable', seconds: 0.02 });
  for (let scrape = 0; scrape < 2; scrape++) {
    const text = await metrics.registry.metrics();
    for (const line of [
      'holdfast_requests_total{operation="PutObject",status="200",code=""} 2',
      'holdfast_requests_total{operation="PutObject",status="503",code="SlowDown"} 1',
      'holdfast_requests_total{operation="PutObject",status="503",code="ServiceUnavailable"} 1',
      'holdfast_request_duration_seconds_count{operation="PutObject"} 4',
      'holdfast_request_duration_seconds_bucket{le="0.0025",operation="PutObject"} 1',
      'holdfast_requests_in_flight 2',
      'holdfast_body_bytes_total{direction="in"} 10',
    ])
      assert.ok(text.split('\n').includes(line), line);
    assert.ok(!text.includes('direction="out"'));
  }
});
