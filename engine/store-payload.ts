import { isFailure } from '../core/failure.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import { isDegraded, type WriteRequest, type WrittenContent, writeContent } from './write-content.ts';

/**
 * Writes a payload and lets `register` make it exist in the metadata store. When either fails nothing is visible, and
 * what was written is taken back. Stripes that lack shards are repaired right after.
 */
export async function storePayload<T>(
  parts: EngineParts,
  request: WriteRequest,
  register: (written: WrittenContent) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const endWrite = parts.pins.beginWrite(parts.clock.now());
  try {
    const written = await writeContent(parts, request, signal);
    const registered = await register(written).catch(async (error: unknown) => {
      // After any other error the store may yet have taken the write: then only `collect` can tell.
      if (isFailure(error)) await discardStripes(parts, written.stripes);
      throw error;
    });
    if (written.stripes.some(isDegraded)) parts.kickRepair();
    return registered;
  } finally {
    endWrite();
  }
}
