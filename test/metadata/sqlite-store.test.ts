import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { testMetadataStore } from './store-conformance.ts';

async function make({ clock }: { clock: Clock }) {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-metadata-'));
  const store = await openSqliteStore({ path: join(folder, 'metadata.db'), clock, log: silentLog });
  const cleanUp = async () => {
    await store.close();
    await rm(folder, { recursive: true });
  };
  return { store, cleanUp };
}

testMetadataStore('SQLite on disk', make, { modelRuns: 5 });
