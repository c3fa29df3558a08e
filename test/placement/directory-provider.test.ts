import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProviderId } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { testProvider } from './provider-conformance.ts';

async function make(options: { segmentShardBytes?: number; segmentBytes?: number }) {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-provider-'));
  const provider = await openDirectoryProvider({ id: 'd1' as ProviderId, path, ...options });
  return { provider, dispose: () => rm(path, { recursive: true, force: true }) };
}

testProvider('directory', () => make({}));
testProvider('directory without segments', () => make({ segmentShardBytes: 0 }));
testProvider('directory with short segments', () => make({ segmentBytes: 100_000 }));
