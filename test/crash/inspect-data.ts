import assert from 'node:assert/strict';
import { join } from 'node:path';
import { masterKeyPath, readMasterKey } from '../../bin/load-master-key.ts';
import { silentLog } from '../../core/log.ts';
import { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { memberOf } from '../harness/member-of.ts';
import { listTemporaryFiles, providerPath } from '../harness/shard-files.ts';
import { auditStorage } from '../model/storage-audit.ts';
import { plainBucket, versionedBucket } from './client.ts';
import { crashProfile, crashProviderIds } from './crash-configuration.ts';

const dayMs = 24 * 3_600_000;

/**
 * Lets upkeep loose on a data directory that no gateway uses, two days from now, and fails unless it then holds exactly
 * what live objects and open uploads need.
 */
export async function inspectData(dataDir: string): Promise<{ readonly stripes: number; readonly shards: number }> {
  assert.deepEqual(await listTemporaryFiles(dataDir, crashProviderIds), []);
  let aheadMs = 2 * dayMs;
  const clock = { now: () => Date.now() + aheadMs };
  const metadata = await openSqliteStore({ path: join(dataDir, 'metadata.sqlite'), clock, log: silentLog });
  try {
    const providers = await Promise.all(
      crashProviderIds.map((id) => openDirectoryProvider({ id: id as ProviderId, path: providerPath(dataDir, id) })),
    );
    const health = new ProviderHealth({ clock, suspectMs: 0 });
    const { upkeep } = createEngine({
      metadata,
      fleet: new Fleet({ members: providers.map((provider) => memberOf(provider)), health }),
      codec: createWasmCodec(),
      profiles: [{ name: 'STANDARD', ...crashProfile }],
      clock,
      log: silentLog,
      metrics: new Metrics(),
      masterKey: await readMasterKey(masterKeyPath(dataDir)),
    });
    // What compaction frees is collected after a grace.
    for (let isDone = false; !isDone; aheadMs += dayMs) isDone = (await upkeep.runOnce()).bytesCompacted === 0;
    return await auditStorage({ metadata, providers, buckets: [plainBucket, versionedBucket] });
  } finally {
    await metadata.close();
  }
}
