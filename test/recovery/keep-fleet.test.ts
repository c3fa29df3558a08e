import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLog } from '../../core/log.ts';
import type { ProviderRecord, ProviderState } from '../../core/model.ts';
import { providerSchema } from '../../core/provider-settings.ts';
import { createRecord } from '../../engine/fleet/provider-record.ts';
import { keepFleet } from '../../engine/recovery/keep-fleet.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';

const nowMs = 5_000;

const record = (id: string, state: ProviderState, settings: object = {}): ProviderRecord =>
  createRecord(
    providerSchema.parse({ id, kind: 'directory', path: `/${id}`, reserveBytes: 0, ...settings }),
    state,
    nowMs,
  );

describe('the fleet of a recovered store', () => {
  it('is as the journal tells, but where those that were asked are now, and with those in service that were joining', async () => {
    const metadata = await openMemoryStore({ clock: { now: () => nowMs }, log: silentLog });
    const told = [record('drained', 'draining', { weight: 2 }), record('joins', 'joining', { zone: 'z' })];
    const unasked = record('unasked', 'joining');
    for (const each of [...told, unasked]) await metadata.putProvider({ ...each, stateSinceMs: 1 });
    const asked = ['drained', 'joins', 'unknown'].map((id) => ({
      ...record(id, 'active'),
      location: record(`moved-${id}`, 'active').location,
    }));
    await keepFleet(metadata, asked);
    const [drained, joins, unknown] = asked as [ProviderRecord, ProviderRecord, ProviderRecord];
    assert.deepEqual(await metadata.listProviders(), [
      { ...told[0], stateSinceMs: 1, location: drained.location },
      { ...told[1], state: 'active', location: joins.location },
      { ...unasked, stateSinceMs: 1 },
      unknown,
    ]);
    await metadata.close();
  });
});
