import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { unboundedBytes } from '../../placement/providers/provider.ts';
import { reportSpace } from '../../placement/report-space.ts';

const id = (name: string): { record: { id: ProviderId } } => ({ record: { id: name as ProviderId } });

it('tells the space of those that may be called and know a bound, and forgets those that left', async () => {
  const metrics = new Metrics();
  const sizes = new Map([
    ['disk', { totalBytes: 1_000, freeBytes: 250 }],
    ['bucket', { totalBytes: unboundedBytes, freeBytes: unboundedBytes }],
    ['other', { totalBytes: 2_000, freeBytes: 0 }],
  ]);
  let members = [id('disk'), id('bucket'), id('other'), id('unmeasured')];
  metrics.observeFleet = () =>
    reportSpace(metrics, { members: members as never, capacityOf: (provider) => sizes.get(provider) });
  const read = async (): Promise<string[]> =>
    (await metrics.readText()).split('\n').filter((line) => /^holdfast_provider_(free|total)_bytes\{/.test(line));
  assert.deepEqual(await read(), [
    'holdfast_provider_free_bytes{provider="disk"} 250',
    'holdfast_provider_free_bytes{provider="other"} 0',
    'holdfast_provider_total_bytes{provider="disk"} 1000',
    'holdfast_provider_total_bytes{provider="other"} 2000',
  ]);
  members = [id('disk')];
  assert.equal((await read()).length, 2);
});
