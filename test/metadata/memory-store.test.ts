import type { Clock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';
import { testMetadataStore } from './store-conformance.ts';

async function make({ clock }: { clock: Clock }) {
  const store = await openMemoryStore({ clock, log: silentLog });
  return { store, cleanUp: () => store.close() };
}

testMetadataStore('SQLite in memory', make, { modelRuns: 150 });
