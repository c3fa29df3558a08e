import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProviderId } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { testProvider } from './provider-conformance.ts';

testProvider('directory', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-provider-'));
  const provider = await openDirectoryProvider({ id: 'd1' as ProviderId, path });
  return { provider, dispose: () => rm(path, { recursive: true, force: true }) };
});
